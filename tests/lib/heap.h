/* How often the heap is asked for memory. Linking this replaces malloc and its kin by ones that count. */
#ifndef FOVEA_TEST_HEAP_H
#define FOVEA_TEST_HEAP_H

#include <stdint.h>

/* 0 where sanitizers have an allocator of their own: then the next is 0 for good. */
int heap_is_counted(void);
int64_t heap_allocations(void); /* so far, of any thread */

#endif
