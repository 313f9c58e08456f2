#include "io/image_resize.h"
#include "io/image_weights.h"

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

static void rows(const fv_resize_weights *w, int y, const uint8_t *in, size_t n_bytes, uint8_t *out)
{
    const uint8_t *from = in + (size_t)w->first[y] * n_bytes;
    for (size_t i = 0; i < n_bytes; i++) {
        uint32_t sum = 0;
        for (int t = 0; t < w->count[y]; t++)
            sum += weight(w, y, t) * from[(size_t)t * n_bytes + i];
        out[i] = round_sum(sum);
    }
}

const fv_resize_passes fv_resize_portable = {.columns = columns, .rows = rows};

/* The passes read past the end of a row: into the next one, but the last row needs a copy with slack. */
static fv_err resize_columns(fv_resize_columns *pass, const fv_resize_weights *w, const fv_image *in,
                             fv_image *out)
{
    size_t in_bytes = (size_t)in->width * 3, out_bytes = (size_t)out->width * 3;
    uint8_t *last = malloc(in_bytes + FV_RESIZE_SLACK);
    FV_CHECK(last, FV_ERR_MEMORY, "no memory for a row of %d pixels", in->width);
    int end = in->height - 1;
    memcpy(last, in->rgb + (size_t)end * in_bytes, in_bytes);
    memset(last + in_bytes, 0, FV_RESIZE_SLACK);
#pragma omp parallel for schedule(static)
    for (int y = 0; y < in->height; y += FV_RESIZE_ROWS) {
        const uint8_t *from[FV_RESIZE_ROWS];
        uint8_t *to[FV_RESIZE_ROWS];
        for (int r = 0; r < FV_RESIZE_ROWS; r++) {
            int row = y + r < end ? y + r : end;
            from[r] = row == end ? last : in->rgb + (size_t)row * in_bytes;
            to[r] = out->rgb + (size_t)row * out_bytes;
        }
        pass(w, from, to);
    }
    free(last);
    return FV_OK;
}

static void resize_rows(fv_resize_rows *pass, const fv_resize_weights *w, const fv_image *in, fv_image *out)
{
    size_t n_bytes = (size_t)out->width * 3;
#pragma omp parallel for schedule(static)
    for (int y = 0; y < out->height; y++)
        pass(w, y, in->rgb, n_bytes, out->rgb + (size_t)y * n_bytes);
}

static fv_err change_width(const fv_resize_passes *passes, const fv_image *in, fv_filter filter,
                           fv_image *out)
{
    fv_resize_weights w;
    FV_TRY(fv_resize_weights_init(&w, filter, in->width, out->width));
    fv_err err = resize_columns(passes->columns, &w, in, out);
    fv_resize_weights_fini(&w);
    return err;
}

static fv_err change_height(const fv_resize_passes *passes, const fv_image *in, fv_filter filter,
                            fv_image *out)
{
    fv_resize_weights w;
    FV_TRY(fv_resize_weights_init(&w, filter, in->height, out->height));
    resize_rows(passes->rows, &w, in, out);
    fv_resize_weights_fini(&w);
    return FV_OK;
}

static fv_err change_both(const fv_resize_passes *passes, const fv_image *in, fv_filter filter, fv_image *out)
{
    fv_image between;
    FV_TRY(fv_image_init(&between, "resized image", out->width, in->height, FV_IMAGE_MAX_PIXELS));
    fv_err err = change_width(passes, in, filter, &between);
    if (err == FV_OK)
        err = change_height(passes, &between, filter, out);
    fv_image_fini(&between);
    return err;
}

fv_err fv_image_resize_by(const fv_resize_passes *passes, const fv_image *in, fv_filter filter, fv_image *out)
{
    if (in->width < (FV_RESIZE_SLACK + 2) / 3)
        passes = &fv_resize_portable; /* one row is too short to be the slack of another */
    FV_TRY(fv_image_init(out, "resized image", out->width, out->height, FV_IMAGE_MAX_PIXELS));
    fv_err err = FV_OK;
    if (in->width != out->width && in->height != out->height)
        err = change_both(passes, in, filter, out);
    else if (in->width != out->width)
        err = change_width(passes, in, filter, out);
    else if (in->height != out->height)
        err = change_height(passes, in, filter, out);
    else
        memcpy(out->rgb, in->rgb, (size_t)in->width * (size_t)in->height * 3);
    if (err != FV_OK)
        fv_image_fini(out);
    return err;
}

fv_err fv_image_resize(const fv_image *in, int width, int height, fv_filter filter, fv_image *out)
{
    FV_CHECK(filter == FV_FILTER_LANCZOS || filter == FV_FILTER_BICUBIC, FV_ERR_UNSUPPORTED,
             "resampling filter %d, supported are 1 (Lanczos) and 3 (bicubic)", (int)filter);
    const fv_resize_passes *avx2 = fv_resize_avx2();
    *out = (fv_image){.width = width, .height = height};
    return fv_image_resize_by(avx2 ? avx2 : &fv_resize_portable, in, filter, out);
}
