/* Drawing with real fonts: boxes and lines of text on an image. Local; a page belongs to one thread.
 *
 * Needs pango and cairo when fovea is built; without them fv_paint_create is FV_ERR_UNSUPPORTED. The same
 * calls give the same pixels as long as pango, cairo and the fonts of the machine stay the same. */
#ifndef FOVEA_IO_IMAGE_PAINT_H
#define FOVEA_IO_IMAGE_PAINT_H

#include "fovea/io/image/image.h"

typedef struct fv_paint fv_paint;

typedef struct fv_paint_color {
    uint8_t r, g, b;
} fv_paint_color;

typedef struct fv_paint_font {
    const char *family; /* "sans-serif", "serif", "monospace", or a name */
    double size;        /* pixels of an em */
    int is_bold;
    fv_paint_color color;
} fv_paint_font;

fv_err fv_paint_create(int width, int height, fv_paint_color ground, fv_paint **out);
void fv_paint_destroy(fv_paint *paint); /* NULL is fine */

/* A filled box, in pixels; edges between pixels blend. */
void fv_paint_box(fv_paint *paint, const double box[4] /* x, y, width, height */, fv_paint_color color);

/* A line of UTF-8 text whose upper left corner is at (x, y). FV_ERR_UNSUPPORTED if no font has a character.
 */
fv_err fv_paint_text(fv_paint *paint, const fv_paint_font *font, double x, double y, const char *text);

/* What has been drawn so far. The caller releases *out. */
fv_err fv_paint_image(fv_paint *paint, fv_image *out);

#endif
