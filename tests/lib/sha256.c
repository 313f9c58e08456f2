#include "sha256.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static uint32_t sha256_turn(uint32_t x, int n)
{
    return x >> n | x << (32 - n);
}

/* The first 32 bits of the fractions of the cube roots (constants) or square roots (start) of the primes. */
static void sha256_constants(uint32_t constants[64], uint32_t start[8])
{
    int n = 0;
    for (int p = 2; n < 64; p++) {
        int is_prime = 1;
        for (int d = 2; d * d <= p; d++)
            is_prime &= p % d != 0;
        if (!is_prime)
            continue;
        if (n < 8)
            start[n] = (uint32_t)(uint64_t)(sqrtl(p) * 4294967296.0L);
        constants[n++] = (uint32_t)(uint64_t)(cbrtl(p) * 4294967296.0L);
    }
}

static void sha256_block(uint32_t state[8], const uint32_t constants[64], const uint8_t *block)
{
    uint32_t w[64], v[8];
    for (int i = 0; i < 16; i++, block += 4)
        w[i] = (uint32_t)block[0] << 24 | (uint32_t)block[1] << 16 | (uint32_t)block[2] << 8 | block[3];
    for (int i = 16; i < 64; i++) {
        uint32_t a = w[i - 15], b = w[i - 2];
        w[i] = w[i - 16] + w[i - 7] + (sha256_turn(a, 7) ^ sha256_turn(a, 18) ^ a >> 3) +
               (sha256_turn(b, 17) ^ sha256_turn(b, 19) ^ b >> 10);
    }
    memcpy(v, state, sizeof v);
    for (int i = 0; i < 64; i++) {
        uint32_t e = sha256_turn(v[4], 6) ^ sha256_turn(v[4], 11) ^ sha256_turn(v[4], 25);
        uint32_t a = sha256_turn(v[0], 2) ^ sha256_turn(v[0], 13) ^ sha256_turn(v[0], 22);
        uint32_t one = v[7] + e + ((v[4] & v[5]) ^ (~v[4] & v[6])) + constants[i] + w[i];
        uint32_t two = a + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
        memmove(v + 1, v, 7 * sizeof *v);
        v[4] += one;
        v[0] = one + two;
    }
    for (int i = 0; i < 8; i++)
        state[i] += v[i];
}

void sha256(const void *data, size_t size, char out[65])
{
    uint32_t constants[64], state[8];
    uint8_t tail[128] = {0};
    const uint8_t *bytes = data;
    size_t rest = size % 64, n_tail = rest < 56 ? 64 : 128;
    sha256_constants(constants, state);
    for (size_t i = 0; i + 64 <= size; i += 64)
        sha256_block(state, constants, bytes + i);
    if (rest)
        memcpy(tail, bytes + (size - rest), rest);
    tail[rest] = 0x80;
    for (size_t i = 0; i < 8; i++)
        tail[n_tail - 1 - i] = (uint8_t)((uint64_t)size * 8 >> 8 * i);
    for (size_t i = 0; i < n_tail; i += 64)
        sha256_block(state, constants, tail + i);
    for (int i = 0; i < 8; i++)
        snprintf(out + 8 * i, 9, "%08x", state[i]);
}
