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
#define V(op, name)
#define FV_OP(op, fields) static const field fields_of_##op[] = {fields};
#include "fovea/ops/ops.def"
#undef FV_OP
#undef F
#undef V

/* A member that is no tensor. */
typedef struct plain {
    const char *name;
    size_t offset, bytes;
} plain;

#define F(op, name, direction)
#define V(op, name) {#name, offsetof(fv_##op##_args, name), sizeof((const fv_##op##_args *)0)->name},
#define FV_OP(op, fields) static const plain plains_of_##op[] = {fields{NULL, 0, 0}};
#include "fovea/ops/ops.def"
#undef FV_OP
#undef F
#undef V

/* None is forgotten: what is left are holes. */
#define F(op, name, direction) +sizeof(fv_tensor)
#define V(op, name) +sizeof((const fv_##op##_args *)0)->name
#define FV_OP(op, fields) \
    _Static_assert(sizeof(fv_##op##_args) - (0 fields) <= 8, "ops.def lacks a member of " #op);
#include "fovea/ops/ops.def"
#undef FV_OP
#undef F
#undef V

static const struct {
    const field *fields;
    int n;
    const plain *plains; /* the last has no name */
    size_t bytes;
} operations[] = {
#define FV_OP(op, fields) \
    {fields_of_##op, sizeof fields_of_##op / sizeof *fields_of_##op, plains_of_##op, sizeof(fv_##op##_args)},
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

static int are_alike(const fv_tensor *a, const fv_tensor *b)
{
    return a->data == b->data &&
           (!a->data || (a->dtype == b->dtype && a->n_dims == b->n_dims && a->stride == b->stride &&
                         memcmp(a->dim, b->dim, sizeof a->dim) == 0));
}

const char *fv_op_difference(fv_op op, const void *a, const void *b)
{
    const char *x = a, *y = b;
    for (const field *f = operations[op].fields; f < operations[op].fields + operations[op].n; f++) {
        fv_tensor s, t;
        memcpy(&s, x + f->offset, sizeof s);
        memcpy(&t, y + f->offset, sizeof t);
        if (!are_alike(&s, &t))
            return f->name;
    }
    for (const plain *p = operations[op].plains; p->name; p++)
        if (memcmp(x + p->offset, y + p->offset, p->bytes) != 0)
            return p->name;
    return NULL;
}

size_t fv_op_args_bytes(fv_op op)
{
    return operations[op].bytes;
}
