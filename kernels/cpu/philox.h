/* Philox4x32-10 of rng.h (Salmon et al., 2011), a register of counters at a time, and what a draw makes of
 * its words. Integers, so the same on every instruction set. Local. */
#ifndef FOVEA_KERNELS_CPU_PHILOX_H
#define FOVEA_KERNELS_CPU_PHILOX_H

#include "vec.h"

/* Both halves of the 64-bit products of lanes. */
V_INLINE void n_multiply(vnu a, uint32_t by, vnu *high, vnu *low)
{
#if defined(__AVX512F__)
    const __m512i x = (__m512i)a, y = _mm512_set1_epi32((int)by);
    __m512i even = _mm512_mul_epu32(x, y), odd = _mm512_mul_epu32(_mm512_srli_epi64(x, 32), y);
    *low = (vnu)_mm512_mask_blend_epi32(0xaaaa, even, _mm512_slli_epi64(odd, 32));
    *high = (vnu)_mm512_mask_blend_epi32(0xaaaa, _mm512_srli_epi64(even, 32), odd);
#elif defined(__AVX2__)
    const __m256i x = (__m256i)a, y = _mm256_set1_epi32((int)by);
    __m256i even = _mm256_mul_epu32(x, y), odd = _mm256_mul_epu32(_mm256_srli_epi64(x, 32), y);
    *low = (vnu)_mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xaa);
    *high = (vnu)_mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa);
#else
    for (int i = 0; i < V_NATIVE; i++) {
        uint64_t product = (uint64_t)a[i] * by;
        (*low)[i] = (uint32_t)product;
        (*high)[i] = (uint32_t)(product >> 32);
    }
#endif
}

V_INLINE vnu n_set_bits(uint32_t x)
{
    return x - (vnu){0};
}

/* out[w]: word w of counters {counter, 0, words[2], words[3]} under the key {words[0], words[1]}. */
V_INLINE void n_philox(vnu counter, const int32_t words[4], vnu out[4])
{
    uint32_t key0 = (uint32_t)words[0], key1 = (uint32_t)words[1];
    vnu c0 = counter, c1 = n_set_bits(0), c2 = n_set_bits((uint32_t)words[2]),
        c3 = n_set_bits((uint32_t)words[3]);
#pragma GCC unroll 10
    for (int round = 0; round < 10; round++) {
        vnu high0, low0, high2, low2;
        n_multiply(c0, 0xD2511F53u, &high0, &low0);
        n_multiply(c2, 0xCD9E8D57u, &high2, &low2);
        c0 = high2 ^ c1 ^ key0;
        c1 = low2;
        c2 = high0 ^ c3 ^ key1;
        c3 = low0;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

/* A word as w in (0, 1]: (word / 2 + 1/2) 2^-31, rounded. */
V_INLINE vn n_uniform(vnu word)
{
    return n_fma(__builtin_convertvector((vni)(word >> 1), vn), n_set(0x1p-31f), n_set(0x1p-32f));
}

/* The Gumbel number of w: -log(-log(1 - w)), w at most 1 - 2^-24; it is below -log(w). Small w are the large
 * numbers, so log(1 - w) is taken to its own precision: of the rounded y = 1 - w, plus what was lost, (1 - y)
 * - w, which is exact. */
#define GUMBEL_BOUND 22.25f /* above -log(2^-32) */
V_INLINE vn n_gumbel(vn w)
{
    const vn most = n_set(0x1.fffffep-1f);
    w = n_select(w < most, w, most);
    vn y = 1.0f - w, lost = (1.0f - y) - w;
    return -n_log_normal(-(n_log_normal(y) + lost));
}

#endif
