/* The image processor of Qwen2-VL and Qwen2.5-VL: a picture becomes the patches that the vision tower reads.
 * Local. Source of every rule: Qwen2VLImageProcessor of the reference library, its Pillow back end. */
#ifndef FOVEA_MODEL_IMAGE_PROCESSOR_H
#define FOVEA_MODEL_IMAGE_PROCESSOR_H

#include "fovea/model/image/grid.h"
#include "fovea/io/image/image.h"

typedef struct fv_processor {
    int64_t min_pixels, max_pixels; /* of the resized image; also size.shortest_edge and size.longest_edge */
    int patch;                      /* pixels of an edge, patch_size */
    int temporal_patch;             /* times a still image is repeated, temporal_patch_size */
    int merge;                      /* merge x merge patches become one token, merge_size */
    int do_resize, do_rescale, do_normalize;
    fv_filter resample;
    double rescale_factor;
    double mean[3], std[3]; /* image_mean, image_std */
} fv_processor;

/* What the reference's class has where the file is silent. */
void fv_processor_init(fv_processor *out);

/* Read the image_processor part of folder/processor_config.json if it is there, else
 * folder/preprocessor_config.json: both as min_pixels and max_pixels (at the top or in size) and as size with
 * shortest_edge and longest_edge. A value that this processor does not support is FV_ERR_UNSUPPORTED, one
 * that makes no sense FV_ERR_FORMAT. Keys that do not bear on pixels are not looked at. */
fv_err fv_processor_load(const char *folder, fv_processor *out);

/* How an image of these sizes is cut (t is 1). Both sides are rounded to a multiple of patch * merge, then
 * scaled if the pixels are more than max_pixels or fewer than min_pixels. Sides more than 200 times apart are
 * FV_ERR_UNSUPPORTED; so is, without do_resize, a side that is no multiple. */
fv_err fv_processor_grid(const fv_processor *p, int width, int height, fv_grid *out);

/* Numbers of a patch: D = 3 * temporal_patch * patch * patch. */
int64_t fv_processor_patch_size(const fv_processor *p);

/* Resize and cut: out is (P, D), P = fv_grid_patches of its grid, the
 * caller's. Patches go merge block by merge block, row by row, inside
 * a block row by row too; D is (channel, temporal_patch, patch, patch). The float form is rescaled and
 * normalised; the uint8_t form holds the resized pixels as they are. */
fv_err fv_processor_run(const fv_processor *p, const fv_image *image, float *out);
/* The same of an image that has the sides of its grid already, grid * patch. */
fv_err fv_processor_cut(const fv_processor *p, const fv_image *image, float *out);
fv_err fv_processor_run_u8(const fv_processor *p, const fv_image *image, uint8_t *out);

#endif
