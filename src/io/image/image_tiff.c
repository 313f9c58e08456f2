#include "io/image/image_codec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tiffio.h>

/* Of a raster at once. A strip is decoded anew for every band that has a part of it, so bands are large. */
enum { BAND_PIXELS = 1 << 24 };

typedef struct decoder {
    TIFF *tiff;
    fv_image_target *to;
    toff_t at;
    TIFFRGBAImage view;
    int has_alpha;    /* the raster's alpha counts; its colours are multiplied by it then, but for grey */
    uint32_t *raster; /* (band, width); owned */
    int band;
    char reason[256]; /* what the library says is wrong, first */
} decoder;

static tmsize_t on_read(thandle_t handle, void *bytes, tmsize_t n)
{
    decoder *d = handle;
    toff_t size = d->to->file->size, left = d->at < size ? size - d->at : 0;
    toff_t taken = (toff_t)n < left ? (toff_t)n : left;
    if (taken)
        memcpy(bytes, (const uint8_t *)d->to->file->data + d->at, (size_t)taken);
    d->at += taken;
    return (tmsize_t)taken;
}

static tmsize_t on_write(thandle_t handle, void *bytes, tmsize_t n)
{
    (void)handle, (void)bytes, (void)n;
    return 0;
}

static toff_t on_seek(thandle_t handle, toff_t to, int whence)
{
    decoder *d = handle;
    toff_t base = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? d->at : d->to->file->size;
    return d->at = base + to;
}

static int on_close(thandle_t handle)
{
    (void)handle;
    return 0;
}

static toff_t on_size(thandle_t handle)
{
    const decoder *d = handle;
    return d->to->file->size;
}

static int on_error(TIFF *tiff, void *context, const char *module, const char *format, va_list arguments)
{
    decoder *d = context;
    (void)tiff, (void)module;
    if (!d->reason[0])
        vsnprintf(d->reason, sizeof d->reason, format, arguments);
    return 1; /* not to standard error */
}

static int on_warning(TIFF *tiff, void *context, const char *module, const char *format, va_list arguments)
{
    (void)tiff, (void)context, (void)module, (void)format, (void)arguments;
    return 1;
}

static fv_err fail(const decoder *d)
{
    return FV_FAIL(FV_ERR_FORMAT, "%s: not a TIFF that can be read: %s; convert it to PNG", d->to->file->name,
                   d->reason[0] ? d->reason : "damaged data");
}

static fv_err open_file(decoder *d)
{
    TIFFOpenOptions *options = TIFFOpenOptionsAlloc();
    FV_CHECK(options, FV_ERR_MEMORY, "%s: no memory to decode the TIFF", d->to->file->name);
    TIFFOpenOptionsSetMaxSingleMemAlloc(options, (tmsize_t)8 * FV_IMAGE_MAX_PIXELS);
    TIFFOpenOptionsSetErrorHandlerExtR(options, on_error, d);
    TIFFOpenOptionsSetWarningHandlerExtR(options, on_warning, d);
    d->tiff = TIFFClientOpenExt(d->to->file->name, "rm", d, on_read, on_write, on_seek, on_close, on_size,
                                NULL, NULL, options);
    TIFFOpenOptionsFree(options);
    return d->tiff ? FV_OK : fail(d);
}

/* Before anything of this size is allocated. */
static fv_err check_sizes(decoder *d, uint32_t *width, uint32_t *height)
{
    const fv_image_file *file = d->to->file;
    uint32_t tile_width = 0, tile_height = 0;
    *width = *height = 0;
    TIFFGetField(d->tiff, TIFFTAG_IMAGEWIDTH, width);
    TIFFGetField(d->tiff, TIFFTAG_IMAGELENGTH, height);
    FV_TRY(fv_image_check_size(file->name, *width, *height, file->max_pixels));
    if (!TIFFIsTiled(d->tiff))
        return FV_OK;
    TIFFGetField(d->tiff, TIFFTAG_TILEWIDTH, &tile_width);
    TIFFGetField(d->tiff, TIFFTAG_TILELENGTH, &tile_height);
    return fv_image_check_size(file->name, tile_width, tile_height, FV_IMAGE_MAX_PIXELS);
}

/* Alpha that a file does not call so is none; where it is to be dropped, the library must not multiply by it.
 */
