/* Floating-point operations of a forward pass, for figures of speed: its matrix products, a multiply-add as
 * two. A training pass is three forward passes. Pure. */
#ifndef FOVEA_MODEL_NN_FLOPS_H
#define FOVEA_MODEL_NN_FLOPS_H

#include "fovea/model/shape/shape.h"

/* Without attention's own products, which grow with the context, as is usual. */
double fv_flops_of_token(const fv_model_shape *shape); /* through the text decoder, without its head */
double fv_flops_of_draw(const fv_model_shape *shape);  /* the head, for one row of logits */
double fv_flops_of_patch(const fv_model_shape *shape); /* through the vision tower and its share of the
                                                          merger; 0 without one */

/* Attention's own: of a query and a key that it sees, in all layers of the decoder; of all patches of an
 * image in the vision tower, with whole windows. */
double fv_flops_of_pair(const fv_model_shape *shape);
double fv_flops_of_views(const fv_model_shape *shape, double n_patches);

#endif
