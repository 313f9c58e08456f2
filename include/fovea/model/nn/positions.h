/* Positions: where tokens stand in time, height and width (M-RoPE, Qwen2.5-VL technical report, section 2.1),
 * what the rotary tables are made with, and the windows of the vision tower. Host arithmetic. Local. */
#ifndef FOVEA_MODEL_NN_POSITIONS_H
#define FOVEA_MODEL_NN_POSITIONS_H

#include "fovea/model/image/grid.h"
#include "fovea/model/shape/shape.h"

/* Positions (3, n) of n more tokens of a sequence whose next free position is *next (0 for a new one): row r
 * of out starts at out + r * stride. A text token takes *next in all rows. Image tokens (shape->image_id)
 * come in whole runs, grids in order; a run starts at *next, its token at (t, h, w) of the merged grid stands
 * at *next + (t, h, w) (an image is one instant: t = 0), and the next token after it at one more than the
 * largest. FV_ERR_ARGUMENT names the image whose run of tokens does not have the length of its grid. */
fv_err fv_positions_append(const fv_model_shape *shape, const int32_t *ids, int64_t n, const fv_grid *grids,
                           int n_grids, int32_t *next, int32_t *out, int64_t stride);

/* Of the decoder's rotary tables (fv_rope_angles_args): how far its pairs turn for one position, theta^(-2i /
 * D) scaled as shape->rope says (D / 2); and what cosines and sines are multiplied with. */
void fv_rope_rates(const fv_text_shape *shape, double *rates);
double fv_rope_scale(const fv_text_shape *shape);

/* The order in which the vision tower sees patches: units of merge^2 patches sorted by window (an image's
 * windows in row order, units of a window in row order). All arrays are the caller's, sized by
 * fv_vision_plan_sizes. */
typedef struct fv_vision_plan {
    int64_t n_patches, n_units;
    int32_t *patch_order;  /* (n_patches): patch k of the tower is patch patch_order[k] of the processor */
    int32_t *patch_places; /* (n_patches): its inverse */
    int32_t *unit_order;   /* (n_units), the same for units; */
    int32_t *unit_places;  /* (n_units) */
    float *cos, *sin;      /* (n_patches, D / 2), in the tower's order */
    float *turns; /* (2, n_places, D / 4): cosines and sines of the places along an edge, of which those are
                     made */
    int n_places;
    int32_t *windows; /* (n_windows, 6) attention segments of window blocks, and their spans (n_windows, 2) */
    int32_t *window_spans;
    int n_windows, most_patches; /* of a window */
    int32_t *images;             /* (n_images, 6) segments of full-attention blocks: one a frame */
    int32_t *image_spans;
    int n_images;
} fv_vision_plan;

/* All but the arrays; pointers untouched. */
void fv_vision_plan_sizes(const fv_vision_shape *shape, const fv_grid *grids, int n, fv_vision_plan *plan);
/* Fill the arrays. */
void fv_vision_plan_fill(const fv_vision_shape *shape, const fv_grid *grids, int n, fv_vision_plan *plan);

#endif
