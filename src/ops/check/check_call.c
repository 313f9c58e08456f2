/* One verified call: outputs are poisoned, run, and compared with what was there before.
 *
 * A NaN of our own is no result, but an integer may be any: where an output holds integers the call runs
 * twice, behind two kinds of poison. What was written is the same bits both times, and what was not is not.
 */
#include "check.h"

#include "ops/op_fields.h"
#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

/* Repeated, a NaN of F16, BF16, F32 and F64. And what differs from it in every bit. */
enum { POISON = 0x7ffd, OTHER_POISON = 0xffff & ~POISON };

/* Outputs that may be the memory of an input, or, of collectives, rows of it or it of theirs. */
static const struct {
    fv_op op;
    const char *out, *in;
    int rows;
} allowed[] = {
    {FV_OP_norm, "sum", "x"},
    {FV_OP_norm, "sum", "residual"},
    {FV_OP_rope, "out", "x"},
    {FV_OP_swiglu_grad, "dgate", "gate"},
    {FV_OP_swiglu_grad, "dup", "up"},
    {FV_OP_vocab_grad, "dlogits", "logits"},
    {FV_OP_add, "out", "a"},
    {FV_OP_add, "out", "b"},
    {FV_OP_add_bias, "out", "in"},
    {FV_OP_all_gather, "out", "in", 1},
    {FV_OP_reduce_scatter, "out", "in", 1},
};

typedef struct operand {
    const char *name;
    fv_tensor t;
    int writes, reads;
    int shared;     /* memory of another operand, as the contract allows */
    uint64_t hash;  /* of an input; of an output of integers, after the first of two runs */
    char *snapshot; /* of an output's span and what surrounds it */
    char *from;     /* where the snapshot was taken */
    size_t n_bytes; /* of it */
    fv_check_block block;
} operand;

typedef struct call {
    fv_op op;
    const char *name;
    fv_check_memory *memory;
    int n;
    operand operand[FV_MAX_OPERANDS];
} call;

/* Elements of a tensor as runs of bytes. */
typedef struct runs {
    char *at;
    size_t bytes, step;
    int64_t n;
} runs;

static runs runs_of(fv_tensor t)
{
    size_t element = fv_dtype_bytes(t.dtype), row = (size_t)fv_tensor_row_count(t) * element;
    if (fv_tensor_is_contiguous(t))
        return (runs){t.data, (size_t)t.dim[0] * row, 0, 1};
    return (runs){t.data, row, (size_t)t.stride * element, t.dim[0]};
}

static int overlap(fv_tensor a, fv_tensor b)
{
    runs x = runs_of(a), y = runs_of(b);
    for (int64_t i = 0, j = 0; i < x.n && j < y.n;) {
        char *p = x.at + (size_t)i * x.step, *q = y.at + (size_t)j * y.step;
        if (p < q + y.bytes && q < p + x.bytes)
            return 1;
        if (p < q)
            i++;
        else
            j++;
    }
    return 0;
}

static int same_memory(fv_tensor a, fv_tensor b)
{
    return a.data == b.data && a.dtype == b.dtype && (a.stride == b.stride || a.dim[0] <= 1) &&
           fv_tensor_count(a) == fv_tensor_count(b) && a.dim[0] == b.dim[0];
}

/* Both without gaps, one within the other. */
static int is_within(fv_tensor a, fv_tensor b)
{
    uintptr_t p = (uintptr_t)a.data, q = (uintptr_t)b.data;
    size_t p_bytes = fv_tensor_span_bytes(a), q_bytes = fv_tensor_span_bytes(b);
    return (p >= q && p + p_bytes <= q + q_bytes) || (q >= p && q + q_bytes <= p + p_bytes);
}

static int is_allowed(const call *c, const operand *out, const operand *in)
{
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++)
        if (allowed[i].op == c->op && strcmp(allowed[i].out, out->name) == 0 &&
            strcmp(allowed[i].in, in->name) == 0)
            return allowed[i].rows ? is_within(out->t, in->t) : same_memory(out->t, in->t);
    return 0;
}

