/* The operations: contracts of their arguments. ops.def lists them, backend.h runs them. Local.
 *
 * Letters: T rows (tokens), C channels, H query heads, K key-value heads (K divides H), D channels of a head,
 * F width of the MLP, V vocabulary. Where a tensor is a matrix or (T, H, D), its rows may be strided.
 *
 * Dtypes. Weights, activations, keys, values and their gradients are stored as F32 or BF16; tensors of one
 * operation that carry the same thing (x, y, residual, sum; k and v) have one dtype. What calls add to
 * (gradients of weights, dq, dk, dv), statistics (rstd, lse, logits, parts) and tables of angles are F32;
 * indexes I32. Inputs are widened exactly, everything is computed in fp32 in the order below, and an output
 * is rounded once, to nearest even, when it is stored.
 *
 * Three promises bind every back end:
 *
 * Same bits. A call repeated, with any number of threads, gives the same bits. The CPU back end gives equal
 * bits on every instruction set too.
 *
 * Row invariance. A row of a forward result depends on that row's inputs alone: not on T, not on where the
 * row stands, and for attention not on how keys are laid out in memory or shared.
 *
 * Column invariance. Nor on what is computed beside it: a column of a product depends on no other column of
 * op(b), a key head and its query heads on no other heads, statistics and draws of a part of the vocabulary
 * on no other part. So ranks may share out columns.
 *
 * Every fv_<op>(backend, &args) checks that shapes and dtypes agree (FV_ERR_SHAPE names operation, tensor,
 * found, expected), times the call and dispatches. Outputs may not overlap inputs unless a contract
 * says so. A tensor without elements is no work: its operation returns at once, sums over nothing excepted.
 */
#ifndef FOVEA_OPS_OPS_H
#define FOVEA_OPS_OPS_H

#include "fovea/comm/comm.h"
#include "fovea/ops/tensor.h"

/* How the sum over k of a product is cut where ranks may share it out, so that no element depends on how many
 * do: a whole of `whole` steps is cut into `of` chunks, chunk c from c whole / of to (c + 1) whole / of
 * (integer division). This product has chunks [first, first + n) of them. n 0: it is not cut. n, of: 1, 2, 4
 * or 8; first: a multiple of n. */
enum { FV_MAX_CHUNKS = 8 };
typedef struct fv_chunks {
    int n, first, of;
    int64_t whole;
} fv_chunks;

/* The chunks of rank of n_ranks, which divides `of`. */
fv_chunks fv_chunks_of_rank(int of, int64_t whole, int rank, int n_ranks);
/* Where chunk first + c ends, counted from where chunk first begins. */
int64_t fv_chunks_end(fv_chunks chunks, int c);

/* c (M, N) = [c +] op(a) op(b) [+ bias]; a and b have one dtype.
 * op(a) is (M, K): a is (M, K), or (K, M) if trans_a. op(b) is (K, N): b is (K, N), or (N, K) if trans_b (the
 * layout of weights: out x in). Canonical order: each element is one chain of fused multiply-adds over k = 0,
 * 1, ..., starting from c if accumulate, else from +0; bias (N) is added last. If k is cut into chunks, each
 * is a chain from +0, and the chunks are added in the balanced tree of comm.h; then nothing is accumulated.
 */
typedef struct fv_gemm_args {
    fv_tensor a, b, bias, c;
    int trans_a, trans_b, accumulate;
    fv_chunks chunks;
} fv_gemm_args;

/* RMS norm over the last dimension: s = x [+ residual]; y = s * rstd * weight, rstd = 1 / sqrt(mean(s^2) +
 * eps) (Zhang and Sennrich, 2019). x, residual, sum, y (T, C) or (T, H, C), weight (C), rstd (T * H). sum
 * receives s and is present exactly when residual is; it may be the same memory as x or residual. */
typedef struct fv_norm_args {
    fv_tensor x, residual, weight, sum, y, rstd;
    float eps;
} fv_norm_args;

