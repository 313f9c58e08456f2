/* The cases once more with tensors stored as BF16, from one list of what an operation stores. */
#include "suite.h"

static const struct {
    fv_op op;
    const char *fields;
} stored[] = {
    {FV_OP_gemm, "a b bias c"},
    {FV_OP_gemm, "a b"},
    {FV_OP_gemm, "bias c"},
    {FV_OP_norm, "x residual weight sum y"},
    {FV_OP_norm_grad, "dy x weight dx"},
    {FV_OP_norm_grad, "x weight dx"},
    {FV_OP_rope, "x out"},
    {FV_OP_rope, "out"},
    {FV_OP_rope_store, "q k v keys values"},
    {FV_OP_attention, "q k v out"},
    {FV_OP_attention, "k v"},
    {FV_OP_attention_grad, "dout out q k v"},
    {FV_OP_swiglu, "gate up y"},
    {FV_OP_swiglu_grad, "dy gate up dgate dup"},
    {FV_OP_gelu, "x y"},
    {FV_OP_gelu_grad, "dy x dx"},
    {FV_OP_gather, "table out"},
    {FV_OP_scatter, "in table"},
    {FV_OP_scatter_add, "in"},
    {FV_OP_vocab_grad, "dlogits"},
    {FV_OP_colsum, "x"},
    {FV_OP_add, "a b out"},
    {FV_OP_add_bias, "bias out"},
    {FV_OP_copy, "in out"},
    {FV_OP_fill, "x"},
    {FV_OP_patches, "out"},
};
enum { N_STORED = sizeof stored / sizeof *stored };

static int in_bf16; /* is the case that is running */

double as_stored(double x)
{
    uint16_t half;
    float value = (float)x;
    if (!in_bf16)
        return x;
    fv_dtype_encode(FV_BF16, &value, 1, &half);
    fv_dtype_decode(FV_BF16, &half, 1, &value);
    return (double)value;
}

static const fv_tensor *field_of(const conform_case *c, const char *name)
{
    return args_field(c->args, field_named(c->op, name));
}

static fv_tensor tensor_as(fv_tensor t, fv_dtype dtype)
{
    fv_tensor other = t;
    int64_t n = fv_tensor_count(t);
    other.dtype = dtype;
    other = zeros_like(other);
    float *values = host_take((size_t)n * sizeof *values);
    fv_dtype_decode(t.dtype, t.data, n, values);
    fv_dtype_encode(dtype, values, n, other.data);
    return other;
}

/* The arguments with tensors of one dtype as another; of those alone that are named, if fields is there. */
static any_args *args_as(fv_op op, const void *args, const char *fields, fv_dtype from, fv_dtype to)
{
    any_args *out = host_take(sizeof *out);
    *out = args_copy(op, args);
    for (int i = 0; i < operations[op].n_fields; i++) {
        const field *f = &operations[op].fields[i];
        fv_tensor *t = args_field(out, f);
        if (t->data && t->dtype == from && (!fields || lists(fields, f->name)))
            *t = tensor_as(*t, to);
    }
    return out;
}

static void run_stored(const conform_case *c, const char *fields)
{
    char note[160];
    conform_case rounded = *c;
    conform_part *parts = host_take((size_t)(c->n_parts + 1) * sizeof *parts);
    snprintf(note, sizeof note, "%s; BF16: %s", c->note ? c->note : "", fields);
    rounded.note = note;
    rounded.args = args_as(c->op, c->args, fields, FV_F32, FV_BF16);
    for (int i = 0; i < c->n_parts; i++)
        parts[i] = (conform_part){args_as(c->op, c->parts[i].args, fields, FV_F32, FV_BF16), c->parts[i].from,
                                  c->parts[i].n};
    rounded.parts = c->n_parts ? parts : NULL;
    rounded.slopes[0].input = NULL; /* what is rounded has no differences */
    in_bf16 = 1;
    conform_as_it_is(&rounded);
    in_bf16 = 0;
    if (!(c->op == FV_OP_norm && field_of(c, "residual")->data)) /* which reads its rounded sum again */
        conform_rounds_once(&rounded, args_as(c->op, rounded.args, NULL, FV_BF16, FV_F32));
}

void conform(const conform_case *c)
{
    if (conform_is_left_out(c))
        return;
    conform_as_it_is(c);
    for (int i = 0; i < N_STORED; i++) {
        size_t mark = host_mark();
        if (stored[i].op == c->op)
            run_stored(c, stored[i].fields);
        host_release(mark);
    }
}