static fv_err collect(call *c, const void *args)
{
    fv_operand found[FV_MAX_OPERANDS];
    int n = fv_op_operands(c->op, args, found);
    for (c->n = 0; c->n < n; c->n++) {
        const fv_operand *f = &found[c->n];
        operand *o = &c->operand[c->n];
        *o = (operand){.name = f->name, .t = f->t, .writes = f->writes, .reads = f->reads};
        FV_TRY(fv_check_memory_find(c->memory, c->name, o->name, o->t, &o->block));
    }
    return FV_OK;
}

static fv_err check_overlaps(call *c)
{
    for (operand *out = c->operand; out < c->operand + c->n; out++) {
        for (operand *o = c->operand; out->writes && o < c->operand + c->n; o++) {
            if (o == out || !overlap(out->t, o->t))
                continue;
            FV_CHECK(!o->writes && is_allowed(c, out, o), FV_ERR_INTERNAL, "%s: output %s overlaps tensor %s",
                     c->name, out->name, o->name);
            out->shared = o->shared = 1;
        }
    }
    return FV_OK;
}

static uint64_t hash_of(fv_tensor t)
{
    runs r = runs_of(t);
    uint64_t hash = 0;
    for (int64_t i = 0; i < r.n; i++)
        hash = XXH3_64bits_withSeed(r.at + (size_t)i * r.step, r.bytes, hash);
    return hash;
}

static void poison(fv_tensor t, unsigned with)
{
    runs r = runs_of(t);
    for (int64_t i = 0; i < r.n; i++)
        for (size_t j = 0; j < r.bytes; j++)
            r.at[(size_t)i * r.step + j] = (char)(j % 2 ? with >> 8 : with);
}

static int is_poisoned(const operand *o)
{
    return o->writes && !o->reads && !o->shared;
}

/* Whether poison may be a result. The same on every rank of a collective. */
static int holds_integers(const operand *o)
{
    return o->writes && !o->reads && !fv_dtype_is_float(o->t.dtype) && o->t.dtype != FV_F64;
}

/* Keep the span of an output and a little more on both sides, within its block. */
static fv_err take_snapshot(operand *o)
{
    enum { MARGIN = 4096 };
    size_t before = (size_t)((char *)o->t.data - o->block.data), span = fv_tensor_span_bytes(o->t);
    size_t after = o->block.bytes - before - span;
    before = before < MARGIN ? before : MARGIN;
    after = after < MARGIN ? after : MARGIN;
    o->from = (char *)o->t.data - before;
    o->n_bytes = before + span + after;
    o->snapshot = malloc(o->n_bytes);
    FV_CHECK(o->snapshot, FV_ERR_MEMORY, "cannot allocate %zu bytes to keep output %s", o->n_bytes, o->name);
    memcpy(o->snapshot, o->from, o->n_bytes);
    return FV_OK;
}

static fv_err prepare(call *c)
{
    for (operand *o = c->operand; o < c->operand + c->n; o++) {
        if (is_poisoned(o))
            poison(o->t, POISON);
        if (!o->writes && !o->shared)
            o->hash = hash_of(o->t);
    }
    for (operand *o = c->operand; o < c->operand + c->n; o++)
        if (o->writes)
            FV_TRY(take_snapshot(o));
    return FV_OK;
}

/* Between two runs: keep what came of integers, and put everything back to where it was. */
static int prepare_again(call *c)
{
    int is_needed = 0;
    for (operand *o = c->operand; o < c->operand + c->n; o++)
        if (holds_integers(o)) {
            o->hash = hash_of(o->t);
            is_needed = 1;
        }
    for (operand *o = c->operand; is_needed && o < c->operand + c->n; o++)
        if (o->writes)
            memcpy(o->from, o->snapshot, o->n_bytes);
    for (operand *o = c->operand; o < c->operand + c->n; o++)
        if (holds_integers(o) && is_poisoned(o))
            poison(o->t, OTHER_POISON);
    return is_needed;
}