/* Given dy: dx = [dx +] rstd * (w dy - s rstd^2 mean(w dy s)); dweight += sum over rows of dy s rstd, in row
 * order. x is the s of the forward pass; dy may be F32 where x is BF16. */
typedef struct fv_norm_grad_args {
    fv_tensor dy, x, weight, rstd, dx, dweight;
    int accumulate;
} fv_norm_grad_args;

/* Tables of rotary positions with axes (M-RoPE, Qwen2.5-VL technical report, section 2.1): cos, sin (T, D /
 * 2), pair i of row t = scale times those of the angle positions[axis][t] * rates[i], in double precision,
 * rounded once. positions I32 (3, T); rates F64 (D / 2), how far a pair turns for one position; the first
 * sections[0] pairs are of axis 0, the next sections[1] of axis 1, the next sections[2] of axis 2, which are
 * all. */
typedef struct fv_rope_angles_args {
    fv_tensor positions, rates, cos, sin;
    int sections[3];
    double scale;
} fv_rope_angles_args;

/* Rotary positions (Su et al., 2021; halves rotated together as in GPT-NeoX): with x1 and x2 the halves of a
 * head of x (T, H, D), those of out (T, H, D) are x1 cos - x2 sin and x2 cos + x1 sin. Either is F32 or BF16;
 * out may be the memory of x if both are the same. cos, sin (T, D / 2): the caller's tables carry M-RoPE.
 * inverse turns back by the same angle: the gradient. */
typedef struct fv_rope_args {
    fv_tensor cos, sin, x, out;
    int inverse;
} fv_rope_args;

/* q (T, H, D) and k (T, K, D) are turned as rope does, then rows of k and v (T, K, D) are put into rows slots
 * I32 (T) of keys and values (R, K, D) as scatter does. Optional: composed of these. */
typedef struct fv_rope_store_args {
    fv_tensor cos, sin, q, k, v, slots, keys, values;
} fv_rope_store_args;

/* Attention over segments. A segment is a run of queries that share one list of keys:
 *   segments I32 (S, 6): {q_row, n_q, n_past, first_span, n_spans, n_keys}
 *   spans    I32 (P, 2): {row, length}
 * Queries are rows [q_row, q_row + n_q) of q (T, H, D). Logical keys 0 .. n_keys - 1 are the rows of k and v
 * (R, K, D) named by spans[first_span ... + n_spans), laid end to end: a contiguous run is one span; a paged
 * cache is one span a page; a shared prefix is the parent's spans followed by the segment's own. Query i
 * stands at position n_past + i. It sees keys [0, n_keys), if causal those <= its position, if window > 0
 * those > position - window as well. Query head h reads key head h / (H / K). Every row of q belongs to
 * exactly one segment; every query sees a key. out (T, H, D) = softmax(scale q k^T) v;  lse (T, H) = log sum
 * exp of the scaled scores. Canonical order: logical keys in chunks of FV_ATTENTION_CHUNK from position 0;
 * scores of a chunk are fma chains over D; each chunk is reduced alone and merged into the running (max, sum,
 * out) in order (Milakov and Gimelshein, 2018). A chunk that a query does not see at all leaves its bits
 * alone. Contents of unseen keys never matter, NaN included. plan: of attention_plan for these segments,
 * spans and heads; absent: it is made for this call. No segment has more queries or keys than most_queries
 * and most_keys say; 0: they may have any number. */
enum { FV_ATTENTION_CHUNK = 128, FV_SEGMENT_FIELDS = 6, FV_SPAN_FIELDS = 2 };
typedef struct fv_attention_args {
    fv_tensor q, k, v, segments, spans, plan, out, lse;
    float scale;
    int causal;
    int window; /* 0 = none */
    int most_queries, most_keys;
} fv_attention_args;

/* What a back end wants to know of segments and spans, made once for all calls of attention and
 * attention_grad that have the same ones, and q and k of the same shape. plan U8
 * (fv_attention_plan_bytes): what it holds is the back end's own; of none, where it wants nothing. Optional:
 * else there is nothing to do. */
