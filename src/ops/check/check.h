/* The parts of the check back end: its memory (check_memory.c), what is verified around a call
 * (check_call.c), what index tensors must hold (check_contents.c), and the table that joins them (check.c).
 * Local. */
#ifndef FOVEA_SRC_OPS_CHECK_CHECK_H
#define FOVEA_SRC_OPS_CHECK_CHECK_H

#include "fovea/ops/backend.h"

/* Memory handed out: [data, data + bytes), in pages of its own between two that are never accessible. It
 * ends, but for alignment, where the second of those begins. */
typedef struct fv_check_block {
    char *map, *data;
    size_t map_bytes, bytes;
} fv_check_block;

typedef struct fv_check_memory {
    fv_check_block *blocks;
    int n_blocks, capacity;
} fv_check_memory;

fv_err fv_check_memory_alloc(fv_check_memory *memory, size_t bytes, void **out);
void fv_check_memory_free(fv_check_memory *memory, void *data);
void fv_check_memory_fini(fv_check_memory *memory);
/* The block that holds all of t, which is not empty; else FV_ERR_INTERNAL with name and op. */
fv_err fv_check_memory_find(const fv_check_memory *memory, const char *op, const char *name, fv_tensor t,
                            fv_check_block *out);
/* Make a block accessible, and inaccessible again. */
void fv_check_memory_show(const fv_check_block *block);
void fv_check_memory_hide(const fv_check_block *block);

/* Run an operation of inner on its fv_<op>_args and verify it. */
typedef fv_err (*fv_check_thunk)(fv_backend *inner, const void *args);
fv_err fv_check_run(fv_check_memory *memory, fv_backend *inner, fv_op op, const void *args,
                    fv_check_thunk thunk);

/* FV_ERR_ARGUMENT if a segment, span, index or number of the operation is out of range. The memory that they
 * are in is accessible. */
fv_err fv_check_contents(fv_op op, const void *args);

#endif
