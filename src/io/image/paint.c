#include "fovea/io/image/paint.h"

#ifdef FOVEA_PANGO

#    include <pango/pangocairo.h>
#    include <stdlib.h>
#    include <string.h>

struct fv_paint {
    cairo_surface_t *surface;
    cairo_t *cairo;
    PangoLayout *layout;
    int width, height;
};

/* Outlines as the font has them: a size is a size, wherever the text stands. */
static void set_exact_outlines(PangoLayout *layout)
{
    cairo_font_options_t *options = cairo_font_options_create();
    cairo_font_options_set_antialias(options, CAIRO_ANTIALIAS_GRAY);
    cairo_font_options_set_hint_style(options, CAIRO_HINT_STYLE_NONE);
    cairo_font_options_set_hint_metrics(options, CAIRO_HINT_METRICS_OFF);
    pango_cairo_context_set_font_options(pango_layout_get_context(layout), options);
    cairo_font_options_destroy(options);
}

fv_err fv_paint_create(int width, int height, fv_paint_color ground, fv_paint **out)
{
    *out = NULL;
    fv_paint *p = calloc(1, sizeof *p);
    FV_CHECK(p, FV_ERR_MEMORY, "no memory for a page");
    p->width = width;
    p->height = height;
    p->surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, width, height);
    p->cairo = cairo_create(p->surface);
    p->layout = pango_cairo_create_layout(p->cairo);
    if (cairo_status(p->cairo) != CAIRO_STATUS_SUCCESS) {
        fv_err err = FV_FAIL(FV_ERR_MEMORY, "cannot make a page of %d x %d pixels: %s", width, height,
                             cairo_status_to_string(cairo_status(p->cairo)));
        fv_paint_destroy(p);
        return err;
    }
    set_exact_outlines(p->layout);
    fv_paint_box(p, (const double[]){0, 0, width, height}, ground);
    *out = p;
    return FV_OK;
}

void fv_paint_destroy(fv_paint *paint)
{
    if (!paint)
        return;
    g_object_unref(paint->layout);
    cairo_destroy(paint->cairo);
    cairo_surface_destroy(paint->surface);
    free(paint);
}

static void set_color(fv_paint *paint, fv_paint_color color)
{
    cairo_set_source_rgb(paint->cairo, color.r / 255.0, color.g / 255.0, color.b / 255.0);
}

void fv_paint_box(fv_paint *paint, const double box[4], fv_paint_color color)
{
    set_color(paint, color);
    cairo_rectangle(paint->cairo, box[0], box[1], box[2], box[3]);
    cairo_fill(paint->cairo);
}

fv_err fv_paint_text(fv_paint *paint, const fv_paint_font *font, double x, double y, const char *text)
{
    PangoFontDescription *description = pango_font_description_new();
    pango_font_description_set_family(description, font->family);
    pango_font_description_set_absolute_size(description, font->size * PANGO_SCALE);
    pango_font_description_set_weight(description, font->is_bold ? PANGO_WEIGHT_BOLD : PANGO_WEIGHT_NORMAL);
    pango_layout_set_font_description(paint->layout, description);
    pango_font_description_free(description);
    pango_layout_set_text(paint->layout, text, -1);
    FV_CHECK(pango_layout_get_unknown_glyphs_count(paint->layout) == 0, FV_ERR_UNSUPPORTED,
             "no font of this machine has all characters of \"%s\"; install one, such as fonts-dejavu-core",
             text);
    set_color(paint, font->color);
    cairo_move_to(paint->cairo, x, y);
    pango_cairo_show_layout(paint->cairo, paint->layout);
    return FV_OK;
}

fv_err fv_paint_image(fv_paint *paint, fv_image *out)
{
    FV_TRY(fv_image_init(out, "a page", paint->width, paint->height, FV_IMAGE_MAX_PIXELS));
    cairo_surface_flush(paint->surface);
    const uint8_t *data = cairo_image_surface_get_data(paint->surface);
    size_t stride = (size_t)cairo_image_surface_get_stride(paint->surface);
    uint8_t *rgb = out->rgb;
    for (int y = 0; y < paint->height; y++)
        for (int x = 0; x < paint->width; x++) {
            uint32_t pixel;
            memcpy(&pixel, data + (size_t)y * stride + (size_t)x * sizeof pixel, sizeof pixel);
            *rgb++ = (uint8_t)(pixel >> 16);
            *rgb++ = (uint8_t)(pixel >> 8);
            *rgb++ = (uint8_t)pixel;
        }
    return FV_OK;
}

#else

fv_err fv_paint_create(int width, int height, fv_paint_color ground, fv_paint **out)
{
    (void)ground;
    *out = NULL;
    return FV_FAIL(
        FV_ERR_UNSUPPORTED,
        "cannot draw a page of %d x %d pixels: fovea was built without pango and cairo; install their "
        "headers (libpango1.0-dev) and build again",
        width, height);
}

void fv_paint_destroy(fv_paint *paint)
{
    (void)paint;
}

void fv_paint_box(fv_paint *paint, const double box[4], fv_paint_color color)
{
    (void)paint, (void)box, (void)color;
}

fv_err fv_paint_text(fv_paint *paint, const fv_paint_font *font, double x, double y, const char *text)
{
    (void)paint, (void)font, (void)x, (void)y;
    return FV_FAIL(FV_ERR_UNSUPPORTED, "cannot draw \"%s\": fovea was built without pango", text);
}

fv_err fv_paint_image(fv_paint *paint, fv_image *out)
{
    (void)paint;
    *out = (fv_image){0};
    return FV_FAIL(FV_ERR_UNSUPPORTED, "nothing was drawn: fovea was built without pango");
}

#endif
