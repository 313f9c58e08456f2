/* Random draws as pure functions of a key: no state, so no layout, order or restart changes them.
 *
 * Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011). Local. */
#ifndef FOVEA_BASE_RNG_H
#define FOVEA_BASE_RNG_H

#include <stdint.h>

/* Names one stream of draws. Fields that do not apply are 0. */
typedef struct fv_rng_key {
    uint64_t seed;   /* of the run */
    uint32_t step;   /* optimizer step, or what the draws are for */
    uint32_t sample; /* answer within the group */
    uint64_t prompt; /* row of the data set */
} fv_rng_key;

/* Four 32-bit words of draw number index. */
void fv_rng_words(fv_rng_key key, uint32_t index, uint32_t out[4]);

/* Draw number index, uniform in [0, 1), a multiple of 2^-24. */
float fv_rng_uniform(fv_rng_key key, uint32_t index);

/* Draw number index, normal with mean 0 and variance 1 (Box-Muller). */
float fv_rng_normal(fv_rng_key key, uint32_t index);

#endif
