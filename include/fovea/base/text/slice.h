/* A piece of text: where it starts and how many bytes it has. Borrowed, never owned, with no NUL after it; it
 * may hold NULs. Local. */
#ifndef FOVEA_BASE_SLICE_H
#define FOVEA_BASE_SLICE_H

#include <stddef.h>

typedef struct fv_slice {
    const char *data; /* may be NULL if size is 0 */
    size_t size;
} fv_slice;

#define FV_SLICE_NONE ((size_t)-1) /* not found */

fv_slice fv_slice_of(const char *string); /* up to its NUL */

/* Bytes [first, end). first <= end <= text.size. */
fv_slice fv_slice_cut(fv_slice text, size_t first, size_t end);

/* Without ASCII white space at both ends. */
fv_slice fv_slice_trim(fv_slice text);

int fv_slice_equal(fv_slice a, fv_slice b);
int fv_slice_starts(fv_slice text, fv_slice start);

/* Offset of the first (last) occurrence of part, which is not empty; FV_SLICE_NONE if there is none. */
size_t fv_slice_find(fv_slice text, fv_slice part);
size_t fv_slice_find_last(fv_slice text, fv_slice part);

#endif