typedef struct fv_attention_plan_args {
    fv_tensor segments, spans, plan;
    int64_t n_queries;
    int n_heads, n_kv_heads, head_dim;
} fv_attention_plan_args;

/* dq, F32, is written; dk and dv (R, K, D) are added to, in a fixed order, at the rows that spans name (a row
 * shared by several segments sums them). out and lse are the forward pass's. */
typedef struct fv_attention_grad_args {
    fv_tensor dout, out, lse, q, k, v, segments, spans, plan, dq, dk, dv;
    float scale;
    int causal;
    int window;
    int most_queries, most_keys;
} fv_attention_grad_args;

/* y = silu(gate) * up, silu(x) = x / (1 + exp(-x)) (Shazeer, 2020). All (T, F). */
typedef struct fv_swiglu_args {
    fv_tensor gate, up, y;
} fv_swiglu_args;
typedef struct fv_swiglu_grad_args {
    fv_tensor dy, gate, up, dgate, dup; /* dgate and dup may be the memory of gate and up */
} fv_swiglu_grad_args;

/* y = x Phi(x), Phi the normal distribution function, by erf (Hendrycks and Gimpel, 2016). All (T, F). */
typedef struct fv_gelu_args {
    fv_tensor x, y;
} fv_gelu_args;
typedef struct fv_gelu_grad_args {
    fv_tensor dy, x, dx;
} fv_gelu_grad_args;

/* out (T, C): row i = table (R, C) row index[i] - first, or -0 (0 of integers) if that is outside [0, R):
 * the vocabulary-parallel embedding, whose sum over ranks it leaves alone, and rows picked from a batch.
 * index I32 (T). */
typedef struct fv_gather_args {
    fv_tensor table, index, out;
    int32_t first;
} fv_gather_args;

/* table row index[i] - first = in row i (T, C); rows outside are skipped. Indexes that are inside are
 * distinct. F32, BF16 or I32. */
typedef struct fv_scatter_args {
    fv_tensor in, index, table;
    int32_t first;
} fv_scatter_args;

/* table row index[i] - first += in row i, in order of i; rows outside are skipped: the gradient of gather. */
typedef struct fv_scatter_add_args {
    fv_tensor in, index, table;
    int32_t first;
} fv_scatter_add_args;

/* Statistics of the scaled logits z = logits * inv_temperature, (T), over columns in chunks of
 * FV_VOCAB_CHUNK: parts (P, T, 4), P at least ceil(n / FV_VOCAB_CHUNK), = {max, sum exp(z - max), sum exp(z -
 * max) z, z of the target}; logits (T, n) hold vocabulary ids [first, first + n). targets I32 (T): ids; a
 * target in no column of the chunk leaves -inf. Absent: -inf. excluded I32 (E): ids that count as logit -inf.
 * A chunk with no column left is {-inf, 0, 0, -inf}. */
enum { FV_VOCAB_CHUNK = 4096, FV_VOCAB_FIELDS = 4 };
typedef struct fv_vocab_stats_args {
    fv_tensor logits, inv_temperature, targets, excluded, parts;
    int32_t first;
} fv_vocab_stats_args;

/* Merge parts (P, T, 4) in order of P: lse (T), logprob (T) = z of the target - lse (-inf if excluded or
 * outside), entropy (T) = lse - sum p z. target (T): z of the targets, where parts were made without. */
typedef struct fv_vocab_merge_args {
    fv_tensor parts, target, logprob, lse, entropy;
} fv_vocab_merge_args;

/* dlogits (T, n), F32 or BF16, the gradient of logits (T, n), F32, whose memory it may be if it is F32: with
 * p = exp(z - lse), column of id j, inv_temperature * (dlogprob ([j = target] - p) - dentropy p (log p +
 * entropy)); 0 for excluded ids. entropy and dentropy are present together. inv_temperature, dlogprob, lse,
 * entropy, dentropy (T). */
typedef struct fv_vocab_grad_args {
    fv_tensor inv_temperature, targets, excluded, lse, dlogprob, entropy, dentropy, logits, dlogits;
    int32_t first;
} fv_vocab_grad_args;

