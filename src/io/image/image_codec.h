/* Between image.c and the decoders of single formats. */
#ifndef FOVEA_SRC_IO_IMAGE_IMAGE_CODEC_H
#define FOVEA_SRC_IO_IMAGE_IMAGE_CODEC_H

#include "fovea/io/image/image.h"
#include "io/image/image_stream.h"

/* How a decoder gives its rows. */
typedef enum fv_row_order { FV_ROWS_IN_ORDER, FV_ROWS_IN_ANY_ORDER } fv_row_order;

/* Where the rows of a file go: into an image, through a resizer, or nowhere. */
typedef struct fv_image_target {
    const fv_image_file *file;
    const fv_image_fit *fit;  /* NULL: as it is */
    int is_check;             /* nothing is kept */
    int orientation;          /* EXIF, 1 to 8; a decoder sets it before it begins if it can */
    int width, height;        /* as stored */
    fv_image image;           /* owned */
    fv_resize_stream *stream; /* owned; NULL: rows go into image */
    uint8_t *row;             /* of a check; owned */
} fv_image_target;

/* That an image of these sizes may be decoded: FV_ERR_FORMAT. Nothing is allocated. */
fv_err fv_image_check_size(const char *name, int64_t width, int64_t height, int64_t max_pixels);

/* The size is known; the rows follow. */
fv_err fv_image_begin(fv_image_target *to, int64_t width, int64_t height, fv_row_order order);

/* Where row y goes, (width, 3), to be filled before the next call. In order: each row once, from 0. */
uint8_t *fv_image_row(fv_image_target *to, int y);
void fv_image_row_done(fv_image_target *to);

/* n pixels of RGB with alpha become RGB, as the file's fv_alpha says. rgb may be rgba. */
void fv_image_compose(fv_alpha alpha, const uint8_t *rgba, size_t n, uint8_t *rgb);

/* Fill the target, which has its file and orientation 1 before. What it holds is the caller's to release,
 * also on failure. */
typedef fv_err fv_image_decoder(fv_image_target *to);
fv_image_decoder fv_image_decode_jpeg, fv_image_decode_png, fv_image_decode_webp, fv_image_decode_gif,
    fv_image_decode_bmp, fv_image_decode_tiff;

/* What a file is that starts so, as a noun with its article; NULL if it is nothing known. The kinds that are
 * decoded are not among them. Never fails. */
const char *fv_image_kind(const uint8_t *data, size_t size);

/* The orientation in an EXIF block (with or without its "Exif\0\0" in front); 1 if absent or malformed. */
int fv_exif_orientation(const uint8_t *data, size_t size);

/* Turn the image upright. */
fv_err fv_image_orient(fv_image *image, const char *name, int orientation);

#endif