/* Accept what an output now holds: put the part of it that lies in the snapshot there. */
static void accept(const operand *snapshot, fv_tensor out)
{
    runs r = runs_of(out);
    char *first = snapshot->from, *end = first + snapshot->n_bytes;
    for (int64_t i = 0; i < r.n; i++) {
        char *a = r.at + (size_t)i * r.step, *b = a + r.bytes;
        a = a > first ? a : first;
        b = b < end ? b : end;
        if (a < b)
            memcpy(snapshot->snapshot + (a - first), a, (size_t)(b - a));
    }
}

static fv_err verify_surroundings(const call *c, const operand *o)
{
    for (const operand *out = c->operand; out < c->operand + c->n; out++)
        if (out->writes)
            accept(o, out->t);
    if (memcmp(o->snapshot, o->from, o->n_bytes) == 0)
        return FV_OK;
    size_t at = 0;
    while (o->snapshot[at] == o->from[at])
        at++;
    return FV_FAIL(FV_ERR_INTERNAL,
                   "%s: memory around output %s or between its rows was changed, %td bytes from its start",
                   c->name, o->name, o->from + at - (char *)o->t.data);
}

/* The first element that is poison; NULL: there is none. */
static const char *find_poison(fv_tensor t, unsigned with)
{
    runs r = runs_of(t);
    const uint16_t poison[] = {(uint16_t)with, (uint16_t)with, (uint16_t)with, (uint16_t)with};
    size_t unit = fv_dtype_bytes(t.dtype);
    for (int64_t i = 0; i < r.n; i++)
        for (size_t at = 0; at < r.bytes; at += unit) {
            const char *element = r.at + (size_t)i * r.step + at;
            if (memcmp(element, (const char *)poison + (at % 2), unit) == 0)
                return element;
        }
    return NULL;
}

static fv_err verify_written(const call *c, const operand *o)
{
    int is_twice = holds_integers(o);
    if (is_twice && hash_of(o->t) == o->hash)
        return FV_OK;
    const char *at = find_poison(o->t, is_twice ? OTHER_POISON : POISON);
    FV_CHECK(!at, FV_ERR_INTERNAL, "%s: output %s was not written %td bytes from its start", c->name, o->name,
             at - (const char *)o->t.data);
    FV_CHECK(!is_twice, FV_ERR_INTERNAL, "%s: output %s is not the same when the call is repeated", c->name,
             o->name);
    return FV_OK;
}

static fv_err verify(const call *c)
{
    for (const operand *o = c->operand; o < c->operand + c->n; o++)
        FV_CHECK(o->writes || o->shared || hash_of(o->t) == o->hash, FV_ERR_INTERNAL,
                 "%s: input %s was changed", c->name, o->name);
    for (const operand *o = c->operand; o < c->operand + c->n; o++) {
        if (is_poisoned(o))
            FV_TRY(verify_written(c, o));
        if (o->writes)
            FV_TRY(verify_surroundings(c, o));
    }
    return FV_OK;
}

fv_err fv_check_run(fv_check_memory *memory, fv_backend *inner, fv_op op, const void *args,
                    fv_check_thunk thunk)
{
    fv_err err = FV_OK;
    call c = {.op = op, .name = fv_op_name(op), .memory = memory};
    FV_TRY(collect(&c, args));
    FV_TRY(check_overlaps(&c));
    for (int i = 0; i < c.n; i++)
        fv_check_memory_show(&c.operand[i].block);
    FV_TRY_DONE(fv_check_contents(op, args));
    FV_TRY_DONE(prepare(&c));
    FV_TRY_DONE(thunk(inner, args));
    if (prepare_again(&c))
        FV_TRY_DONE(thunk(inner, args));
    FV_TRY_DONE(verify(&c));
done:
    for (int i = 0; i < c.n; i++) {
        free(c.operand[i].snapshot);
        fv_check_memory_hide(&c.operand[i].block);
    }
    return err;
}
