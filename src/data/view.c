#include "fovea/data/view.h"

#include <math.h>

enum { MIN_SIDE = 28 };

const char *const fv_view_filter_names[] = {
    [FV_VIEW_BICUBIC] = "bicubic", [FV_VIEW_LANCZOS] = "lanczos", NULL};
const char *const fv_tool_view_names[] = {
    [FV_TOOL_VIEW_WHOLE] = "whole", [FV_TOOL_VIEW_TWICE] = "twice", NULL};

static int half(int side)
{
    return side / 2 < MIN_SIDE ? MIN_SIDE : side / 2;
}

/* The image's sides are scaled by one factor, so that its pixels fall into the bounds. */
static fv_view_size clamp(const fv_view_settings *settings, fv_view_size image)
{
    double pixels = (double)image.width * image.height, factor = 1;
    if (pixels > (double)settings->max_pixels)
        factor = sqrt((double)settings->max_pixels / pixels);
    else if (pixels < (double)settings->min_pixels)
        factor = sqrt((double)settings->min_pixels / pixels);
    int width = (int)(image.width * factor), height = (int)(image.height * factor);
    return (fv_view_size){width > 0 ? width : 1, height > 0 ? height : 1};
}

static fv_err check_size(fv_view_size size, const char *what)
{
    FV_CHECK(size.width > 0 && size.height > 0, FV_ERR_ARGUMENT, "%s of %d x %d pixels", what, size.width,
             size.height);
    FV_CHECK((int64_t)size.width * size.height <= FV_IMAGE_MAX_PIXELS, FV_ERR_UNSUPPORTED,
             "%s of %d x %d pixels; at most %d are supported", what, size.width, size.height,
             FV_IMAGE_MAX_PIXELS);
    return FV_OK;
}

fv_err fv_view_sizes_of(const fv_view_settings *settings, fv_view_size image, fv_view_size target,
                        fv_view_sizes *out)
{
    FV_CHECK(settings->min_pixels > 0 && settings->min_pixels <= settings->max_pixels, FV_ERR_ARGUMENT,
             "min_pixels is %lld and max_pixels %lld; both above 0, the first not larger",
             (long long)settings->min_pixels, (long long)settings->max_pixels);
    FV_TRY(check_size(image, "an image"));
    if (target.width == 0 && target.height == 0) {
        out->high = clamp(settings, image);
        out->low = (fv_view_size){half(out->high.width), half(out->high.height)};
        if (settings->tool == FV_TOOL_VIEW_TWICE)
            out->high = (fv_view_size){2 * out->low.width, 2 * out->low.height};
        return FV_OK;
    }
    FV_TRY(check_size(target, "a target size"));
    FV_CHECK(target.width <= INT32_MAX / 2 && target.height <= INT32_MAX / 2, FV_ERR_UNSUPPORTED,
             "a target size of %d x %d pixels", target.width, target.height);
    out->low = target;
    out->high = (fv_view_size){2 * target.width, 2 * target.height};
    return check_size(out->high, "the high-resolution view of a target size");
}

static fv_err size_of_view(const void *context, int *width, int *height)
{
    const fv_view_size *size = context;
    *width = size->width;
    *height = size->height;
    return FV_OK;
}

fv_err fv_view_read(const fv_processor *processor, const fv_image_file *file, fv_view_size size,
                    fv_view_filter filter, fv_picture **out)
{
    const fv_image_fit fit = {.context = &size,
                              .size = size_of_view,
                              .filter = filter == FV_VIEW_LANCZOS ? FV_FILTER_LANCZOS : FV_FILTER_BICUBIC};
    fv_image image;
    *out = NULL;
    FV_TRY(fv_image_read(file, &fit, &image));
    return fv_processor_run(processor, &image, out);
}
