#include "heap.h"

#include <stdlib.h>

static int64_t n_allocations;

#if defined(__SANITIZE_ADDRESS__)
int heap_is_counted(void)
{
    return 0;
}
#else
extern void *__libc_malloc(size_t bytes), *__libc_calloc(size_t n, size_t bytes),
    *__libc_realloc(void *memory, size_t bytes), *__libc_memalign(size_t align, size_t bytes);

int heap_is_counted(void)
{
    return 1;
}

static void *note(void *made)
{
    __atomic_fetch_add(&n_allocations, 1, __ATOMIC_RELAXED);
    return made;
}

void *malloc(size_t bytes)
{
    return note(__libc_malloc(bytes));
}

void *calloc(size_t n, size_t bytes)
{
    return note(__libc_calloc(n, bytes));
}

void *realloc(void *memory, size_t bytes)
{
    return note(__libc_realloc(memory, bytes));
}

void *aligned_alloc(size_t align, size_t bytes)
{
    return note(__libc_memalign(align, bytes));
}

int posix_memalign(void **out, size_t align, size_t bytes)
{
    *out = aligned_alloc(align, bytes);
    return *out ? 0 : 12;
}
#endif

int64_t heap_allocations(void)
{
    return n_allocations;
}
