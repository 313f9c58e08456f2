/* Between image_resize.c and the passes for single instruction sets. */
#ifndef FOVEA_SRC_IO_IMAGE_IMAGE_RESIZE_H
#define FOVEA_SRC_IO_IMAGE_IMAGE_RESIZE_H

#include "fovea/io/image/image.h"
#include "io/image/image_weights.h"

/* A pass over columns takes 4 rows at once. Each row of `in` is followed by 16 readable bytes. */
enum { FV_RESIZE_ROWS = 4, FV_RESIZE_SLACK = 16 };
typedef void fv_resize_columns(const fv_resize_weights *w, const uint8_t *const in[FV_RESIZE_ROWS],
                               uint8_t *const out[FV_RESIZE_ROWS]);

/* A pass over rows makes row y of the output, n_bytes long, from rows that are as long: the first that it
 * uses is at `from`. */
typedef void fv_resize_rows(const fv_resize_weights *w, int y, const uint8_t *from, size_t n_bytes,
                            uint8_t *out);

typedef struct fv_resize_passes {
    fv_resize_columns *columns;
    fv_resize_rows *rows;
} fv_resize_passes;

extern const fv_resize_passes fv_resize_portable;
const fv_resize_passes *fv_resize_avx2(void); /* NULL where the processor lacks it */
const fv_resize_passes *fv_resize_best(void);

/* fv_image_resize by the given passes. *out gives width and height, and receives the pixels. */
fv_err fv_image_resize_by(const fv_resize_passes *passes, const fv_image *in, fv_filter filter,
                          fv_image *out);

#endif
