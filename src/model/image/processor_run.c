#include "fovea/model/image/processor.h"

#include <math.h>

typedef struct sides {
    double height, width;
} sides;

/* The reference's smart_resize; rint rounds halves to even, as Python does. */
static sides fit(const fv_processor *p, double height, double width)
{
    double factor = p->patch * p->merge, max = (double)p->max_pixels, min = (double)p->min_pixels;
    sides s = {rint(height / factor) * factor, rint(width / factor) * factor};
    if (s.height * s.width > max) {
        double beta = sqrt(height * width / max);
        s.height = fmax(factor, floor(height / beta / factor) * factor);
        s.width = fmax(factor, floor(width / beta / factor) * factor);
    } else if (s.height * s.width < min) {
        double beta = sqrt(min / (height * width));
        s.height = ceil(height * beta / factor) * factor;
        s.width = ceil(width * beta / factor) * factor;
    }
    return s;
}

fv_err fv_processor_grid(const fv_processor *p, int width, int height, fv_grid *out)
{
    enum { MAX_RATIO = 200 };
    FV_CHECK(width > 0 && height > 0, FV_ERR_ARGUMENT, "an image of %d x %d pixels", width, height);
    double large = width > height ? width : height, small = width > height ? height : width;
    FV_CHECK(large / small <= MAX_RATIO, FV_ERR_UNSUPPORTED,
             "image of %d x %d pixels: one side is more than %d times the other; crop it", width, height,
             MAX_RATIO);
    int factor = p->patch * p->merge;
    FV_CHECK(p->do_resize || (width % factor == 0 && height % factor == 0), FV_ERR_UNSUPPORTED,
             "image of %d x %d pixels: without do_resize both sides must be multiples of %d", width, height,
             factor);
    sides s = p->do_resize ? fit(p, height, width) : (sides){height, width};
    FV_CHECK(s.height * s.width <= FV_IMAGE_MAX_PIXELS, FV_ERR_UNSUPPORTED,
             "image of %d x %d pixels would become %.0f x %.0f; lower min_pixels and max_pixels", width,
             height, s.width, s.height);
    *out = (fv_grid){.t = 1, .h = (int)s.height / p->patch, .w = (int)s.width / p->patch};
    return FV_OK;
}

int64_t fv_processor_patch_size(const fv_processor *p)
{
    return (int64_t)3 * p->temporal_patch * p->patch * p->patch;
}

fv_pixel_scale fv_processor_scale(const fv_processor *p)
{
    fv_pixel_scale scale = {.factor = p->do_rescale ? p->rescale_factor : 1.0};
    for (int c = 0; c < 3; c++) {
        scale.mean[c] = p->do_normalize ? (float)p->mean[c] : 0.0f;
        scale.std[c] = p->do_normalize ? (float)p->std[c] : 1.0f;
    }
    return scale;
}

fv_err fv_processor_picture(const fv_processor *p, fv_image *image, fv_picture **out)
{
    const fv_pixel_scale scale = fv_processor_scale(p);
    return fv_picture_create(image, p->patch, &scale, out);
}

/* *image becomes one of the sides of its grid. */
static fv_err resize(const fv_processor *p, fv_image *image)
{
    fv_grid grid;
    fv_image resized;
    FV_TRY(fv_processor_grid(p, image->width, image->height, &grid));
    int width = grid.w * p->patch, height = grid.h * p->patch;
    if (width == image->width && height == image->height)
        return FV_OK;
    FV_TRY(fv_image_resize(image, width, height, p->resample, &resized));
    fv_image_fini(image);
    *image = resized;
    return FV_OK;
}

fv_err fv_processor_run(const fv_processor *p, fv_image *image, fv_picture **out)
{
    *out = NULL;
    fv_err err = resize(p, image);
    if (err == FV_OK)
        return fv_processor_picture(p, image, out);
    fv_image_fini(image);
    return err;
}