static void set_alpha(decoder *d)
{
    uint16_t n_extra = 0, *kinds = NULL;
    const uint16_t unspecified = EXTRASAMPLE_UNSPECIFIED;
    TIFFGetFieldDefaulted(d->tiff, TIFFTAG_EXTRASAMPLES, &n_extra, &kinds);
    if (n_extra == 0)
        return;
    d->has_alpha = kinds[0] != EXTRASAMPLE_UNSPECIFIED && d->to->file->alpha == FV_ALPHA_WHITE;
    if (!d->has_alpha && n_extra == 1)
        TIFFSetField(d->tiff, TIFFTAG_EXTRASAMPLES, 1, &unspecified);
}

static fv_err begin(decoder *d)
{
    uint32_t width, height, strip = 0;
    uint16_t orientation = 1;
    FV_TRY(check_sizes(d, &width, &height));
    set_alpha(d);
    TIFFGetFieldDefaulted(d->tiff, TIFFTAG_ORIENTATION, &orientation);
    TIFFGetFieldDefaulted(d->tiff, TIFFTAG_ROWSPERSTRIP, &strip);
    d->to->orientation = orientation >= 1 && orientation <= 8 ? orientation : 1;
    FV_TRY(fv_image_begin(d->to, width, height, FV_ROWS_IN_ORDER));
    int band = BAND_PIXELS / (int)width > 0 ? BAND_PIXELS / (int)width : 1;
    if (strip > 0 && strip < (uint32_t)band)
        band -= band % (int)strip;
    d->band = band < (int)height ? band : (int)height;
    d->raster = malloc((size_t)d->band * width * sizeof *d->raster);
    FV_CHECK(d->raster, FV_ERR_MEMORY, "%s: no memory for %d rows of %u pixels", d->to->file->name, d->band,
             width);
    return FV_OK;
}

/* n pixels of the raster become RGBA in their own place. */
static void unpack(const decoder *d, uint32_t *raster, size_t n)
{
    int is_multiplied = d->has_alpha && d->view.samplesperpixel > 2;
    for (size_t i = 0; i < n; i++) {
        uint32_t pixel = raster[i];
        uint8_t *rgba = (uint8_t *)(raster + i);
        uint32_t alpha = d->has_alpha ? TIFFGetA(pixel) : 255, white = is_multiplied ? 255 - alpha : 0;
        const uint32_t colour[] = {TIFFGetR(pixel), TIFFGetG(pixel), TIFFGetB(pixel)};
        for (int c = 0; c < 3; c++)
            rgba[c] = (uint8_t)(colour[c] + white > 255 ? 255 : colour[c] + white);
        rgba[3] = (uint8_t)(is_multiplied ? 255 : alpha);
    }
}

static fv_err read_band(decoder *d, int first)
{
    size_t width = (size_t)d->to->width;
    int n = d->to->height - first < d->band ? d->to->height - first : d->band;
    d->view.row_offset = first;
    d->view.col_offset = 0;
    if (!TIFFRGBAImageGet(&d->view, d->raster, (uint32_t)width, (uint32_t)n))
        return fail(d);
    for (int y = 0; y < n; y++) {
        uint32_t *row = d->raster + (size_t)y * width;
        unpack(d, row, width);
        fv_image_compose(d->to->file->alpha, (const uint8_t *)row, width, fv_image_row(d->to, first + y));
        fv_image_row_done(d->to);
    }
    return FV_OK;
}

static fv_err read_rows(decoder *d)
{
    char reason[1024] = "";
    if (!TIFFRGBAImageOK(d->tiff, reason) || !TIFFRGBAImageBegin(&d->view, d->tiff, 1, reason)) {
        snprintf(d->reason, sizeof d->reason, "%.200s", reason);
        return fail(d);
    }
    d->view.req_orientation = d->view.orientation; /* fv_image_orient turns it */
    fv_err err = FV_OK;
    for (int y = 0; y < d->to->height && err == FV_OK; y += d->band)
        err = read_band(d, y);
    TIFFRGBAImageEnd(&d->view);
    return err;
}

fv_err fv_image_decode_tiff(fv_image_target *to)
{
    decoder d = {.to = to};
    fv_err err = open_file(&d);
    if (err == FV_OK)
        err = begin(&d);
    if (err == FV_OK)
        err = read_rows(&d);
    if (d.tiff)
        TIFFClose(d.tiff);
    free(d.raster);
    return err;
}
