#include "fovea/data/shuffle.h"
#include "fovea/base/rng.h"

enum { ROUNDS = 8 };

/* No sample has this number, so these draws meet no others of the same seed. */
static const uint32_t stream = UINT32_MAX;

static uint64_t scramble(uint64_t seed, uint32_t epoch, int half_bits, uint64_t value)
{
    uint64_t mask = ((uint64_t)1 << half_bits) - 1, left = value >> half_bits, right = value & mask;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint32_t words[4];
        fv_rng_words((fv_rng_key){.seed = seed, .step = epoch, .sample = stream, .prompt = right}, round,
                     words);
        uint64_t mixed = left ^ (words[0] & mask);
        left = right;
        right = mixed;
    }
    return left << half_bits | right;
}

uint64_t fv_shuffle_row(uint64_t seed, uint32_t epoch, uint64_t n, uint64_t position)
{
    int half_bits = 1;
    while (half_bits < 32 && n > (uint64_t)1 << 2 * half_bits)
        half_bits++;
    do
        position = scramble(seed, epoch, half_bits, position);
    while (position >= n);
    return position;
}
