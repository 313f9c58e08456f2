/* What the files of the optimizer share. */
#ifndef FOVEA_SRC_MODEL_OPTIMIZER_INTERNAL_H
#define FOVEA_SRC_MODEL_OPTIMIZER_INTERNAL_H

#include "fovea/model/optimizer.h"

/* The state of elements [first, first + n) of the share, in memory of the back end. */
typedef struct fv_state_piece {
    int64_t first, n;
    fv_tensor master, low, m, v; /* (n); as in fv_optimizer */
} fv_state_piece;

static inline fv_tensor fv_rows_if(fv_tensor t, int64_t first, int64_t n)
{
    return t.data ? fv_tensor_rows(t, first, n) : t;
}

/* What is done with a piece: queued on FV_STREAM_COMPUTE. */
typedef fv_err (*fv_state_work)(void *context, const fv_state_piece *piece);

/* ---- optimizer_stream.c: state that waits on the host ---- */

/* Which parts do; all are absent if none does. */
int fv_state_waits(const fv_optimizer *optimizer, fv_state_part part);

/* Two slots of the back end's memory, of so many elements each (fv_state_slot_elements). */
fv_err fv_state_slots_create(fv_optimizer *optimizer);
fv_err fv_state_slots_take(fv_optimizer *optimizer, fv_arena *arena);
void fv_state_slots_destroy(fv_optimizer *optimizer);

/* The host memory, and work on it that sets all parts, which are not fetched. */
fv_err fv_state_host_init(fv_optimizer *optimizer, fv_state_work work, void *context);

/* Work on elements [first, first + n) of the share: at once, or piece after piece if some of the state waits
 * on the host: then it is fetched for the work and brought back. */
fv_err fv_state_visit(fv_optimizer *optimizer, int64_t first, int64_t n, fv_state_work work, void *context);

#endif
