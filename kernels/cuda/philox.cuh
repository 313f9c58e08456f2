/* Keyed draws on the device: the words of rng.h. */
#ifndef FOVEA_KERNELS_CUDA_PHILOX_CUH
#define FOVEA_KERNELS_CUDA_PHILOX_CUH

#include <stdint.h>

typedef struct fv_cuda_words {
    uint32_t word[4];
} fv_cuda_words;

static __host__ __device__ __forceinline__ fv_cuda_words philox(fv_cuda_words c, uint32_t key0, uint32_t key1)
{
    for (int round = 0; round < 10; round++, key0 += 0x9E3779B9u, key1 += 0xBB67AE85u) {
        uint64_t product0 = (uint64_t)0xD2511F53u * c.word[0], product1 = (uint64_t)0xCD9E8D57u * c.word[2];
        c = {{(uint32_t)(product1 >> 32) ^ c.word[1] ^ key0, (uint32_t)product1,
              (uint32_t)(product0 >> 32) ^ c.word[3] ^ key1, (uint32_t)product0}};
    }
    return c;
}

/* What a key (seed, step, sample, prompt) folds into; draws count from there. */
typedef struct fv_cuda_draws {
    fv_cuda_words stream;
    uint32_t sample;
} fv_cuda_draws;

static __host__ __device__ __forceinline__ fv_cuda_draws draws_of(uint64_t seed, uint32_t step,
                                                                  uint32_t sample, uint64_t prompt)
{
    fv_cuda_words folded = {{(uint32_t)prompt, (uint32_t)(prompt >> 32), step, sample}};
    return {philox(folded, (uint32_t)seed, (uint32_t)(seed >> 32)), sample};
}

static __host__ __device__ __forceinline__ fv_cuda_words draw(const fv_cuda_draws &d, uint32_t index)
{
    fv_cuda_words counter = {{index, d.sample, d.stream.word[2], d.stream.word[3]}};
    return philox(counter, d.stream.word[0], d.stream.word[1]);
}

#endif
