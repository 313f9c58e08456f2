/* Pictures: JPEG, PNG, WebP, GIF, BMP and TIFF files as 8-bit RGB, and resampling. Local.
 *
 * The pixels are those of the reference's loader: Pillow's Image.open, ImageOps.exif_transpose, and then, as
 * Qwen's own preprocessing does, composition on white of what is transparent: by an alpha channel, a palette
 * with alpha or a transparent colour (fv_alpha: or convert("RGB"), which shows the colours stored with hidden
 * pixels). Palettes are looked up (an index beyond the palette is black), no gamma or colour profile is
 * applied, grey is repeated. 16-bit RGB, and grey with alpha, keep the high byte; 16-bit grey alone is
 * clipped at 255. CMYK and YCCK JPEGs are taken as inverted. Of an animation or of several pages the first is
 * taken. The EXIF orientation is applied (orientation given by XMP or by a PNG text profile alone is not
 * looked at). TIFF is what libtiff makes of it: 16 bits are scaled, not clipped. Unlike Pillow, a file that
 * is cut short or damaged in its pixel data is always refused. */
#ifndef FOVEA_IO_IMAGE_IMAGE_H
#define FOVEA_IO_IMAGE_IMAGE_H

#include "fovea/base/buffer.h"
#include "fovea/base/error.h"

#include <stddef.h>
#include <stdint.h>

/* More pixels than this are refused from the header, before any is decoded (Pillow's own bound). */
enum { FV_IMAGE_MAX_PIXELS = 178956970 };

typedef struct fv_image {
    uint8_t *rgb; /* (height, width, 3), no padding; owned, released by fv_image_fini */
    int width, height;
} fv_image;

/* An image of these sizes with unset pixels. name is for messages; at most max_pixels, FV_ERR_FORMAT. */
fv_err fv_image_init(fv_image *out, const char *name, int64_t width, int64_t height, int64_t max_pixels);
void fv_image_fini(fv_image *image); /* back to {0} */

/* What transparent pixels become. */
typedef enum fv_alpha {
    FV_ALPHA_WHITE, /* composed on white */
    FV_ALPHA_DROP   /* the colour that is stored with them */
} fv_alpha;

/* The bytes of a file; the first of them tell its kind. */
typedef struct fv_image_file {
    const void *data; /* borrowed, (size) */
    size_t size;
    const char *name;   /* for messages; borrowed */
    int64_t max_pixels; /* more are refused before any is decoded */
    fv_alpha alpha;
} fv_image_file;

/* Values: Pillow's numbers for the filters, as resample in preprocessor_config.json. */
typedef enum fv_filter { FV_FILTER_LANCZOS = 1, FV_FILTER_BICUBIC = 3 } fv_filter;

/* The size that an image is wanted in. */
typedef struct fv_image_fit {
    const void *context;
    /* *width and *height are those of the upright image before, those that are wanted after. */
    fv_err (*size)(const void *context, int *width, int *height);
    fv_filter filter;
} fv_image_fit;

/* Decode a file, resized as fit says (NULL: as it is): the same pixels as fv_image_resize of the whole. Where
 * the format gives rows in their order (all but images that are rotated, and interlaced GIFs), only those at
 * work and the result are in memory; but WebP is decoded at once. Another kind of file, one damaged, cut
 * short or of more than max_pixels: FV_ERR_FORMAT. On failure *out is {0}. */
fv_err fv_image_read(const fv_image_file *file, const fv_image_fit *fit, fv_image *out);

/* Decode all of a file and keep none of it: fails as fv_image_read does. The sizes are those of the upright
 * image. */
fv_err fv_image_check(const fv_image_file *file, int *width, int *height);

/* The whole image of a path, or of bytes, on white. */
fv_err fv_image_load(const char *path, fv_image *out);
fv_err fv_image_decode(const void *data, size_t size, const char *name, int64_t max_pixels, fv_image *out);

/* Append the image as a PNG file, packed fast rather than small. */
fv_err fv_image_encode_png(const fv_image *image, fv_buffer *out);

/* out becomes a new image of width x height: bit for bit Image.resize of Pillow up to 12. The filter is
 * stretched when it reduces; columns first, then rows, 22-bit weights, an 8-bit image in between; a direction
 * that keeps its size is skipped. (Pillow 13 takes rows first if the height loses more than twice as many
 * pixels as the width, and then differs by roundings.) out must not be in. The same bits for any number of
 * threads and any processor. */
fv_err fv_image_resize(const fv_image *in, int width, int height, fv_filter filter, fv_image *out);

#endif
