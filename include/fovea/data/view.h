/* Two views of one image: the low-resolution one that a question starts with, and the high-resolution one
 * that the tool shows. Local. Source of the sizes: VisionThink (Yang et al., 2025), its released
 * preprocessing. */
#ifndef FOVEA_DATA_VIEW_H
#define FOVEA_DATA_VIEW_H

#include "fovea/model/image/processor.h"

/* How an image becomes a view. VisionThink's released program takes Lanczos. */
typedef enum fv_view_filter { FV_VIEW_BICUBIC, FV_VIEW_LANCZOS, FV_VIEW_FILTERS } fv_view_filter;
extern const char *const fv_view_filter_names[]; /* ends with NULL */

/* What the tool shows. VisionThink's released program takes twice. */
typedef enum fv_tool_view {
    FV_TOOL_VIEW_WHOLE, /* the image within its bounds, of which the low-resolution view is half */
    FV_TOOL_VIEW_TWICE, /* exactly twice the low-resolution view on each side */
    FV_TOOL_VIEWS
} fv_tool_view;
extern const char *const fv_tool_view_names[]; /* ends with NULL */

/* Bounds of the high-resolution view in pixels, used for rows without a target size; and what transparency
 * becomes. */
typedef struct fv_view_settings {
    int64_t min_pixels; /* 262144 */
    int64_t max_pixels; /* 4194304 */
    fv_alpha transparency;
    fv_view_filter filter;
    fv_tool_view tool;
} fv_view_settings;

typedef struct fv_view_size {
    int width, height; /* pixels; the processor still rounds them to whole tokens */
} fv_view_size;

typedef struct fv_view_sizes {
    fv_view_size low, high;
} fv_view_sizes;

/* With a target (both sides above 0) the low-resolution view has its size and the high-resolution one twice
 * that on each side. Without, the high-resolution view is the image scaled into the bounds (sides rounded
 * down), and the low-resolution one half of it on each side, rounded down, at least 28; with
 * FV_TOOL_VIEW_TWICE the high-resolution one is then twice that. FV_ERR_ARGUMENT:
 * sides or bounds that make no sense; FV_ERR_UNSUPPORTED: a view above FV_IMAGE_MAX_PIXELS. */
fv_err fv_view_sizes_of(const fv_view_settings *settings, fv_view_size image, fv_view_size target,
                        fv_view_sizes *out);

/* One view: the file is decoded and resized to it, then goes through the processor. The caller releases it.
 */
fv_err fv_view_read(const fv_processor *processor, const fv_image_file *file, fv_view_size size,
                    fv_view_filter filter, fv_picture **out);

#endif
