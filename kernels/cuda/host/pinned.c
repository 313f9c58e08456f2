/* Pinned host memory. Pages become a process's own when they are first written to: where there are as many
 * as an optimizer's state has, all processors of this process do that, in large pages. */
#include "host/pinned.h"

#include "fovea/ops/backend.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { PAGE = FV_HOST_ALIGN, HUGE_PAGE = 1 << 21, MOST_THREADS = 16 };

typedef struct stretch {
    volatile char *from;
    size_t bytes;
} stretch;

static void *touch(void *context)
{
    const stretch *s = context;
    for (size_t i = 0; i < s->bytes; i += PAGE)
        s->from[i] = 0;
    return NULL;
}

/* What no thread can be had for is touched by this one. */
static void touch_all(char *memory, size_t bytes)
{
    pthread_t threads[MOST_THREADS];
    stretch parts[MOST_THREADS];
    int is_running[MOST_THREADS];
    cpu_set_t set;
    long n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    n = n > MOST_THREADS ? MOST_THREADS : n;
    size_t each = (bytes / HUGE_PAGE / (size_t)n + 1) * HUGE_PAGE;
    for (long i = 0; i < n; i++) {
        size_t first = (size_t)i * each < bytes ? (size_t)i * each : bytes, left = bytes - first;
        parts[i] = (stretch){memory + first, left < each ? left : each};
        is_running[i] = pthread_create(&threads[i], NULL, touch, &parts[i]) == 0;
        if (!is_running[i])
            touch(&parts[i]);
    }
    for (long i = 0; i < n; i++)
        if (is_running[i])
            pthread_join(threads[i], NULL);
}

cudaError_t fv_cuda_pin(size_t bytes, void **out)
{
    size_t align = bytes > HUGE_PAGE ? HUGE_PAGE : PAGE, all = (bytes / align + 1) * align;
    char *memory = aligned_alloc(align, all);
    *out = NULL;
    if (!memory)
        return cudaErrorMemoryAllocation;
    if (align == HUGE_PAGE) {
        (void)madvise(memory, all, MADV_HUGEPAGE); /* a hint */
        touch_all(memory, all);
    }
    cudaError_t code = cudaHostRegister(memory, all, cudaHostRegisterDefault);
    if (code != cudaSuccess) {
        free(memory);
        return code;
    }
    *out = memory;
    return cudaSuccess;
}

void fv_cuda_unpin(void *memory)
{
    if (memory)
        (void)cudaHostUnregister(memory); /* a device that has failed cannot */
    free(memory);
}
