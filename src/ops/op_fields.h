/* ops.def as data: what each operation's arguments hold, for wrappers. Local. */
#ifndef FOVEA_SRC_OPS_OP_FIELDS_H
#define FOVEA_SRC_OPS_OP_FIELDS_H

#include "fovea/ops/backend.h"

/* One tensor of a call's arguments, as its operation uses it. */
typedef struct fv_operand {
    const char *name;
    fv_tensor t;
    int reads, writes;
} fv_operand;

enum { FV_MAX_OPERANDS = 12 };

/* The tensors of args (an fv_<op>_args) that are there and not empty, in the order of ops.def. */
int fv_op_operands(fv_op op, const void *args, fv_operand out[FV_MAX_OPERANDS]);

/* The name of the first member that two arguments of an operation do not have in common; NULL: they are
 * alike.
 */
const char *fv_op_difference(fv_op op, const void *a, const void *b);
size_t fv_op_args_bytes(fv_op op);

#endif