/* Logits (T, V) of ids that are out become -inf. In: of the scaled logits, the top_k (I32 (T); 0: all)
 * largest; of those, by falling probability, the fewest whose probabilities sum to at least top_p ((T); 1:
 * all). Ties go to the lower id. excluded I32 (E) are out first. A row that sample would refuse may keep its
 * logits. */
typedef struct fv_vocab_filter_args {
    fv_tensor inv_temperature, top_k, top_p, excluded, logits;
} fv_vocab_filter_args;

/* A draw from each row by the Gumbel maximum (Gumbel, 1954; Maddison, Tarlow and Minka, 2014): of the ids
 * [first, first + n) of logits (T, n) but the excluded (I32 (E)), the one whose value z + g is largest, the
 * lower of equals; g = -log(-log(1 - w)), w in (0, 1) a pure function of the row's key and the id. draws I32
 * (T, 5): the key, four words of rng.h, and 1; or 0: then g is 0 and the draw takes the likeliest. value, z
 * (T) and ids I32 (T): of the one that was found, or, if accumulate, of what they held if that is as large,
 * so that parts of the vocabulary are looked at by turns, lower ids first. No id left: -inf, -inf, -1. A row
 * whose logits hold a NaN or +inf that is not excluded: +inf, any, -1. */
enum { FV_DRAW_FIELDS = 5 };
typedef struct fv_sample_args {
    fv_tensor logits, inv_temperature, draws, excluded, value, z, ids;
    int32_t first;
    int accumulate;
} fv_sample_args;

/* An fp32 number as a pair: BF16 weight, the number rounded to nearest, ties to even, and U16 low, the 16
 * bits that the weight lacks. There are 2^16 + 1 numbers for every even weight (both ties at its sides are
 * its own) and 2^16 - 1 for an odd one, so the lower tie of an even weight has no pair: such a number is
 * moved by its last bit, away from zero. Then low below 8000h: the weight's bits are the number's upper half;
 * above: they are that plus one; 8000h: the upper half. */

/* master F32 (n) is moved where it has no pair; weight BF16 (n) and low U16 (n), unless it is absent, become
 * its pair. */
typedef struct fv_pair_split_args {
    fv_tensor master, weight, low;
} fv_pair_split_args;

/* master F32 (n) = the number of the pair, exactly. */
typedef struct fv_pair_join_args {
    fv_tensor weight, low, master;
} fv_pair_join_args;

/* Where the elements of a part lie in a whole matrix (fv_param_part): the part has rows of cols; its row r is
 * row first_row + r / block_rows * block_stride + r % block_rows of the whole, its column c is first_col + c
 * of whole_cols. */
typedef struct fv_part_place {
    int64_t cols, first_row, block_rows, block_stride, first_col, whole_cols;
} fv_part_place;

/* AdamW (Loshchilov and Hutter, 2019), all (n), but scale (1): g = grad * scale; m = b1 m + (1 - b1) g; v =
 * b2 v + (1 - b2) g^2; param -= lr weight_decay param; param -= lr (m / (1 - b1^step)) / (sqrt(v / (1 -
 * b2^step)) + eps). step counts from 1. A scale of 0 is no step: param, m and v keep their bits, whatever
 * grad holds.
 *
 * param is F32, and weight, unless it is absent, BF16: both become a pair, whose low nobody keeps. Or param
 * is absent and weight BF16 with low U16 is the pair that is moved: the same bits.
 *
 * m and v are F32, or both BF16: then they are rounded up or down at random, so that they are right on
 * average. The draw depends on seed, tensor, step and on where the element stands in the whole tensor alone:
 * the operands are elements [first, first + n) of the part that place describes. */
typedef struct fv_adamw_args {
    fv_tensor grad, scale, param, weight, low, m, v;
    int step;
    float lr, beta1, beta2, eps, weight_decay;
    /* Of BF16 moments. */
    uint64_t seed, tensor;
    int64_t first;
    fv_part_place place;
} fv_adamw_args;

