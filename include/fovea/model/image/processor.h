/* The image processor of Qwen2-VL and Qwen2.5-VL: a picture becomes the patches that the vision tower reads.
 * Local. Source of every rule: Qwen2VLImageProcessor of the reference library, its Pillow back end. */
#ifndef FOVEA_MODEL_IMAGE_PROCESSOR_H
#define FOVEA_MODEL_IMAGE_PROCESSOR_H

#include "fovea/model/image/picture.h"

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

/* What the bytes of a picture become. */
fv_pixel_scale fv_processor_scale(const fv_processor *p);

/* The picture of an image, resized to its grid. image is taken: {0} afterwards, also on failure. The caller
 * releases the picture. */
fv_err fv_processor_run(const fv_processor *p, fv_image *image, fv_picture **out);
/* The same of an image that has the sides of its grid already, grid * patch. */
fv_err fv_processor_picture(const fv_processor *p, fv_image *image, fv_picture **out);

#endif
