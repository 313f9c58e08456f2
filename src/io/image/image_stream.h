/* An image that is resized while its rows arrive: the same bits as fv_image_resize, without the whole. Local.
 */
#ifndef FOVEA_SRC_IO_IMAGE_IMAGE_STREAM_H
#define FOVEA_SRC_IO_IMAGE_IMAGE_STREAM_H

#include "fovea/io/image/image.h"

typedef struct fv_resize_stream fv_resize_stream;

/* Of rows of in_width pixels, in_height of them. out has its size and its pixels, and is borrowed. */
fv_err fv_resize_stream_create(int in_width, int in_height, fv_filter filter, fv_image *out,
                               fv_resize_stream **stream);
void fv_resize_stream_destroy(fv_resize_stream *stream); /* NULL is fine */

/* Where the next row goes, (in_width, 3); and that it is there. After the last, out is complete. */
uint8_t *fv_resize_stream_row(fv_resize_stream *stream);
void fv_resize_stream_push(fv_resize_stream *stream);

#endif
