/* The weights of a resampling. */
#ifndef FOVEA_SRC_IO_IMAGE_IMAGE_WEIGHTS_H
#define FOVEA_SRC_IO_IMAGE_IMAGE_WEIGHTS_H

#include "fovea/io/image/image.h"

enum { FV_RESIZE_BITS = 22, FV_RESIZE_LOW_BITS = 11, FV_RESIZE_GROUP = 4 };

/* The weights of one direction, as fixed-point numbers of 22 bits after the point. Each is split as
 * high * 2048 + low, both 16 bits, so that the products can be made by 16-bit multiplications; the sum is the
 * same integer. */
typedef struct fv_resize_weights {
    int n_out;
    int n_groups;   /* groups of 4 weights for each output; those beyond count are 0 */
    int32_t *first; /* (n_out) index of the first input */
    int32_t *count; /* (n_out) inputs used */
    int16_t *parts; /* (n_out, n_groups, 2, 4): 4 high parts, then 4 low parts; all owned */
} fv_resize_weights;

fv_err fv_resize_weights_init(fv_resize_weights *w, fv_filter filter, int n_in, int n_out);
void fv_resize_weights_fini(fv_resize_weights *w);

/* The parts of one group. */
static inline const int16_t *fv_resize_group(const fv_resize_weights *w, int at, int group)
{
    return w->parts + ((size_t)at * (size_t)w->n_groups + (size_t)group) * (2 * FV_RESIZE_GROUP);
}

#endif
