/* What the synthetic sets share: draws, and a row from a drawn image. */
#ifndef FOVEA_SRC_DATA_SYNTHETIC_SYNTHETIC_H
#define FOVEA_SRC_DATA_SYNTHETIC_SYNTHETIC_H

#include "fovea/base/rng.h"
#include "fovea/data/row.h"

/* What draws are for; no answer of a rollout has these numbers, so they meet no others of the same seed. */
typedef enum fv_draw_use {
    FV_DRAW_SIZE = -2, /* which of four rows is small */
    FV_DRAW_LOOK = -3,
    FV_DRAW_GRAIN = -4
} fv_draw_use;

/* Draws of one row, one after the other. */
typedef struct fv_draws {
    fv_rng_key key;
    uint32_t n; /* drawn so far */
} fv_draws;

static inline fv_draws fv_draws_of(uint64_t seed, fv_draw_use use, uint64_t number)
{
    return (fv_draws){.key = {.seed = seed, .sample = (uint32_t)use, .prompt = number}};
}

/* A whole number in [low, high]. */
static inline int fv_draw(fv_draws *draws, int low, int high)
{
    return low + (int)(fv_rng_uniform(draws->key, draws->n++) * (float)(high - low + 1));
}

/* One of every four rows is small: can be read at full size only. */
static inline int fv_synthetic_is_small(uint64_t seed, uint64_t number)
{
    fv_draws draws = fv_draws_of(seed, FV_DRAW_SIZE, number / 4);
    return (uint64_t)fv_draw(&draws, 0, 3) == number % 4;
}

/* A row with one image, whose low-resolution view is half of it; extra is {"needs": "high"} or {"needs":
 * "low"}. On failure *out is {0}. */
typedef struct fv_synthetic_texts {
    const char *question, *answer, *source; /* copied */
    int is_small;
} fv_synthetic_texts;

fv_err fv_synthetic_row(const fv_synthetic_texts *texts, const fv_image *image, fv_row *out);

#endif
