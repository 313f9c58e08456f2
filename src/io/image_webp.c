#include "io/image_codec.h"

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

/* The first frame may cover a part of the canvas; what it leaves is black. */
static fv_err decode_frame(const fv_image_source *source, const WebPIterator *frame, fv_image *out)
{
    int fits = frame->x_offset >= 0 && frame->y_offset >= 0 && frame->width <= out->width - frame->x_offset &&
               frame->height <= out->height - frame->y_offset;
    FV_CHECK(fits && frame->complete, FV_ERR_FORMAT,
             "%s: the WebP's first frame is cut off or off the canvas", source->name);
    WebPDecoderConfig config;
    FV_CHECK(WebPInitDecoderConfig(&config), FV_ERR_INTERNAL, "libwebp is not the version built against");
    VP8StatusCode status = WebPGetFeatures(frame->fragment.bytes, frame->fragment.size, &config.input);
    int agree = config.input.width == frame->width && config.input.height == frame->height;
    FV_CHECK(status == VP8_STATUS_OK && agree, FV_ERR_FORMAT, "%s: the WebP's first frame is not sound",
             source->name);
    size_t row_bytes = (size_t)out->width * 3, pixels = row_bytes * (size_t)out->height;
    if (frame->width < out->width || frame->height < out->height)
        memset(out->rgb, 0, pixels);
    size_t offset = (size_t)frame->y_offset * row_bytes + (size_t)frame->x_offset * 3;
    config.output.colorspace = MODE_RGB;
    config.output.is_external_memory = 1;
    config.output.u.RGBA.rgba = out->rgb + offset;
    config.output.u.RGBA.stride = (int)row_bytes;
    config.output.u.RGBA.size = pixels - offset;
    status = WebPDecode(frame->fragment.bytes, frame->fragment.size, &config);
    WebPFreeDecBuffer(&config.output);
    FV_CHECK(status == VP8_STATUS_OK, FV_ERR_FORMAT, "%s: not a sound WebP: %s", source->name,
             status_text(status));
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

static fv_err decode_first(const fv_image_source *source, const WebPDemuxer *demuxer, fv_image *out)
{
    FV_TRY(fv_image_init(out, source->name, WebPDemuxGetI(demuxer, WEBP_FF_CANVAS_WIDTH),
                         WebPDemuxGetI(demuxer, WEBP_FF_CANVAS_HEIGHT), source->max_pixels));
    WebPIterator frame;
    fv_err err = WebPDemuxGetFrame(demuxer, 1, &frame)
                     ? decode_frame(source, &frame, out)
                     : FV_FAIL(FV_ERR_FORMAT, "%s: the WebP has no frame", source->name);
    WebPDemuxReleaseIterator(&frame);
    return err;
}

fv_err fv_image_decode_webp(const fv_image_source *source, fv_image *out, int *orientation)
{
    WebPDemuxState state = WEBP_DEMUX_PARSE_ERROR;
    WebPData data = {.bytes = source->data, .size = source->size};
    WebPDemuxer *demuxer = WebPDemuxPartial(&data, &state);
    if (!demuxer || state != WEBP_DEMUX_DONE) {
        WebPDemuxDelete(demuxer);
        return FV_FAIL(FV_ERR_FORMAT, "%s: the WebP of %zu bytes %s", source->name, source->size,
                       state == WEBP_DEMUX_PARSE_ERROR ? "is damaged" : "ends too early");
    }
    fv_err err = decode_first(source, demuxer, out);
    if (err == FV_OK)
        *orientation = find_orientation(demuxer);
    WebPDemuxDelete(demuxer);
    return err;
}
