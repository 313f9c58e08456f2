/* The operations as data, from ops.def. */
#include "suite.h"

#define FLAG_IN(op) 0
#define FLAG_OPT(op) 0
#define FLAG_OUT(op) 0
#define FLAG_OPTOUT(op) 0
#define FLAG_INOUT(op) 0
#define FLAG_OPTIO(op) 0
#define FLAG_ACC(op) offsetof(fv_##op##_args, accumulate)
#define F(op, name, direction) {#name, offsetof(fv_##op##_args, name), direction, FLAG_##direction(op)},
#define V(op, name)
#define FV_OP(op, fields)                                          \
    static const field fields_of_##op[] = {fields};                \
    static fv_err run_##op(fv_backend *backend, const void *args)  \
    {                                                              \
        return fv_##op(backend, args);                             \
    }                                                              \
    static void refer_##op(const void *args)                       \
    {                                                              \
        reference_##op(args);                                      \
    }                                                              \
    _Static_assert(sizeof(fv_##op##_args) <= MAX_ARGS_BYTES, #op); \
    _Static_assert(sizeof fields_of_##op / sizeof *fields_of_##op <= MAX_FIELDS, #op);
#include "fovea/ops/ops.def"
#undef FV_OP
#undef F
#undef V

const operation operations[FV_N_OPS] = {
#define FV_OP(op, fields)                                                                              \
    {sizeof(fv_##op##_args), fields_of_##op, sizeof fields_of_##op / sizeof *fields_of_##op, run_##op, \
     refer_##op},
#include "fovea/ops/ops.def"
#undef FV_OP
};

fv_tensor *args_field(const void *args, const field *f)
{
    return (fv_tensor *)((uintptr_t)args + f->offset);
}

const field *field_named(fv_op op, const char *name)
{
    for (int i = 0; i < operations[op].n_fields; i++)
        if (strcmp(operations[op].fields[i].name, name) == 0)
            return &operations[op].fields[i];
    fail_msg("%s has no tensor %s", fv_op_name(op), name);
    return NULL;
}

int field_writes(const field *f)
{
    return f->direction >= OUT;
}

int field_reads(const field *f, const void *args)
{
    int accumulate = 0;
    if (f->direction == ACC)
        memcpy(&accumulate, (const char *)args + f->accumulate, sizeof accumulate);
    return f->direction != OUT && f->direction != OPTOUT && (f->direction != ACC || accumulate);
}

any_args args_copy(fv_op op, const void *args)
{
    any_args copy;
    memset(&copy, 0, sizeof copy);
    memcpy(&copy, args, operations[op].args_bytes);
    return copy;
}

static fv_tensor widen(fv_tensor t)
{
    if (!fv_dtype_is_float(t.dtype))
        return copy_of(t);
    fv_tensor wide = t;
    int64_t n = fv_tensor_count(t);
    wide.dtype = FV_F64;
    wide.data = host_take((size_t)n * sizeof(double));
    float *values = host_take((size_t)n * sizeof *values);
    fv_dtype_decode(t.dtype, t.data, n, values);
    for (int64_t i = 0; i < n; i++)
        ((double *)wide.data)[i] = (double)values[i];
    return wide;
}

any_args args_widen(fv_op op, const void *args)
{
    any_args wide = args_copy(op, args);
    for (int i = 0; i < operations[op].n_fields; i++) {
        fv_tensor *t = args_field(&wide, &operations[op].fields[i]);
        if (t->data)
            *t = widen(*t);
    }
    return wide;
}

void args_refer(fv_op op, const void *args)
{
    size_t mark = host_mark();
    any_args wide = args_widen(op, args);
    operations[op].reference(&wide);
    for (int i = 0; i < operations[op].n_fields; i++) {
        const field *f = &operations[op].fields[i];
        fv_tensor t = *args_field(args, f), w = *args_field(&wide, f);
        for (int64_t j = 0; t.data && field_writes(f) && j < fv_tensor_count(t); j++)
            ((float *)t.data)[j] = (float)((double *)w.data)[j];
    }
    host_release(mark);
}

/* " a (3, 4)" */
static size_t describe(fv_tensor t, const char *name, char *text, size_t size)
{
    size_t at = 0;
    for (int d = 0; t.data && d < t.n_dims && at < size; d++)
        at +=
            (size_t)snprintf(text + at, size - at, d ? ", %.0s%lld" : " %s (%lld", name, (long long)t.dim[d]);
    if (at > 0 && at < size)
        at += (size_t)snprintf(text + at, size - at, ")");
    return at < size ? at : size;
}

const char *case_name(const conform_case *c)
{
    static char text[512];
    size_t at = (size_t)snprintf(text, sizeof text, "%s", fv_op_name(c->op));
    for (int i = 0; i < operations[c->op].n_fields; i++) {
        const field *f = &operations[c->op].fields[i];
        at += describe(*args_field(c->args, f), f->name, text + at, sizeof text - at);
    }
    if (c->note)
        snprintf(text + at, sizeof text - at, " %s", c->note);
    return text;
}
