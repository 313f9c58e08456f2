#include "op_fields.h"

#include <string.h>

typedef enum direction { IN, OPT, OUT, OPTOUT, INOUT, OPTIO, ACC } direction;

typedef struct field {
    const char *name;
    size_t offset; /* in the arguments */
    direction direction;
    size_t accumulate; /* ACC: where the flag is */
} field;

#define FLAG_IN(op) 0
#define FLAG_OPT(op) 0
#define FLAG_OUT(op) 0
#define FLAG_OPTOUT(op) 0
#define FLAG_INOUT(op) 0
#define FLAG_OPTIO(op) 0
#define FLAG_ACC(op) offsetof(fv_##op##_args, accumulate)
#define F(op, name, direction) {#name, offsetof(fv_##op##_args, name), direction, FLAG_##direction(op)},
#define FV_OP(op, fields) static const field fields_of_##op[] = {fields};
#include "fovea/ops/ops.def"
#undef FV_OP
#undef F

static const struct {
    const field *fields;
    int n;
} operations[] = {
#define FV_OP(op, fields) {fields_of_##op, sizeof fields_of_##op / sizeof *fields_of_##op},
#include "fovea/ops/ops.def"
#undef FV_OP
};

int fv_op_operands(fv_op op, const void *args, fv_operand out[FV_MAX_OPERANDS])
{
    int n = 0;
    for (int i = 0; i < operations[op].n; i++) {
        const field *f = &operations[op].fields[i];
        fv_operand o = {.name = f->name};
        int accumulate = 0;
        memcpy(&o.t, (const char *)args + f->offset, sizeof o.t);
        if (!o.t.data || fv_tensor_count(o.t) == 0)
            continue;
        if (f->direction == ACC)
            memcpy(&accumulate, (const char *)args + f->accumulate, sizeof accumulate);
        o.writes = f->direction >= OUT;
        o.reads = f->direction != OUT && f->direction != OPTOUT && (f->direction != ACC || accumulate);
        out[n++] = o;
    }
    return n;
}
