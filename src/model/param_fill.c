#include "fovea/model/param.h"
#include "fovea/base/rng.h"

#include <math.h>

enum { DRAW = 4 /* numbers of one draw */ };

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

void fv_param_fill(const fv_param *param, uint64_t seed, int64_t first, int64_t n, float *out)
{
    int64_t begin = first * param->cols, end = begin + n * param->cols;
    fv_rng_key key = {.seed = seed, .prompt = hash_name(param->name)};
    double deviation = param->init == FV_INIT_LINEAR ? 1 / sqrt(3.0 * (double)param->cols) : 0.02;
    if (param->init == FV_INIT_LINEAR || param->init == FV_INIT_EMBEDDING) {
#pragma omp parallel for schedule(static) if (end - begin > 1 << 14)
        for (int64_t index = begin / DRAW; index < (end + DRAW - 1) / DRAW; index++)
            fill_draw(key, deviation, index, begin, end, out);
        return;
    }
    for (int64_t i = 0; i < end - begin; i++)
        out[i] = param->init == FV_INIT_ONE ? 1.0f : 0.0f;
}
