#include "fovea/model/param.h"
#include "fovea/base/rng.h"

#include <math.h>

enum {
    DRAW = 4,    /* numbers of one draw */
    NOISE = 8,   /* the same of noise: half a word each */
    BLOCK = 4096 /* numbers of noise that one thread draws at a time */
};

/* FNV-1a: a key for the stream of draws of a name. */
static uint64_t hash_name(const char *name)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (; *name; name++)
        hash = (hash ^ (uint8_t)*name) * 0x100000001b3u;
    return hash;
}

/* Two normal numbers from two words (Box-Muller). */
static void normal_pair(const uint32_t words[2], double deviation, float out[2])
{
    double radius = deviation * sqrt(-2.0 * log(((double)words[0] + 1.0) * 0x1p-32)); /* never log(0) */
    double angle = (double)words[1] * (6.283185307179586476925 * 0x1p-32);
    double sine, cosine;
    sincos(angle, &sine, &cosine);
    out[0] = (float)(radius * cosine);
    out[1] = (float)(radius * sine);
}

/* The numbers of draw `index`, which are elements 4 index to 4 index + 3, as far as they lie in [begin, end).
 */
static void fill_draw(fv_rng_key key, double deviation, int64_t index, int64_t begin, int64_t end, float *out)
{
    uint32_t words[4];
    float four[DRAW];
    key.sample = (uint32_t)(index >> 32);
    fv_rng_words(key, (uint32_t)index, words);
    normal_pair(words, deviation, four);
    normal_pair(words + 2, deviation, four + 2);
    for (int i = 0; i < DRAW; i++) {
        int64_t element = index * DRAW + i;
        if (element >= begin && element < end)
            out[element - begin] = four[i];
    }
}

static int is_drawn(const fv_param *param)
{
    return param->init == FV_INIT_LINEAR || param->init == FV_INIT_EMBEDDING;
}

static double deviation_of(const fv_param *param)
{
    return param->init == FV_INIT_LINEAR ? 1 / sqrt(3.0 * (double)param->cols) : 0.02;
}

void fv_param_fill(const fv_param *param, uint64_t seed, int64_t first, int64_t n, float *out)
{
    int64_t begin = first * param->cols, end = begin + n * param->cols;
    fv_rng_key key = {.seed = seed, .prompt = hash_name(param->name)};
    double deviation = deviation_of(param);
    if (is_drawn(param)) {
#pragma omp parallel for schedule(static) if (end - begin > 1 << 14)
        for (int64_t index = begin / DRAW; index < (end + DRAW - 1) / DRAW; index++)
            fill_draw(key, deviation, index, begin, end, out);
        return;
    }
    for (int64_t i = 0; i < end - begin; i++)
        out[i] = param->init == FV_INIT_ONE ? 1.0f : 0.0f;
}

/* Elements [begin, end) of noise between -scale and scale. */
static void draw_noise(fv_rng_key key, float scale, int64_t begin, int64_t end, float *out)
{
    for (int64_t index = begin / NOISE; index * NOISE < end; index++) {
        uint32_t words[NOISE / 2];
        key.sample = (uint32_t)(index >> 32);
        fv_rng_words(key, (uint32_t)index, words);
        for (int i = 0; i < NOISE; i++) {
            int64_t element = index * NOISE + i;
            float step = (float)(words[i / 2] >> 16 * (i % 2) & 0xffff) - 32767.5f;
            if (element >= begin && element < end)
                out[element - begin] = scale * (step * 0x1p-15f);
        }
    }
}

void fv_param_noise(const fv_param *param, int64_t first, int64_t n, fv_dtype dtype, void *out)
{
    const fv_rng_key key = {.prompt = hash_name(param->name)};
    float scale = (float)(deviation_of(param) * sqrt(3.0)), same = param->init == FV_INIT_ONE ? 1.0f : 0.0f;
    int is_noise = is_drawn(param);
#pragma omp parallel for schedule(static) if (n > 4 * BLOCK)
    for (int64_t at = 0; at < n; at += BLOCK) {
        int64_t count = n - at < BLOCK ? n - at : BLOCK;
        float numbers[BLOCK];
        if (is_noise)
            draw_noise(key, scale, first + at, first + at + count, numbers);
        for (int64_t i = 0; i < count && !is_noise; i++)
            numbers[i] = same;
        fv_dtype_encode(dtype, numbers, count, (char *)out + (size_t)at * fv_dtype_bytes(dtype));
    }
}
