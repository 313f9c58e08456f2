#include "io/image/image_codec.h"

#include <setjmp.h>
#include <stdio.h> /* jpeglib.h wants FILE */
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

/* Every scan of a progressive file visits every block: without a bound, a small file takes hours. */
enum { MAX_SCANS = 100 };

typedef struct decoder {
    struct jpeg_decompress_struct info;
    struct jpeg_error_mgr error;
    struct jpeg_progress_mgr progress;
    jmp_buf jump;
    const fv_image_file *source;
    fv_image_target *to;
    uint8_t *cmyk; /* one row, or NULL; owned */
    fv_err err;
} decoder;

static _Noreturn void leave(decoder *d, fv_err err)
{
    d->err = err;
    longjmp(d->jump, 1);
}

static void on_error(j_common_ptr info)
{
    decoder *d = info->client_data;
    char reason[JMSG_LENGTH_MAX];
    info->err->format_message(info, reason);
    leave(d, info->err->msg_code == JERR_OUT_OF_MEMORY
                 ? FV_FAIL(FV_ERR_MEMORY, "%s: no memory to decode the JPEG", d->source->name)
                 : FV_FAIL(FV_ERR_FORMAT, "%s: not a sound JPEG: %s", d->source->name, reason));
}

/* The library goes on after damage with made-up pixels; only remarks that leave the pixels alone pass. */
static void on_message(j_common_ptr info, int level)
{
    int code = info->err->msg_code;
    if (level >= 0 || code == JWRN_EXTRANEOUS_DATA || code == JWRN_JFIF_MAJOR || code == JWRN_ADOBE_XFORM)
        return;
    decoder *d = info->client_data;
    if (code == JWRN_JPEG_EOF)
        leave(d, FV_FAIL(FV_ERR_FORMAT, "%s: the JPEG ends too early, after %zu bytes", d->source->name,
                         d->source->size));
    on_error(info);
}

static void on_progress(j_common_ptr info)
{
    decoder *d = info->client_data;
    if (d->info.input_scan_number > MAX_SCANS)
        leave(d, FV_FAIL(FV_ERR_FORMAT, "%s: the JPEG has more than %d scans", d->source->name, MAX_SCANS));
}

static void on_output(j_common_ptr info)
{
    (void)info;
}

static void open_decoder(decoder *d)
{
    d->info.err = jpeg_std_error(&d->error);
    d->error.error_exit = on_error;
    d->error.emit_message = on_message;
    d->error.output_message = on_output;
    d->info.client_data = d;
    jpeg_create_decompress(&d->info);
    d->progress.progress_monitor = on_progress;
    d->info.progress = &d->progress;
    jpeg_mem_src(&d->info, d->source->data, d->source->size);
    jpeg_save_markers(&d->info, JPEG_APP0 + 1, 0xffff);
}

static int find_orientation(const decoder *d)
{
    for (jpeg_saved_marker_ptr m = d->info.marker_list; m; m = m->next)
        if (m->data_length >= 6 && memcmp(m->data, "Exif\0\0", 6) == 0)
            return fv_exif_orientation(m->data, m->data_length);
    return 1;
}

static void read_header(decoder *d)
{
    jpeg_read_header(&d->info, TRUE);
    int n = d->info.num_components;
    if (n != 1 && n != 3 && n != 4)
        leave(d, FV_FAIL(FV_ERR_FORMAT, "%s: the JPEG has %d colour channels, expected 1, 3 or 4",
                         d->source->name, n));
    d->info.out_color_space = n == 4 ? JCS_CMYK : JCS_RGB;
    d->info.dct_method = JDCT_ISLOW;
    d->info.do_fancy_upsampling = TRUE;
    d->to->orientation = find_orientation(d);
    fv_err err = fv_image_begin(d->to, d->info.image_width, d->info.image_height, FV_ROWS_IN_ORDER);
    if (err != FV_OK)
        leave(d, err);
}

static uint8_t scale_byte(int a, int b)
{
    int product = a * b + 128;
    return (uint8_t)(((product >> 8) + product) >> 8);
}

/* The file holds 255 - ink, as Adobe writes it. */
static void cmyk_to_rgb(const uint8_t *cmyk, uint8_t *rgb, int width)
{
    for (int x = 0; x < width; x++, cmyk += 4, rgb += 3)
        for (int c = 0; c < 3; c++)
            rgb[c] = (uint8_t)(cmyk[3] - scale_byte(255 - cmyk[c], cmyk[3]));
}

static void read_pixels(decoder *d)
{
    int width = d->to->width;
    if (d->info.out_color_space == JCS_CMYK) {
        d->cmyk = malloc((size_t)width * 4);
        if (!d->cmyk)
            leave(d, FV_FAIL(FV_ERR_MEMORY, "%s: no memory for a row of pixels", d->source->name));
    }
    jpeg_start_decompress(&d->info);
    while (d->info.output_scanline < d->info.output_height) {
        uint8_t *rgb = fv_image_row(d->to, (int)d->info.output_scanline);
        JSAMPROW row = d->cmyk ? d->cmyk : rgb;
        jpeg_read_scanlines(&d->info, &row, 1);
        if (d->cmyk)
            cmyk_to_rgb(d->cmyk, rgb, width);
        fv_image_row_done(d->to);
    }
    jpeg_finish_decompress(&d->info);
}

/* What longjmp may leave half-done lives with the caller, not in the frame that calls setjmp. */
static fv_err run(decoder *d)
{
    if (setjmp(d->jump) != 0)
        return d->err;
    open_decoder(d);
    read_header(d);
    read_pixels(d);
    return FV_OK;
}

fv_err fv_image_decode_jpeg(fv_image_target *to)
{
    decoder d = {.source = to->file, .to = to};
    fv_err err = run(&d);
    jpeg_destroy_decompress(&d.info);
    free(d.cmyk);
    return err;
}
