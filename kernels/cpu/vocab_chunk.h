/* Rows of logits in chunks of the vocabulary: scaled by the row's temperature, without the ids that are
 * excluded. Local. */
#ifndef FOVEA_KERNELS_CPU_VOCAB_CHUNK_H
#define FOVEA_KERNELS_CPU_VOCAB_CHUNK_H

#include "cpu.h"
#include "vec.h"

#define INF __builtin_inff()

/* One chunk of one row. */
typedef struct chunk {
    float *logits;
    const int32_t *mask; /* all ones where the id is excluded; NULL if none is */
    int64_t n;
    int64_t first; /* id of column 0 */
    float scale;
} chunk;

/* Mark the excluded ids among [first, first + n); NULL if there is none. */
static inline const int32_t *mark_excluded(fv_tensor excluded, int64_t first, int64_t n, int32_t *mask)
{
    int any = 0;
    memset(mask, 0, FV_VOCAB_CHUNK * sizeof *mask);
    for (int64_t i = 0; excluded.data && i < excluded.dim[0]; i++) {
        int64_t j = fv_i32(excluded)[i] - first;
        if (j >= 0 && j < n) {
            mask[j] = -1;
            any = 1;
        }
    }
    return any ? mask : NULL;
}

V_INLINE vn drop(vn z, vn mask)
{
    return n_select((vni)mask, n_set(-INF), z);
}

/* Columns [from, from + 16) scaled; -inf where excluded and past the end. */
V_INLINE v16 load_scaled(const chunk *c, int64_t from)
{
    const float *p = c->logits + from;
    v16 z = c->n - from < V_LANES ? v_load_part(p, c->n - from, -INF) : v_load(p);
    z = v_mul(z, v_set(c->scale));
    if (!c->mask)
        return z;
    v16 mask = v_load((const float *)(c->mask + from));
    return V_MAP2(drop, z, mask);
}

/* What both passes over (chunk, row) share. Chunks go outside rows so that a thread marks each only once. */
typedef struct plan {
    fv_tensor logits, excluded, inv_temperature;
    int32_t first;
    int64_t chunk;
    int32_t *mask;
    const int32_t *marked;
} plan;

static inline int64_t n_tasks(fv_tensor logits)
{
    return (logits.dim[1] + FV_VOCAB_CHUNK - 1) / FV_VOCAB_CHUNK * logits.dim[0];
}

/* Chunks past the end have no columns. */
static inline chunk plan_chunk(plan *p, int64_t task)
{
    int64_t index = task / p->logits.dim[0], row = task % p->logits.dim[0];
    int64_t from = index * FV_VOCAB_CHUNK, n = p->logits.dim[1] - from;
    n = n < FV_VOCAB_CHUNK ? n : FV_VOCAB_CHUNK;
    n = n > 0 ? n : 0;
    if (index != p->chunk)
        p->marked = mark_excluded(p->excluded, p->first + from, n, p->mask);
    p->chunk = index;
    return (chunk){fv_f32(p->logits) + row * p->logits.stride + from, p->marked, n, p->first + from,
                   fv_f32(p->inv_temperature)[row]};
}

#endif
