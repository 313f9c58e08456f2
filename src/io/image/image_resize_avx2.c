#include "io/image/image_resize.h"

#include <string.h>

#ifdef __x86_64__
#    include <immintrin.h>
#    define AVX2 __attribute__((target("avx2")))

/* Two sums of 16-bit products, by the high and by the low parts of the weights. */
typedef struct sums {
    __m256i high, low;
} sums;

static inline AVX2 sums add_products(sums s, __m256i inputs, __m256i high, __m256i low)
{
    s.high = _mm256_add_epi32(s.high, _mm256_madd_epi16(inputs, high));
    s.low = _mm256_add_epi32(s.low, _mm256_madd_epi16(inputs, low));
    return s;
}

static inline AVX2 __m256i whole(sums s)
{
    return _mm256_add_epi32(_mm256_slli_epi32(s.high, FV_RESIZE_LOW_BITS), s.low);
}

/* Both 128-bit halves hold the same 16 bytes, 5 pixels and a third. The low half takes pixels 0 and 1, the
 * high half 2 and 3, as pairs of 16-bit numbers: red, green, blue, nothing. */
static inline AVX2 __m256i load_pixels(const uint8_t *from)
{
    const __m256i order = _mm256_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1, /**/
                                           6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1);
    __m256i bytes = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)from));
    return _mm256_shuffle_epi8(bytes, order);
}

static inline AVX2 __m256i round_sum(__m256i sum)
{
    __m256i half = _mm256_set1_epi32(1 << (FV_RESIZE_BITS - 1));
    return _mm256_srai_epi32(_mm256_add_epi32(sum, half), FV_RESIZE_BITS);
}

/* The pixels of two rows, one in each half. */
static inline AVX2 __m256i two_pixels(sums a, sums b)
{
    __m256i first = whole(a), second = whole(b);
    return round_sum(_mm256_add_epi32(_mm256_permute2x128_si256(first, second, 0x20),
                                      _mm256_permute2x128_si256(first, second, 0x31)));
}

static inline AVX2 void store_pixels(uint8_t *const out[FV_RESIZE_ROWS], size_t at, const sums *s)
{
    __m256i words = _mm256_packs_epi32(two_pixels(s[0], s[1]), two_pixels(s[2], s[3]));
    __m256i bytes = _mm256_packus_epi16(words, words);
    __m128i even = _mm256_castsi256_si128(bytes), odd = _mm256_extracti128_si256(bytes, 1);
    int rgb[FV_RESIZE_ROWS] = {_mm_extract_epi32(even, 0), _mm_extract_epi32(odd, 0),
                               _mm_extract_epi32(even, 1), _mm_extract_epi32(odd, 1)};
    for (int r = 0; r < FV_RESIZE_ROWS; r++)
        memcpy(out[r] + at, &rgb[r], 3);
}

static AVX2 void columns(const fv_resize_weights *w, const uint8_t *const in[FV_RESIZE_ROWS],
                         uint8_t *const out[FV_RESIZE_ROWS])
{
    const __m256i take_high = _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1);
    const __m256i take_low = _mm256_setr_epi32(2, 2, 2, 2, 3, 3, 3, 3);
    for (size_t x = 0; x < (size_t)w->n_out; x++) {
        sums s[FV_RESIZE_ROWS] = {0};
        size_t at = 3 * (size_t)w->first[x];
        int n_groups = (w->count[x] + FV_RESIZE_GROUP - 1) / FV_RESIZE_GROUP;
        const int16_t *parts = fv_resize_group(w, (int)x, 0);
        for (int g = 0; g < n_groups; g++, at += 3 * FV_RESIZE_GROUP, parts += 2 * FV_RESIZE_GROUP) {
            __m256i group = _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)parts));
            __m256i high = _mm256_permutevar8x32_epi32(group, take_high);
            __m256i low = _mm256_permutevar8x32_epi32(group, take_low);
            for (int r = 0; r < FV_RESIZE_ROWS; r++)
                s[r] = add_products(s[r], load_pixels(in[r] + at), high, low);
        }
        store_pixels(out, 3 * x, s);
    }
}

enum { BLOCK = 32 };

/* The weights of two rows, as a pair in every 32 bits. */
static inline AVX2 __m256i pair_of(const int16_t *parts)
{
    int pair;
    memcpy(&pair, parts, sizeof pair);
    return _mm256_set1_epi32(pair);
}

static inline AVX2 void add_row_pair(sums s[4], const uint8_t *a, const uint8_t *b, const int16_t *parts)
{
    const __m256i zero = _mm256_setzero_si256();
    __m256i high = pair_of(parts), low = pair_of(parts + FV_RESIZE_GROUP);
    __m256i bytes_a = _mm256_loadu_si256((const __m256i *)a);
    __m256i bytes_b = _mm256_loadu_si256((const __m256i *)b);
    __m256i first = _mm256_unpacklo_epi8(bytes_a, bytes_b), second = _mm256_unpackhi_epi8(bytes_a, bytes_b);
    s[0] = add_products(s[0], _mm256_unpacklo_epi8(first, zero), high, low);
    s[1] = add_products(s[1], _mm256_unpackhi_epi8(first, zero), high, low);
    s[2] = add_products(s[2], _mm256_unpacklo_epi8(second, zero), high, low);
    s[3] = add_products(s[3], _mm256_unpackhi_epi8(second, zero), high, low);
}

/* 32 bytes of a row of the output. from: the same bytes of the first row used. */
static inline AVX2 void rows_of_block(const fv_resize_weights *w, int y, const uint8_t *from, size_t n_bytes,
                                      uint8_t *out)
{
    sums s[4] = {0};
    int count = w->count[y];
    for (int t = 0; t < count; t += 2) {
        const uint8_t *a = from + (size_t)t * n_bytes;
        const uint8_t *b = t + 1 < count ? a + n_bytes : a; /* the weight of what is not there is 0 */
        add_row_pair(s, a, b, fv_resize_group(w, y, t / FV_RESIZE_GROUP) + t % FV_RESIZE_GROUP);
    }
    __m256i low = _mm256_packs_epi32(round_sum(whole(s[0])), round_sum(whole(s[1])));
    __m256i high = _mm256_packs_epi32(round_sum(whole(s[2])), round_sum(whole(s[3])));
    _mm256_storeu_si256((__m256i *)out, _mm256_packus_epi16(low, high));
}

static AVX2 void rows(const fv_resize_weights *w, int y, const uint8_t *from, size_t n_bytes, uint8_t *out)
{
    if (n_bytes < BLOCK) {
        fv_resize_portable.rows(w, y, from, n_bytes, out);
        return;
    }
    for (size_t i = 0; i + BLOCK <= n_bytes; i += BLOCK)
        rows_of_block(w, y, from + i, n_bytes, out + i);
    size_t last = n_bytes - BLOCK; /* overlaps the block before */
    rows_of_block(w, y, from + last, n_bytes, out + last);
}

const fv_resize_passes *fv_resize_avx2(void)
{
    static const fv_resize_passes passes = {.columns = columns, .rows = rows};
    return __builtin_cpu_supports("avx2") ? &passes : NULL;
}

#else

const fv_resize_passes *fv_resize_avx2(void)
{
    return NULL;
}

#endif
