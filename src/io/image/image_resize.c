#include "io/image/image_resize.h"
#include "io/image/image_weights.h"

#include <stdlib.h>
#include <string.h>

/* Unsigned sums wrap; the sums of split weights rely on it, and this is the same integer. */
static uint8_t round_sum(uint32_t sum)
{
    int32_t value = (int32_t)(sum + (1U << (FV_RESIZE_BITS - 1))) >> FV_RESIZE_BITS;
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

static uint32_t weight(const fv_resize_weights *w, int at, int tap)
{
    const int16_t *part = fv_resize_group(w, at, tap / FV_RESIZE_GROUP) + tap % FV_RESIZE_GROUP;
    return (uint32_t)(part[0] * (1 << FV_RESIZE_LOW_BITS) + part[FV_RESIZE_GROUP]);
}

static void columns_of_row(const fv_resize_weights *w, const uint8_t *in, uint8_t *out)
{
    for (int x = 0; x < w->n_out; x++) {
        const uint8_t *from = in + 3 * (size_t)w->first[x];
        uint32_t sum[3] = {0};
        for (int t = 0; t < w->count[x]; t++)
            for (int c = 0; c < 3; c++)
                sum[c] += weight(w, x, t) * from[3 * t + c];
        for (int c = 0; c < 3; c++)
            out[3 * (size_t)x + (size_t)c] = round_sum(sum[c]);
    }
}

static void columns(const fv_resize_weights *w, const uint8_t *const in[FV_RESIZE_ROWS],
                    uint8_t *const out[FV_RESIZE_ROWS])
{
    for (int r = 0; r < FV_RESIZE_ROWS; r++)
        columns_of_row(w, in[r], out[r]);
}

static void rows(const fv_resize_weights *w, int y, const uint8_t *from, size_t n_bytes, uint8_t *out)
{
    for (size_t i = 0; i < n_bytes; i++) {
        uint32_t sum = 0;
        for (int t = 0; t < w->count[y]; t++)
            sum += weight(w, y, t) * from[(size_t)t * n_bytes + i];
        out[i] = round_sum(sum);
    }
}

const fv_resize_passes fv_resize_portable = {.columns = columns, .rows = rows};

/* Never changed once it is made: several threads may use one, each with its own window. */
typedef struct resizer {
    fv_resize_passes passes;
    const fv_image *in; /* borrowed */
    int width, height;
    fv_resize_weights columns, rows; /* without outputs if the direction keeps its size */
    uint8_t *last_row;               /* of in, with slack after it; owned */
} resizer;

/* What one thread keeps from call to call. Starts as {0}. */
typedef struct window {
    fv_buffer rows; /* rows first to end of the image in between */
    int first, end;
} window;

static fv_err init(resizer *r, fv_filter filter)
{
    const fv_image *in = r->in;
    if (in->width != r->width)
        FV_TRY(fv_resize_weights_init(&r->columns, filter, in->width, r->width));
    if (in->height != r->height)
        FV_TRY(fv_resize_weights_init(&r->rows, filter, in->height, r->height));
    /* The pass over columns reads past the end of a row: into the next one, but the last needs a copy. */
    size_t row_bytes = (size_t)in->width * 3;
    r->last_row = calloc(row_bytes + FV_RESIZE_SLACK, 1);
    FV_CHECK(r->last_row, FV_ERR_MEMORY, "no memory for a row of %d pixels", in->width);
    memcpy(r->last_row, in->rgb + (size_t)(in->height - 1) * row_bytes, row_bytes);
    return FV_OK;
}

static void resizer_fini(resizer *r)
{
    fv_resize_weights_fini(&r->columns);
    fv_resize_weights_fini(&r->rows);
    free(r->last_row);
}

static fv_err resizer_init(resizer *r, const fv_resize_passes *passes, const fv_image *in, int width,
                           int height, fv_filter filter)
{
    FV_CHECK(filter == FV_FILTER_LANCZOS || filter == FV_FILTER_BICUBIC, FV_ERR_UNSUPPORTED,
             "resampling filter %d, supported are 1 (Lanczos) and 3 (bicubic)", (int)filter);
    if (in->width < (FV_RESIZE_SLACK + 2) / 3)
        passes = &fv_resize_portable; /* one row is too short to be the slack of another */
    *r = (resizer){.passes = *passes, .in = in, .width = width, .height = height};
    fv_err err = init(r, filter);
    if (err != FV_OK)
        resizer_fini(r);
    return err;
}

const fv_resize_passes *fv_resize_best(void)
{
    const fv_resize_passes *avx2 = fv_resize_avx2();
    return avx2 ? avx2 : &fv_resize_portable;
}

/* Rows first to end of the image in between, which has the width of the output and the height of the input.
 */
static void change_width(const resizer *r, int first, int end, uint8_t *out)
{
    size_t in_bytes = (size_t)r->in->width * 3, out_bytes = (size_t)r->width * 3;
    if (!r->columns.n_out) {
        memcpy(out, r->in->rgb + (size_t)first * in_bytes, (size_t)(end - first) * in_bytes);
        return;
    }
    for (int y = first; y < end; y += FV_RESIZE_ROWS) {
        const uint8_t *from[FV_RESIZE_ROWS];
        uint8_t *to[FV_RESIZE_ROWS];
        for (int i = 0; i < FV_RESIZE_ROWS; i++) {
            int row = y + i < end ? y + i : end - 1;
            from[i] = row == r->in->height - 1 ? r->last_row : r->in->rgb + (size_t)row * in_bytes;
            to[i] = out + (size_t)(row - first) * out_bytes;
        }
        r->passes.columns(&r->columns, from, to);
    }
}

/* Make the window hold rows first to end of the image in between. Those that it has are kept, and new ones
 * come in whole groups, so that calls that follow each other make no row twice. */
static fv_err move_window(const resizer *r, window *w, int first, int end)
{
    size_t row_bytes = (size_t)r->width * 3;
    int is_kept = w->first <= first && first < w->end;
    if (is_kept && end <= w->end)
        return FV_OK;
    int n_kept = is_kept ? w->end - first : 0, n_new = end - first - n_kept;
    n_new = (n_new + FV_RESIZE_ROWS - 1) / FV_RESIZE_ROWS * FV_RESIZE_ROWS;
    if (n_new > r->in->height - first - n_kept)
        n_new = r->in->height - first - n_kept;
    if (n_kept)
        memmove(w->rows.data, w->rows.data + (size_t)(first - w->first) * row_bytes,
                (size_t)n_kept * row_bytes);
    w->rows.size = (size_t)n_kept * row_bytes;
    w->first = first;
    w->end = first + n_kept;
    FV_TRY(fv_buffer_reserve(&w->rows, (size_t)n_new * row_bytes));
    change_width(r, w->end, w->end + n_new, (uint8_t *)w->rows.data + w->rows.size);
    w->end += n_new;
    return FV_OK;
}

/* Rows first to first + n of the resized image to rgb, (n, width, 3). Rows in rising order cost least. Only
 * FV_ERR_MEMORY is possible. */
static fv_err resize_rows(const resizer *r, window *w, int first, int n, uint8_t *rgb)
{
    if (!r->rows.n_out) {
        change_width(r, first, first + n, rgb);
        return FV_OK;
    }
    const uint8_t *from = r->in->rgb;
    int from_row = 0, last = first + n - 1;
    if (r->columns.n_out) {
        FV_TRY(move_window(r, w, r->rows.first[first], r->rows.first[last] + r->rows.count[last]));
        from = (const uint8_t *)w->rows.data;
        from_row = w->first;
    }
    size_t row_bytes = (size_t)r->width * 3;
    for (int y = first; y <= last; y++, rgb += row_bytes)
        r->passes.rows(&r->rows, y, from + (size_t)(r->rows.first[y] - from_row) * row_bytes, row_bytes, rgb);
    return FV_OK;
}

static fv_err resize_into(const resizer *r, fv_image *out)
{
    enum { BAND = 32 }; /* rows of a call */
    int failed = 0;
#pragma omp parallel reduction(| : failed)
    {
        window w = {0};
#pragma omp for schedule(static)
        for (int y = 0; y < out->height; y += BAND) {
            int n = out->height - y < BAND ? out->height - y : BAND;
            uint8_t *rgb = out->rgb + (size_t)y * (size_t)out->width * 3;
            failed |= resize_rows(r, &w, y, n, rgb) != FV_OK;
        }
        fv_buffer_fini(&w.rows);
    }
    FV_CHECK(!failed, FV_ERR_MEMORY, "no memory to resize to %d x %d pixels", out->width, out->height);
    return FV_OK;
}

fv_err fv_image_resize_by(const fv_resize_passes *passes, const fv_image *in, fv_filter filter, fv_image *out)
{
    resizer r = {0};
    FV_TRY(fv_image_init(out, "resized image", out->width, out->height, FV_IMAGE_MAX_PIXELS));
    fv_err err = resizer_init(&r, passes, in, out->width, out->height, filter);
    if (err == FV_OK) {
        err = resize_into(&r, out);
        resizer_fini(&r);
    }
    if (err != FV_OK)
        fv_image_fini(out);
    return err;
}

fv_err fv_image_resize(const fv_image *in, int width, int height, fv_filter filter, fv_image *out)
{
    *out = (fv_image){.width = width, .height = height};
    return fv_image_resize_by(fv_resize_best(), in, filter, out);
}
