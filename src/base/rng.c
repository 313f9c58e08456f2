#include "fovea/base/rng.h"

#include <math.h>

static void philox_round(uint32_t counter[4], const uint32_t key[2])
{
    uint64_t product0 = (uint64_t)0xD2511F53u * counter[0];
    uint64_t product1 = (uint64_t)0xCD9E8D57u * counter[2];
    uint32_t c1 = counter[1], c3 = counter[3];
    counter[0] = (uint32_t)(product1 >> 32) ^ c1 ^ key[0];
    counter[1] = (uint32_t)product1;
    counter[2] = (uint32_t)(product0 >> 32) ^ c3 ^ key[1];
    counter[3] = (uint32_t)product0;
}

static void philox(uint32_t counter[4], uint32_t key0, uint32_t key1)
{
    uint32_t key[2] = {key0, key1};
    for (int round = 0; round < 10; round++) {
        philox_round(counter, key);
        key[0] += 0x9E3779B9u;
        key[1] += 0xBB67AE85u;
    }
}

/* The key has 192 bits and Philox4x32 takes 64 + 128 a call: the first call folds (seed, prompt, step) into a
 * stream key, the second counts draws in that stream. */
void fv_rng_words(fv_rng_key key, uint32_t index, uint32_t out[4])
{
    uint32_t stream[4] = {(uint32_t)key.prompt, (uint32_t)(key.prompt >> 32), key.step, key.sample};
    philox(stream, (uint32_t)key.seed, (uint32_t)(key.seed >> 32));
    out[0] = index;
    out[1] = key.sample;
    out[2] = stream[2];
    out[3] = stream[3];
    philox(out, stream[0], stream[1]);
}

float fv_rng_uniform(fv_rng_key key, uint32_t index)
{
    uint32_t words[4];
    fv_rng_words(key, index, words);
    return (float)(words[0] >> 8) * 0x1p-24f;
}

float fv_rng_normal(fv_rng_key key, uint32_t index)
{
    uint32_t words[4];
    fv_rng_words(key, index, words);
    double u = ((double)words[0] + 1.0) * 0x1p-32; /* never 0 */
    double angle = (double)words[1] * (6.283185307179586476925 * 0x1p-32);
    return (float)(sqrt(-2.0 * log(u)) * cos(angle));
}
