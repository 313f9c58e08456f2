/* Products of a group of four warps for few columns: d (64, 8 MT) = [d +] a (64, 16) b (8 MT, 16)^T, d as
 * that of mma.sync: sums 4 t to 4 t + 3 of a thread are in columns 8 t to 8 t + 7. */
#ifndef FOVEA_KERNELS_CUDA_GEMM_SKINNY_MMA_CUH
#define FOVEA_KERNELS_CUDA_GEMM_SKINNY_MMA_CUH

#include "hopper.cuh"

__device__ __forceinline__ void multiply_few(float (&d)[4], uint64_t a, uint64_t b, int add)
{
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %6, 0; wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 "
                 "{" REGISTERS_4 "}, %4, %5, p, 1, 1, 0, 0; }"
                 : OUT_4(d)
                 : "l"(a), "l"(b), "r"(add));
}
__device__ __forceinline__ void multiply_few(float (&d)[8], uint64_t a, uint64_t b, int add)
{
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %10, 0; "
                 "wgmma.mma_async.sync.aligned.m64n16k16.f32.bf16.bf16 {" REGISTERS_8
                 "}, %8, %9, p, 1, 1, 0, 0; }"
                 : OUT_8(d)
                 : "l"(a), "l"(b), "r"(add));
}
__device__ __forceinline__ void multiply_few(float (&d)[16], uint64_t a, uint64_t b, int add)
{
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %18, 0; "
                 "wgmma.mma_async.sync.aligned.m64n32k16.f32.bf16.bf16 {" REGISTERS_16
                 "}, %16, %17, p, 1, 1, 0, 0; }"
                 : OUT_16(d)
                 : "l"(a), "l"(b), "r"(add));
}
__device__ __forceinline__ void multiply_few(float (&d)[32], uint64_t a, uint64_t b, int add)
{
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %34, 0; "
                 "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {" REGISTERS_32
                 "}, %32, %33, p, 1, 1, 0, 0; }"
                 : OUT_32(d)
                 : "l"(a), "l"(b), "r"(add));
}

#endif
