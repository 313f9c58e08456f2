/* Instructions of sm_90a: barriers in shared memory, loads of tiles by a map of their matrix, products of a
 * group of four warps. On other devices they must not be called. */
#ifndef FOVEA_KERNELS_CUDA_HOPPER_CUH
#define FOVEA_KERNELS_CUDA_HOPPER_CUH

#include "cuda.cuh"

#include <cuda.h>

/* Arrivals of a warp and of a group of four warps: one thread arrives for all, when they have met. racecheck
 * follows a barrier in shared memory from a thread that arrives to one that waits, but not on from those that
 * it has met before; for it all arrive (-DFV_RACECHECK). */
#ifdef FV_RACECHECK
enum { ALL_ARRIVE = 1, PER_WARP = 32, PER_GROUP = 128 };
#else
enum { ALL_ARRIVE = 0, PER_WARP = 1, PER_GROUP = 1 };
#endif

__device__ __forceinline__ void barrier_init(uint64_t *b, int n)
{
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(b)), "r"(n));
}
/* One thread has initialised barriers: for the other blocks of the cluster and the copy engine. */
__device__ __forceinline__ void barriers_are_initialised()
{
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
__device__ __forceinline__ void barrier_expect(uint64_t *b, int bytes)
{
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(b)), "r"(bytes)
                 : "memory");
}
__device__ __forceinline__ void barrier_arrive(uint64_t *b)
{
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(b)) : "memory");
}
__device__ __forceinline__ void barrier_wait(uint64_t *b, int parity)
{
    asm volatile("{ .reg .pred p; WAIT: mbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1; @p bra DONE; "
                 "bra WAIT; DONE: }" ::"r"(shared_address(b)),
                 "r"(parity)
                 : "memory");
}
__device__ __forceinline__ void tma_load(void *to, const CUtensorMap *map, uint64_t *b, int x, int y)
{
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], "
                 "[%1, {%3, %4}], [%2];" ::"r"(shared_address(to)),
                 "l"(map), "r"(shared_address(b)), "r"(x), "r"(y)
                 : "memory");
}
/* K-major, 128-byte swizzle: 8 rows of 128 bytes lie together */
__device__ __forceinline__ uint64_t descriptor(const void *p)
{
    uint64_t a = shared_address(p);
    return (a & 0x3ffff) >> 4 | (uint64_t)1 << 16 | (uint64_t)(1024 >> 4) << 32 | (uint64_t)1 << 62;
}

/* The registers of a sum, in the text of a product and as its operands. */
#define REGISTERS_4 "%0, %1, %2, %3"
#define REGISTERS_8 REGISTERS_4 ", %4, %5, %6, %7"
#define REGISTERS_16 REGISTERS_8 ", %8, %9, %10, %11, %12, %13, %14, %15"
#define REGISTERS_32 \
    REGISTERS_16 ", %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define REGISTERS_40 REGISTERS_32 ", %32, %33, %34, %35, %36, %37, %38, %39"
#define REGISTERS_64                                                                             \
    REGISTERS_40 ", %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, " \
                 "%55, %56, %57, %58, %59, %60, %61, %62, %63"
#define OUT_FROM(d, i) "+f"((d)[i]), "+f"((d)[i + 1]), "+f"((d)[i + 2]), "+f"((d)[i + 3])
#define OUT_4(d) OUT_FROM(d, 0)
#define OUT_8(d) OUT_4(d), OUT_FROM(d, 4)
#define OUT_16(d) OUT_8(d), OUT_FROM(d, 8), OUT_FROM(d, 12)
#define OUT_32(d) OUT_16(d), OUT_FROM(d, 16), OUT_FROM(d, 20), OUT_FROM(d, 24), OUT_FROM(d, 28)
#define OUT_40(d) OUT_32(d), OUT_FROM(d, 32), OUT_FROM(d, 36)
#define OUT_64(d)                                                                                   \
    OUT_40(d), OUT_FROM(d, 40), OUT_FROM(d, 44), OUT_FROM(d, 48), OUT_FROM(d, 52), OUT_FROM(d, 56), \
        OUT_FROM(d, 60)

__device__ __forceinline__ void products_begin()
{
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
__device__ __forceinline__ void products_commit()
{
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
/* All but the last N that were committed are done. */
template <int N> __device__ __forceinline__ void products_wait()
{
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory");
}

/* d (64, 128) = [d +] a (64, 16) b (128, 16)^T */
__device__ __forceinline__ void multiply_add(float (&d)[64], uint64_t a, uint64_t b, int add)
{
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %66, 0; "
                 "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {" REGISTERS_64
                 "}, %64, %65, p, 1, 1, 0, 0; }"
                 : OUT_64(d)
                 : "l"(a), "l"(b), "r"(add));
}

#endif