/* out F64 (1) = sum of x^2 over segments I64 (S, 2): {first, n} of x (N). In a fixed order that depends on
 * the segments alone: blocks of FV_SUMSQ_BLOCK elements from a segment's first on are summed alone, and their
 * sums added; `cpu` adds them in order, then the segments in order. */
enum { FV_SUMSQ_BLOCK = 65536, FV_SUMSQ_SEGMENTS = 1 << 18 /* at most */ };
typedef struct fv_sumsq_args {
    fv_tensor x, segments, out;
} fv_sumsq_args;

/* What clips a gradient: scale F32 (1) = limit / norm if norm = sqrt(sum) > limit > 0, else 1; 0 if norm is
 * not finite. sum F64 (1). */
typedef struct fv_clip_args {
    fv_tensor sum, scale;
    float limit;
} fv_clip_args;

/* out (N) = [out +] sum over the rows of x (T, N), in row order: the gradient of a bias. */
typedef struct fv_colsum_args {
    fv_tensor x, out;
    int accumulate;
} fv_colsum_args;

/* out = a + b, all (T, C); out may be the memory of a or b. */
typedef struct fv_add_args {
    fv_tensor a, b, out;
} fv_add_args;

/* out = in + bias: in (T, C) F32, bias (C), out (T, C); out may be the memory of in. What ends a product
 * whose sum was shared out: the bits of its bias in one. */
typedef struct fv_add_bias_args {
    fv_tensor in, bias, out;
} fv_add_bias_args;

/* out = in, both (T, C), any dtype. */
typedef struct fv_copy_args {
    fv_tensor in, out;
} fv_copy_args;

/* out = in, any shape, each F32, BF16 or F16: widened exactly or rounded to nearest even; what is too large
 * becomes infinite. */
typedef struct fv_cast_args {
    fv_tensor in, out;
} fv_cast_args;

/* x = value, any shape. */
typedef struct fv_fill_args {
    fv_tensor x;
    float value;
} fv_fill_args;

/* Collectives: operations that every rank of comm (borrowed) calls alike. Tensors are contiguous, of any
 * number of dimensions and the same shape on every rank. Sums go in the tree of comm.h. */

/* x = the sum of the x of every rank; F32 or F64. */
typedef struct fv_all_reduce_args {
    fv_comm *comm;
    fv_tensor x;
} fv_all_reduce_args;

/* out (n, ...) = rows [rank n, (rank + 1) n) of the sum of in (size n, ...); out may be those rows of in,
 * which keeps the others. */
typedef struct fv_reduce_scatter_args {
    fv_comm *comm;
    fv_tensor in, out;
} fv_reduce_scatter_args;

/* out (size n, ...) = the in (n, ...) of every rank, one after the other, any dtype; in may be rows [rank n,
 * (rank + 1) n) of out. */
typedef struct fv_all_gather_args {
    fv_comm *comm;
    fv_tensor in, out;
} fv_all_gather_args;

/* value, z, ids (T), as sample gives them, of the rank whose value is largest; the lower id of equals. */
typedef struct fv_all_best_args {
    fv_comm *comm;
    fv_tensor value, z, ids;
} fv_all_best_args;

/* x = that of rank root, any dtype. */
typedef struct fv_broadcast_args {
    fv_comm *comm;
    fv_tensor x;
    int root;
} fv_broadcast_args;

/* What the bytes of a picture become, by channel (red, green, blue): byte b is (b * factor - mean) / std. The
 * product is made in double precision and rounded to fp32; difference and quotient are fp32. */
typedef struct fv_pixel_scale {
    double factor;
    float mean[3], std[3];
} fv_pixel_scale;

/* The patches of a picture: pixels U8 (H, W, 3), out (P, D), P = H / patch * W / patch, D = 3 * frames *
 * patch^2. H and W are multiples of patch * merge. Patches go merge block by merge block (merge x merge of
 * them), row by row, inside a block row by row too; D is (channel, frame, y, x), each frame the same. */
typedef struct fv_patches_args {
    fv_tensor pixels, out;
    fv_pixel_scale scale;
    int patch, merge, frames;
} fv_patches_args;

#endif
