#include "io/image/image_codec.h"

#include <string.h>

#include <webp/decode.h>
#include <webp/demux.h>

static const char *status_text(VP8StatusCode status)
{
    static const char *const texts[] = {"nothing wrong",   "no memory", "bad parameter",     "damaged data",
                                        "unknown feature", "suspended", "it ends too early", "user abort"};
    size_t n = sizeof texts / sizeof *texts;
    return (size_t)status < n ? texts[status] : "unknown state";
}

typedef struct decoder {
    fv_image_target *to;
    int has_alpha;            /* of the file; else alpha that a frame has is no matter */
    WebPDecoderConfig config; /* the frame's pixels: RGB, or RGBA if has_alpha */
} decoder;

static fv_err decode_frame(decoder *d, const WebPIterator *frame)
{
    const char *name = d->to->file->name;
    WebPDecoderConfig *config = &d->config;
    FV_CHECK(WebPInitDecoderConfig(config), FV_ERR_INTERNAL, "libwebp is not the version built against");
    VP8StatusCode status = WebPGetFeatures(frame->fragment.bytes, frame->fragment.size, &config->input);
    int agree = config->input.width == frame->width && config->input.height == frame->height;
    FV_CHECK(status == VP8_STATUS_OK && agree, FV_ERR_FORMAT, "%s: the WebP's first frame is not sound",
             name);
    config->output.colorspace = d->has_alpha ? MODE_RGBA : MODE_RGB;
    status = WebPDecode(frame->fragment.bytes, frame->fragment.size, config);
    FV_CHECK(status != VP8_STATUS_OUT_OF_MEMORY, FV_ERR_MEMORY, "%s: no memory for %d x %d pixels", name,
             frame->width, frame->height);
    FV_CHECK(status == VP8_STATUS_OK, FV_ERR_FORMAT, "%s: not a sound WebP: %s", name, status_text(status));
    return FV_OK;
}

/* The frame may cover a part of the canvas; what it leaves is transparent, with black below. */
static void give_row(const decoder *d, const WebPIterator *frame, int y)
{
    fv_image_target *to = d->to;
    int is_white = d->has_alpha && to->file->alpha == FV_ALPHA_WHITE;
    uint8_t *rgb = fv_image_row(to, y);
    memset(rgb, is_white ? 255 : 0, (size_t)to->width * 3);
    y -= frame->y_offset;
    if (y >= 0 && y < frame->height) {
        const uint8_t *pixels = d->config.output.u.RGBA.rgba;
        size_t n = (size_t)frame->width, first = (size_t)y * n;
        rgb += 3 * (size_t)frame->x_offset;
        if (d->has_alpha)
            fv_image_compose(to->file->alpha, pixels + 4 * first, n, rgb);
        else
            memcpy(rgb, pixels + 3 * first, 3 * n);
    }
    fv_image_row_done(to);
}

static fv_err check_frame(const decoder *d, const WebPIterator *frame)
{
    const fv_image_target *to = d->to;
    int fits = frame->x_offset >= 0 && frame->y_offset >= 0 && frame->width <= to->width - frame->x_offset &&
               frame->height <= to->height - frame->y_offset;
    FV_CHECK(fits && frame->complete, FV_ERR_FORMAT,
             "%s: the WebP's first frame is cut off or off the canvas", to->file->name);
    return FV_OK;
}

static int find_orientation(const WebPDemuxer *demuxer)
{
    WebPChunkIterator chunk;
    int orientation = 1;
    if (WebPDemuxGetChunk(demuxer, "EXIF", 1, &chunk))
        orientation = fv_exif_orientation(chunk.chunk.bytes, chunk.chunk.size);
    WebPDemuxReleaseChunkIterator(&chunk);
    return orientation;
}

static fv_err decode_first(decoder *d, const WebPIterator *frame)
{
    FV_TRY(check_frame(d, frame));
    fv_err err = decode_frame(d, frame);
    for (int y = 0; y < d->to->height && err == FV_OK; y++)
        give_row(d, frame, y);
    WebPFreeDecBuffer(&d->config.output);
    return err;
}

static fv_err decode(const WebPDemuxer *demuxer, fv_image_target *to)
{
    WebPIterator frame;
    decoder d = {.to = to, .has_alpha = (WebPDemuxGetI(demuxer, WEBP_FF_FORMAT_FLAGS) & ALPHA_FLAG) != 0};
    to->orientation = find_orientation(demuxer);
    FV_TRY(fv_image_begin(to, WebPDemuxGetI(demuxer, WEBP_FF_CANVAS_WIDTH),
                          WebPDemuxGetI(demuxer, WEBP_FF_CANVAS_HEIGHT), FV_ROWS_IN_ORDER));
    fv_err err = WebPDemuxGetFrame(demuxer, 1, &frame)
                     ? decode_first(&d, &frame)
                     : FV_FAIL(FV_ERR_FORMAT, "%s: the WebP has no frame", to->file->name);
    WebPDemuxReleaseIterator(&frame);
    return err;
}

fv_err fv_image_decode_webp(fv_image_target *to)
{
    WebPDemuxState state = WEBP_DEMUX_PARSE_ERROR;
    WebPData data = {.bytes = to->file->data, .size = to->file->size};
    WebPDemuxer *demuxer = WebPDemuxPartial(&data, &state);
    if (!demuxer || state != WEBP_DEMUX_DONE) {
        WebPDemuxDelete(demuxer);
        return FV_FAIL(FV_ERR_FORMAT, "%s: the WebP of %zu bytes %s", to->file->name, to->file->size,
                       state == WEBP_DEMUX_PARSE_ERROR ? "is damaged" : "ends too early");
    }
    fv_err err = decode(demuxer, to);
    WebPDemuxDelete(demuxer);
    return err;
}
