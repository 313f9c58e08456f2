/* Between image.c and the decoders of single formats. */
#ifndef FOVEA_IO_IMAGE_CODEC_H
#define FOVEA_IO_IMAGE_CODEC_H

#include "fovea/image.h"

typedef struct fv_image_source {
    const uint8_t *data; /* borrowed */
    size_t size;
    const char *name; /* for messages; borrowed */
    int64_t max_pixels;
} fv_image_source;

/* Decode into out, which is {0} before and owned by the caller after, also on failure. *orientation is 1
 * before and becomes the EXIF orientation (1 to 8) if the file gives one. */
fv_err fv_image_decode_jpeg(const fv_image_source *source, fv_image *out, int *orientation);
fv_err fv_image_decode_png(const fv_image_source *source, fv_image *out, int *orientation);
fv_err fv_image_decode_webp(const fv_image_source *source, fv_image *out, int *orientation);

/* The orientation in an EXIF block (with or without its "Exif\0\0" in front); 1 if absent or malformed. */
int fv_exif_orientation(const uint8_t *data, size_t size);

/* Turn the image upright. */
fv_err fv_image_orient(fv_image *image, const char *name, int orientation);

#endif
