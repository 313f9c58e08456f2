/* Memory that faults: blocks in pages of their own, inaccessible until an operation names them. */
#include "check.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* A NaN; another one than that of outputs, so that copies of what was never written are not mistaken. */
#define FRESH 0x7ff97ff9u

static size_t page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static size_t round_up(size_t n, size_t unit)
{
    return (n + unit - 1) / unit * unit;
}

static fv_err grow(fv_check_memory *memory)
{
    if (memory->n_blocks < memory->capacity)
        return FV_OK;
    int capacity = 2 * memory->capacity + 8;
    fv_check_block *blocks = realloc(memory->blocks, (size_t)capacity * sizeof *blocks);
    FV_CHECK(blocks, FV_ERR_MEMORY, "cannot allocate a list of %d blocks", capacity);
    memory->blocks = blocks;
    memory->capacity = capacity;
    return FV_OK;
}

static char *first_page(const fv_check_block *block)
{
    return block->map + page_bytes();
}

static size_t inner_bytes(const fv_check_block *block)
{
    return block->map_bytes - 2 * page_bytes();
}

static int set_access(const fv_check_block *block, int access)
{
    return mprotect(first_page(block), inner_bytes(block), access);
}

fv_err fv_check_memory_alloc(fv_check_memory *memory, size_t bytes, void **out)
{
    size_t page = page_bytes();
    FV_CHECK(bytes < SIZE_MAX / 2, FV_ERR_MEMORY, "cannot allocate %zu bytes of tensor memory", bytes);
    FV_TRY(grow(memory));
    size_t used = round_up(bytes ? bytes : 1, FV_ARENA_ALIGN), pages = round_up(used, page);
    fv_check_block block = {.bytes = bytes, .map_bytes = pages + 2 * page};
    block.map = mmap(NULL, block.map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    FV_CHECK(block.map != MAP_FAILED, FV_ERR_MEMORY, "cannot allocate %zu bytes of tensor memory", bytes);
    block.data = block.map + page + pages - used;
    if (set_access(&block, PROT_READ | PROT_WRITE) != 0) {
        munmap(block.map, block.map_bytes);
        return FV_FAIL(FV_ERR_MEMORY, "cannot make %zu bytes of tensor memory accessible", bytes);
    }
    uint32_t *word = (uint32_t *)first_page(&block);
    for (size_t i = 0; i < pages / sizeof *word; i++)
        word[i] = FRESH;
    fv_check_memory_hide(&block);
    memory->blocks[memory->n_blocks++] = block;
    *out = block.data;
    return FV_OK;
}

void fv_check_memory_free(fv_check_memory *memory, void *data)
{
    for (int i = 0; i < memory->n_blocks; i++)
        if (memory->blocks[i].data == data) {
            munmap(memory->blocks[i].map, memory->blocks[i].map_bytes);
            memory->blocks[i] = memory->blocks[--memory->n_blocks];
            return;
        }
}

void fv_check_memory_fini(fv_check_memory *memory)
{
    while (memory->n_blocks > 0)
        fv_check_memory_free(memory, memory->blocks[0].data);
    free(memory->blocks);
}

fv_err fv_check_memory_find(const fv_check_memory *memory, const char *op, const char *name, fv_tensor t,
                            fv_check_block *out)
{
    uintptr_t first = (uintptr_t)t.data, bytes = fv_tensor_span_bytes(t);
    for (int i = 0; i < memory->n_blocks; i++) {
        fv_check_block block = memory->blocks[i];
        uintptr_t offset = first - (uintptr_t)block.data;
        if (offset < block.bytes && bytes <= block.bytes - offset) {
            *out = block;
            return FV_OK;
        }
    }
    return FV_FAIL(FV_ERR_INTERNAL,
                   "%s: tensor %s is not within one block of tensor memory: it is host memory, was freed, or "
                   "runs past its block",
                   op, name);
}

void fv_check_memory_show(const fv_check_block *block)
{
    set_access(block, PROT_READ | PROT_WRITE);
}

void fv_check_memory_hide(const fv_check_block *block)
{
    set_access(block, PROT_NONE);
}
