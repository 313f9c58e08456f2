/* The shuffle of a data set: the order in which an epoch visits its rows. Local. */
#ifndef FOVEA_DATA_SHUFFLE_H
#define FOVEA_DATA_SHUFFLE_H

#include <stdint.h>

/* The row at a position (both below n) of an epoch: a permutation of the n rows that depends on seed, epoch
 * and n alone, so every rank, and a run that starts again, sees the same shuffle. Nothing is stored: each
 * position is computed by itself.
 *
 * A Feistel network of eight rounds over the smallest even number of bits that holds n, its rounds keyed by
 * rng.h; numbers beyond n go through it again until they fall below n (cycle walking: Black and Rogaway,
 * "Ciphers with arbitrary finite domains", CT-RSA 2002). */
uint64_t fv_shuffle_row(uint64_t seed, uint32_t epoch, uint64_t n, uint64_t position);

#endif
