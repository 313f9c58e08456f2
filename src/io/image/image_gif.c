#include "io/image/image_codec.h"

#include <stdlib.h>
#include <string.h>

#include <gif_lib.h>

enum { NO_COLOUR = -1 };

typedef struct decoder {
    GifFileType *gif;
    fv_image_target *to;
    size_t at;                   /* of the next byte to read */
    const ColorMapObject *table; /* of the first frame; NULL: indices are greys */
    int transparent;             /* an index, or NO_COLOUR */
    GifPixelType *line;          /* a row of the frame; owned */
} decoder;

static int on_read(GifFileType *gif, GifByteType *bytes, int n)
{
    decoder *d = gif->UserData;
    const fv_image_file *file = d->to->file;
    size_t left = file->size - d->at, taken = (size_t)n < left ? (size_t)n : left;
    memcpy(bytes, (const uint8_t *)file->data + d->at, taken);
    d->at += taken;
    return (int)taken;
}

static fv_err fail(const decoder *d, int code)
{
    const fv_image_file *file = d->to->file;
    const char *reason = GifErrorString(code);
    FV_CHECK(code != D_GIF_ERR_NOT_ENOUGH_MEM, FV_ERR_MEMORY, "%s: no memory to decode the GIF", file->name);
    FV_CHECK(d->at < file->size, FV_ERR_FORMAT, "%s: the GIF ends too early, after %zu bytes", file->name,
             file->size);
    return FV_FAIL(FV_ERR_FORMAT, "%s: not a sound GIF: %s", file->name, reason ? reason : "damaged data");
}

#define TRY_GIF(d, call)                     \
    do {                                     \
        if ((call) == GIF_ERROR)             \
            return fail(d, (d)->gif->Error); \
    } while (0)

/* Of the extensions only the one that makes a colour transparent matters. */
static fv_err read_extension(decoder *d)
{
    int code;
    GifByteType *block;
    GraphicsControlBlock control;
    TRY_GIF(d, DGifGetExtension(d->gif, &code, &block));
    if (block && code == GRAPHICS_EXT_FUNC_CODE &&
        DGifExtensionToGCB(block[0], block + 1, &control) == GIF_OK)
        d->transparent = control.TransparentColor;
    while (block)
        TRY_GIF(d, DGifGetExtensionNext(d->gif, &block));
    return FV_OK;
}

/* Up to the next frame; *is_there 0: the file is over. */
static fv_err find_frame(decoder *d, int *is_there)
{
    GifRecordType type;
    for (;;) {
        TRY_GIF(d, DGifGetRecordType(d->gif, &type));
        *is_there = type == IMAGE_DESC_RECORD_TYPE;
        if (type == EXTENSION_RECORD_TYPE)
            FV_TRY(read_extension(d));
        else if (type == IMAGE_DESC_RECORD_TYPE || type == TERMINATE_RECORD_TYPE)
            return FV_OK;
    }
}

static int max(int a, int b)
{
    return a > b ? a : b;
}

/* A frame may reach beyond the canvas, which grows then. */
static fv_err begin(decoder *d)
{
    const GifImageDesc *frame = &d->gif->Image;
    int width = max(d->gif->SWidth, frame->Left + frame->Width);
    int height = max(d->gif->SHeight, frame->Top + frame->Height);
    FV_CHECK(frame->Width > 0 && frame->Height > 0, FV_ERR_FORMAT, "%s: the GIF's frame has %d x %d pixels",
             d->to->file->name, frame->Width, frame->Height);
    d->table = frame->ColorMap ? frame->ColorMap : d->gif->SColorMap;
    FV_TRY(fv_image_begin(d->to, width, height, frame->Interlace ? FV_ROWS_IN_ANY_ORDER : FV_ROWS_IN_ORDER));
    d->line = malloc((size_t)frame->Width);
    FV_CHECK(d->line, FV_ERR_MEMORY, "%s: no memory for a row of pixels", d->to->file->name);
    return FV_OK;
}

static void look_up(const decoder *d, int index, uint8_t *rgb)
{
    int is_white = index == d->transparent && d->to->file->alpha == FV_ALPHA_WHITE;
    if (!d->table || is_white) {
        memset(rgb, is_white ? 255 : index, 3);
        return;
    }
    GifColorType colour = {0, 0, 0};
    if (index < d->table->ColorCount)
        colour = d->table->Colors[index];
    rgb[0] = colour.Red;
    rgb[1] = colour.Green;
    rgb[2] = colour.Blue;
}

/* Row y of the canvas, with the line in it if y is a row of the frame. What no frame covers is transparent,
 * or has the first colour. */
static void give_row(decoder *d, int y)
{
    const GifImageDesc *frame = &d->gif->Image;
    uint8_t *rgb = fv_image_row(d->to, y);
    int is_inside = y >= frame->Top && y < frame->Top + frame->Height;
    int background = d->transparent == NO_COLOUR ? 0 : d->transparent;
    for (int x = 0; x < d->to->width; x++, rgb += 3) {
        int at = x - frame->Left;
        look_up(d, is_inside && at >= 0 && at < frame->Width ? d->line[at] : background, rgb);
    }
    fv_image_row_done(d->to);
}

/* The row of an interlaced frame that comes as number i: every 8th, those in the middle between them, and so
 * on. */
static int interlaced_row(int i, int height)
{
    static const int first[] = {0, 4, 2, 1}, step[] = {8, 8, 4, 2};
    int pass = 0;
    for (int n; pass < 3 && i >= (n = (height - first[pass] + step[pass] - 1) / step[pass]); pass++)
        i -= n;
    return first[pass] + i * step[pass];
}

static fv_err read_rows(decoder *d)
{
    const GifImageDesc *frame = &d->gif->Image;
    for (int y = 0; y < frame->Top; y++)
        give_row(d, y);
    for (int i = 0; i < frame->Height; i++) {
        TRY_GIF(d, DGifGetLine(d->gif, d->line, frame->Width));
        give_row(d, frame->Top + (frame->Interlace ? interlaced_row(i, frame->Height) : i));
    }
    for (int y = frame->Top + frame->Height; y < d->to->height; y++)
        give_row(d, y);
    return FV_OK;
}

/* The frames that follow are not decoded, but they are there. */
static fv_err skip_rest(decoder *d)
{
    int is_there;
    for (;;) {
        FV_TRY(find_frame(d, &is_there));
        if (!is_there)
            return FV_OK;
        int code;
        GifByteType *block;
        TRY_GIF(d, DGifGetImageDesc(d->gif));
        TRY_GIF(d, DGifGetCode(d->gif, &code, &block));
        while (block)
            TRY_GIF(d, DGifGetCodeNext(d->gif, &block));
    }
}

static fv_err run(decoder *d)
{
    int is_there;
    FV_TRY(find_frame(d, &is_there));
    FV_CHECK(is_there, FV_ERR_FORMAT, "%s: the GIF has no frame", d->to->file->name);
    TRY_GIF(d, DGifGetImageDesc(d->gif));
    FV_TRY(begin(d));
    FV_TRY(read_rows(d));
    return skip_rest(d);
}

fv_err fv_image_decode_gif(fv_image_target *to)
{
    int code = 0;
    decoder d = {.to = to, .transparent = NO_COLOUR};
    d.gif = DGifOpen(&d, on_read, &code);
    if (!d.gif)
        return fail(&d, code);
    fv_err err = run(&d);
    DGifCloseFile(d.gif, &code);
    free(d.line);
    return err;
}
