#include "io/image/image_stream.h"
#include "io/image/image_resize.h"

#include <stdlib.h>
#include <string.h>

struct fv_resize_stream {
    const fv_resize_passes *passes;
    fv_resize_weights columns, rows; /* without outputs if the direction keeps its size */
    int in_width, in_height;
    fv_image *out;    /* borrowed */
    uint8_t *band;    /* FV_RESIZE_ROWS rows of the input, each with slack after it; owned */
    int n_band, n_in; /* rows in the band; all rows so far */
    uint8_t *between; /* rows first to end of the image in between; owned */
    int first, end, capacity;
    int n_out; /* rows that are done */
};

static size_t band_stride(const fv_resize_stream *s)
{
    return (size_t)s->in_width * 3 + FV_RESIZE_SLACK;
}

/* Rows of the image in between that one of the output is made of, at most. */
static int max_taps(const fv_resize_stream *s)
{
    int most = 1;
    for (int y = 0; y < s->rows.n_out; y++)
        most = s->rows.count[y] > most ? s->rows.count[y] : most;
    return most;
}

static fv_err init(fv_resize_stream *s, fv_filter filter)
{
    if (s->in_width != s->out->width)
        FV_TRY(fv_resize_weights_init(&s->columns, filter, s->in_width, s->out->width));
    if (s->in_height != s->out->height)
        FV_TRY(fv_resize_weights_init(&s->rows, filter, s->in_height, s->out->height));
    s->capacity = 2 * max_taps(s) + FV_RESIZE_ROWS; /* twice: rows seldom have to move up */
    s->band = calloc(FV_RESIZE_ROWS, band_stride(s));
    s->between = malloc((size_t)s->capacity * (size_t)s->out->width * 3);
    FV_CHECK(s->band && s->between, FV_ERR_MEMORY, "no memory to resize rows of %d pixels", s->in_width);
    return FV_OK;
}

fv_err fv_resize_stream_create(int in_width, int in_height, fv_filter filter, fv_image *out,
                               fv_resize_stream **stream)
{
    *stream = NULL;
    fv_resize_stream *s = malloc(sizeof *s);
    FV_CHECK(s, FV_ERR_MEMORY, "no memory to resize an image");
    *s = (fv_resize_stream){
        .passes = fv_resize_best(), .in_width = in_width, .in_height = in_height, .out = out};
    fv_err err = init(s, filter);
    if (err != FV_OK)
        fv_resize_stream_destroy(s);
    else
        *stream = s;
    return err;
}

void fv_resize_stream_destroy(fv_resize_stream *stream)
{
    if (!stream)
        return;
    fv_resize_weights_fini(&stream->columns);
    fv_resize_weights_fini(&stream->rows);
    free(stream->band);
    free(stream->between);
    free(stream);
}

uint8_t *fv_resize_stream_row(fv_resize_stream *s)
{
    return s->band + (size_t)s->n_band * band_stride(s);
}

static uint8_t *between(const fv_resize_stream *s, int row)
{
    return s->between + (size_t)(row - s->first) * (size_t)s->out->width * 3;
}

/* The first row of the image in between that output y needs, and how many from there on. */
static int first_of(const fv_resize_stream *s, int y)
{
    return s->rows.n_out ? s->rows.first[y] : y;
}

static int count_of(const fv_resize_stream *s, int y)
{
    return s->rows.n_out ? s->rows.count[y] : 1;
}

/* Room for a band more: rows that no output needs any more go. */
static void make_room(fv_resize_stream *s)
{
    if (s->end - s->first + FV_RESIZE_ROWS <= s->capacity)
        return;
    int first = s->n_out < s->out->height ? first_of(s, s->n_out) : s->end;
    first = first < s->end ? first : s->end;
    memmove(s->between, between(s, first), (size_t)(s->end - first) * (size_t)s->out->width * 3);
    s->first = first;
}

static void change_width(fv_resize_stream *s)
{
    const uint8_t *from[FV_RESIZE_ROWS];
    uint8_t *to[FV_RESIZE_ROWS];
    make_room(s);
    for (int i = 0; i < FV_RESIZE_ROWS; i++) {
        int row = i < s->n_band ? i : s->n_band - 1;
        from[i] = s->band + (size_t)row * band_stride(s);
        to[i] = between(s, s->end + row);
        if (!s->columns.n_out)
            memcpy(to[i], from[i], (size_t)s->in_width * 3);
    }
    if (s->columns.n_out)
        s->passes->columns(&s->columns, from, to);
    s->end += s->n_band;
    s->n_band = 0;
}

static void change_height(fv_resize_stream *s)
{
    size_t row_bytes = (size_t)s->out->width * 3;
    for (; s->n_out < s->out->height; s->n_out++) {
        int first = first_of(s, s->n_out);
        if (first + count_of(s, s->n_out) > s->end)
            return;
        uint8_t *rgb = s->out->rgb + (size_t)s->n_out * row_bytes;
        if (s->rows.n_out)
            s->passes->rows(&s->rows, s->n_out, between(s, first), row_bytes, rgb);
        else
            memcpy(rgb, between(s, first), row_bytes);
    }
}

void fv_resize_stream_push(fv_resize_stream *s)
{
    s->n_band++;
    s->n_in++;
    if (s->n_band < FV_RESIZE_ROWS && s->n_in < s->in_height)
        return;
    change_width(s);
    change_height(s);
}
