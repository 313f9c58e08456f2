#include "fovea/model/image/processor.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#ifdef __SSE2__
#    include <emmintrin.h>
#endif

typedef struct sides {
    double height, width;
} sides;

/* The reference's smart_resize; rint rounds halves to even, as Python does. */
static sides fit(const fv_processor *p, double height, double width)
{
    double factor = p->patch * p->merge, max = (double)p->max_pixels, min = (double)p->min_pixels;
    sides s = {rint(height / factor) * factor, rint(width / factor) * factor};
    if (s.height * s.width > max) {
        double beta = sqrt(height * width / max);
        s.height = fmax(factor, floor(height / beta / factor) * factor);
        s.width = fmax(factor, floor(width / beta / factor) * factor);
    } else if (s.height * s.width < min) {
        double beta = sqrt(min / (height * width));
        s.height = ceil(height * beta / factor) * factor;
        s.width = ceil(width * beta / factor) * factor;
    }
    return s;
}

fv_err fv_processor_grid(const fv_processor *p, int width, int height, fv_grid *out)
{
    enum { MAX_RATIO = 200 };
    FV_CHECK(width > 0 && height > 0, FV_ERR_ARGUMENT, "an image of %d x %d pixels", width, height);
    double large = width > height ? width : height, small = width > height ? height : width;
    FV_CHECK(large / small <= MAX_RATIO, FV_ERR_UNSUPPORTED,
             "image of %d x %d pixels: one side is more than %d times the other; crop it", width, height,
             MAX_RATIO);
    int factor = p->patch * p->merge;
    FV_CHECK(p->do_resize || (width % factor == 0 && height % factor == 0), FV_ERR_UNSUPPORTED,
             "image of %d x %d pixels: without do_resize both sides must be multiples of %d", width, height,
             factor);
    sides s = p->do_resize ? fit(p, height, width) : (sides){height, width};
    FV_CHECK(s.height * s.width <= FV_IMAGE_MAX_PIXELS, FV_ERR_UNSUPPORTED,
             "image of %d x %d pixels would become %.0f x %.0f; lower min_pixels and max_pixels", width,
             height, s.width, s.height);
    *out = (fv_grid){.t = 1, .h = (int)s.height / p->patch, .w = (int)s.width / p->patch};
    return FV_OK;
}

int64_t fv_processor_patch_size(const fv_processor *p)
{
    return (int64_t)3 * p->temporal_patch * p->patch * p->patch;
}

/* One of the two output forms. */
typedef struct target {
    float *values;   /* or NULL */
    uint8_t *pixels; /* or NULL */
    float table[3][256];
} target;

static void fill_table(const fv_processor *p, target *t)
{
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < 256; i++) {
            float value = p->do_rescale ? (float)(i * p->rescale_factor) : (float)i;
            t->table[c][i] = p->do_normalize ? (value - (float)p->mean[c]) / (float)p->std[c] : value;
        }
}

/* What one thread works with. */
typedef struct scratch {
    fv_resize_window window;
    uint8_t *rgb;    /* (merge * patch, width, 3): a row of merge blocks; owned */
    uint8_t *planes; /* (3, patch, patch) numbers of the output form; owned */
} scratch;

static void gather_values(const target *t, const uint8_t *corner, size_t row_bytes, size_t patch, float *red)
{
    float *green = red + patch * patch, *blue = green + patch * patch;
    for (size_t y = 0, i = 0; y < patch; y++, corner += row_bytes)
        for (size_t x = 0; x < patch; x++, i++) {
            red[i] = t->table[0][corner[3 * x]];
            green[i] = t->table[1][corner[3 * x + 1]];
            blue[i] = t->table[2][corner[3 * x + 2]];
        }
}

static void gather_pixels(const uint8_t *corner, size_t row_bytes, size_t patch, uint8_t *red)
{
    for (size_t y = 0, i = 0; y < patch; y++, corner += row_bytes)
        for (size_t x = 0; x < patch; x++, i++)
            for (size_t c = 0; c < 3; c++)
                red[c * patch * patch + i] = corner[3 * x + c];
}

/* A copy past the cache where it can be: fetching what is overwritten anyway would take half the time. */
static void stream(uint8_t *to, const uint8_t *from, size_t n)
{
    size_t i = 0;
#ifdef __SSE2__
    if ((uintptr_t)to % sizeof(__m128i) == 0)
        for (; i + sizeof(__m128i) <= n; i += sizeof(__m128i))
            _mm_stream_si128((__m128i *)(to + i), _mm_loadu_si128((const __m128i *)(from + i)));
#endif
    memcpy(to + i, from + i, n - i);
}

