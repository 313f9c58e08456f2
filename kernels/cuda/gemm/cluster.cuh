/* Instructions of products beside those of hopper.cuh: clusters of blocks, kernels that overlap, operands of
 * mma.sync. */
#ifndef FOVEA_KERNELS_CUDA_CLUSTER_CUH
#define FOVEA_KERNELS_CUDA_CLUSTER_CUH

#include "hopper.cuh"

/* r (4 tiles of 8 x 8, or 2), rows of 16 bytes at the addresses that lanes 0-31 or 0-15 give. */
__device__ __forceinline__ void load_matrices(uint32_t r[4], uint32_t address)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address)
                 : "memory");
}
__device__ __forceinline__ void load_two_matrices(uint32_t r[2], uint32_t address)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(address)
                 : "memory");
}
/* d (16, 8) += a (16, 16) b (8, 16)^T */
__device__ __forceinline__ void multiply_16x8x16(float d[4], const uint32_t a[4], const uint32_t b[2])
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
                 "{%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/* From here on of sm_90. */

__device__ __forceinline__ uint32_t in_block(uint32_t address, int rank)
{
    uint32_t there;
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(address), "r"(rank));
    return there;
}
/* All threads arrive; who will write to other blocks waits for them. */
__device__ __forceinline__ void arrive_at_cluster()
{
    asm volatile("barrier.cluster.arrive.relaxed.aligned;" ::: "memory");
}
__device__ __forceinline__ void wait_for_cluster()
{
    asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
}
/* A warp calls f(block) for each block of the cluster, as often as PER_WARP says. */
template <class F> __device__ __forceinline__ void for_each_block(int n_blocks, F f)
{
    __syncwarp();
    if (!ALL_ARRIVE && threadIdx.x % 32 < n_blocks)
        f(threadIdx.x % 32);
    for (int block = 0; ALL_ARRIVE && block < n_blocks; block++)
        f(block);
}
/* Each warp of the blocks of a cluster arrives at the barrier of each: what it wrote can be read there. */
__device__ __forceinline__ void arrive_in_cluster(uint64_t *b, int n_blocks)
{
    for_each_block(n_blocks, [&](int block) {
        asm volatile("mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%0];" ::"r"(
                         in_block(shared_address(b), block))
                     : "memory");
    });
}
__device__ __forceinline__ void wait_in_cluster(uint64_t *b, int parity)
{
    asm volatile("{ .reg .pred p; WAIT: mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 p, [%0], "
                 "%1; @p bra DONE; bra WAIT; DONE: }" ::"r"(shared_address(b)),
                 "r"(parity)
                 : "memory");
}
/* The same of a warp that has only read what is its own. */
__device__ __forceinline__ void let_blocks_write(uint64_t *b, int n_blocks)
{
    for_each_block(n_blocks, [&](int block) {
        asm volatile("mbarrier.arrive.shared::cluster.b64 _, [%0];" ::"r"(in_block(shared_address(b), block))
                     : "memory");
    });
}
/* 4 floats at an address of this block, as they are in another one. */
__device__ __forceinline__ void read_in_cluster(float x[4], uint32_t address, int rank)
{
    asm volatile("ld.shared::cluster.v4.f32 {%0, %1, %2, %3}, [%4];"
                 : "=f"(x[0]), "=f"(x[1]), "=f"(x[2]), "=f"(x[3])
                 : "r"(in_block(address, rank))
                 : "memory");
}
/* Write to an address in another block, whose barrier counts the bytes; not where all arrive. */
__device__ __forceinline__ void send_to_block(uint32_t to, float x, uint32_t barrier)
{
#ifdef FV_RACECHECK
    asm volatile("st.shared::cluster.f32 [%0], %1;" ::"r"(to), "f"(x) : "memory");
#else
    asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.f32 [%0], %1, [%2];" ::"r"(to),
                 "f"(x), "r"(barrier)
                 : "memory");
#endif
}
__device__ __forceinline__ void expect_maps(const CUtensorMap *a, const CUtensorMap *b)
{
    asm volatile("prefetch.tensormap [%0]; prefetch.tensormap [%1];" ::"l"(a), "l"(b) : "memory");
}
/* Leaves the cache to what is read again. */
__device__ __forceinline__ void tma_load_once(void *to, const CUtensorMap *map, uint64_t *b, int x, int y)
{
    const uint64_t evict_first = 0x12f0000000000000;
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.L2::cache_"
                 "hint [%0], [%1, {%3, %4}], [%2], %5;" ::"r"(shared_address(to)),
                 "l"(map), "r"(shared_address(b)), "r"(x), "r"(y), "l"(evict_first)
                 : "memory");
}
__device__ __forceinline__ void wait_for_kernel_ahead()
{
    asm volatile("griddepcontrol.wait;" ::: "memory");
}
__device__ __forceinline__ void let_kernel_behind_start()
{
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
}

#endif