/* Other threads see what was streamed. */
static void stream_end(void)
{
#ifdef __SSE2__
    _mm_sfence();
#endif
}

/* Patch number `at`, whose first pixel is at corner. */
static void emit(const fv_processor *p, const target *t, const uint8_t *corner, size_t row_bytes, int64_t at,
                 uint8_t *planes)
{
    size_t patch = (size_t)p->patch, bytes = patch * patch * (t->pixels ? 1 : sizeof(float));
    uint8_t *to = t->pixels ? t->pixels : (uint8_t *)t->values;
    to += (size_t)at * 3 * (size_t)p->temporal_patch * bytes;
    if (t->pixels)
        gather_pixels(corner, row_bytes, patch, planes);
    else
        gather_values(t, corner, row_bytes, patch, (float *)planes);
    for (int c = 0; c < 3; c++, planes += bytes)
        for (int time = 0; time < p->temporal_patch; time++, to += bytes)
            stream(to, planes, bytes);
}

/* The patches of one row of merge blocks. */
static void cut_row(const fv_processor *p, const scratch *s, fv_grid grid, int row, const target *t)
{
    size_t patch = (size_t)p->patch, row_bytes = (size_t)grid.w * patch * 3;
    int n_blocks = grid.w / p->merge, area = p->merge * p->merge;
    int64_t at = (int64_t)row * n_blocks * area;
    for (int block = 0; block < n_blocks; block++)
        for (int i = 0; i < area; i++, at++) {
            size_t y = (size_t)(i / p->merge) * patch;
            size_t x = (size_t)(block * p->merge + i % p->merge) * patch;
            emit(p, t, s->rgb + y * row_bytes + 3 * x, row_bytes, at, s->planes);
        }
}

/* A row of blocks is resized and cut while it is in the cache; the resized image is never whole. */
static fv_err cut(const fv_processor *p, const fv_resizer *resizer, fv_grid grid, const target *t)
{
    int height = p->patch * p->merge, failed = 0;
#pragma omp parallel reduction(| : failed)
    {
        scratch s = {.rgb = malloc((size_t)height * (size_t)(grid.w * p->patch) * 3),
                     .planes = malloc((size_t)p->patch * (size_t)p->patch * 3 * sizeof(float))};
        failed |= !s.rgb || !s.planes;
#pragma omp for schedule(static)
        for (int row = 0; row < grid.h / p->merge; row++) {
            failed = failed || fv_resizer_rows(resizer, &s.window, row * height, height, s.rgb) != FV_OK;
            if (!failed)
                cut_row(p, &s, grid, row, t);
        }
        stream_end();
        free(s.rgb);
        free(s.planes);
        fv_resize_window_fini(&s.window);
    }
    FV_CHECK(!failed, FV_ERR_MEMORY, "no memory for %d rows of %d pixels", height, grid.w * p->patch);
    return FV_OK;
}

static fv_err run_to(const fv_processor *p, const fv_image *image, fv_grid grid, const target *t)
{
    fv_resizer *resizer;
    FV_TRY(fv_resizer_create(image, grid.w * p->patch, grid.h * p->patch, p->resample, &resizer));
    fv_err err = cut(p, resizer, grid, t);
    fv_resizer_destroy(resizer);
    return err;
}

static fv_err run(const fv_processor *p, const fv_image *image, const target *t)
{
    fv_grid grid;
    FV_TRY(fv_processor_grid(p, image->width, image->height, &grid));
    return run_to(p, image, grid, t);
}

fv_err fv_processor_run(const fv_processor *p, const fv_image *image, float *out)
{
    target t = {.values = out};
    fill_table(p, &t);
    return run(p, image, &t);
}

fv_err fv_processor_cut(const fv_processor *p, const fv_image *image, float *out)
{
    target t = {.values = out};
    fill_table(p, &t);
    return run_to(p, image, (fv_grid){.t = 1, .h = image->height / p->patch, .w = image->width / p->patch},
                  &t);
}

fv_err fv_processor_run_u8(const fv_processor *p, const fv_image *image, uint8_t *out)
{
    target t = {.pixels = out};
    return run(p, image, &t);
}
