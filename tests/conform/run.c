/* One call on a back end: operands placed there as a layout asks, and what must be left alone verified. */
#include "suite.h"

enum { GUARD = 0x7ff17ff1, UNWRITTEN = 0x7ff37ff3 }; /* NaN of every float type */
enum { GAP = 5, MARGIN = 24 };                       /* elements; bytes */

/* An operand on the back end, within a block of words of 4 bytes. */
typedef struct operand {
    const field *field;
    fv_tensor host, t; /* t: on the back end */
    int shared;
    void *block;
    int64_t n_words;
} operand;

typedef struct call {
    fv_op op;
    fv_backend *backend;
    layout layout;
    any_args args; /* on the back end */
    int n;
    operand operand[MAX_FIELDS];
} call;

static operand *operand_named(call *c, const char *name)
{
    for (int i = 0; i < c->n; i++)
        if (strcmp(c->operand[i].field->name, name) == 0)
            return &c->operand[i];
    return NULL;
}

/* The operand whose memory o is in, if the layout says so. */
static operand *owner(call *c, const operand *o)
{
    const sharing *s = c->layout.shared;
    for (int i = 0; s && i < 2 && s->pairs[i][0]; i++)
        if (strcmp(s->pairs[i][0], o->field->name) == 0)
            return operand_named(c, s->pairs[i][1]);
    return NULL;
}

static void place(call *c, operand *o)
{
    size_t element = fv_dtype_bytes(o->host.dtype), odd = element < 8 ? element : 0;
    int apart = c->layout.apart;
    o->t = o->host;
    if (apart && o->t.n_dims > 1)
        o->t.stride += GAP;
    o->n_words = ((int64_t)fv_tensor_span_bytes(o->t) + (apart ? 2 * MARGIN + (int64_t)odd : 0) + 3) / 4;
    assert_ok(fv_backend_alloc(c->backend, (size_t)o->n_words * 4, &o->block));
    o->t.data = (char *)o->block + (apart ? MARGIN + odd : 0);
}

static void fill_words(void *to, int32_t word, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        ((int32_t *)to)[i] = word;
}

/* Guards everywhere, then the contents. */
static void upload(call *c, const operand *o)
{
    size_t mark = host_mark(), bytes = (size_t)fv_tensor_count(o->host) * fv_dtype_bytes(o->host.dtype);
    void *words = host_take((size_t)o->n_words * 4 + bytes + 4);
    fill_words(words, GUARD, o->n_words);
    assert_ok(fv_upload_array(c->backend, fv_tensor_1d(o->block, FV_I32, o->n_words), words));
    const void *contents = o->host.data;
    if (!field_reads(o->field, &c->args)) {
        fill_words(words, UNWRITTEN, (int64_t)(bytes + 3) / 4);
        contents = words;
    }
    assert_ok(fv_upload_array(c->backend, o->t, contents));
    host_release(mark);
}

static void start(call *c, const void *args)
{
    c->args = args_copy(c->op, args);
    for (int i = 0; i < operations[c->op].n_fields; i++) {
        const field *f = &operations[c->op].fields[i];
        fv_tensor host = *args_field(args, f);
        if (host.data)
            c->operand[c->n++] = (operand){.field = f, .host = host};
    }
    for (operand *o = c->operand; o < c->operand + c->n; o++)
        if (!owner(c, o)) {
            place(c, o);
            upload(c, o);
        }
    for (operand *o = c->operand; o < c->operand + c->n; o++) {
        operand *with = owner(c, o);
        if (with) {
            o->t = with->t;
            with->shared = 1;
        }
        *args_field(&c->args, o->field) = o->t;
    }
}

/* All bytes of the block but the operand's own are guards. */
static void check_guards(call *c, const operand *o)
{
    size_t n = (size_t)o->n_words * 4, element = fv_dtype_bytes(o->t.dtype);
    size_t row = (size_t)fv_tensor_row_count(o->t) * element;
    char *found = host_take(n), *guards = host_take(n),
         *first = found + ((char *)o->t.data - (char *)o->block);
    assert_ok(fv_download_now(c->backend, fv_tensor_1d(o->block, FV_I32, o->n_words), found));
    fill_words(guards, GUARD, o->n_words);
    for (int64_t i = 0; i < o->t.dim[0]; i++) {
        char *own = first + (size_t)(i * o->t.stride) * element;
        memcpy(own, guards + (own - found), row);
    }
    for (size_t i = 0; i < n; i++)
        if (found[i] != guards[i])
            fail_msg("%s on %s, %s: byte %td from the start of %s, outside of it, was changed",
                     fv_op_name(c->op), c->backend->table->name, c->layout.name, found + i - first,
                     o->field->name);
}

static void check_unchanged(call *c, const operand *o)
{
    size_t bytes = (size_t)fv_tensor_count(o->host) * fv_dtype_bytes(o->host.dtype);
    void *now = host_take(bytes);
    assert_ok(fv_download_now(c->backend, o->t, now));
    if (memcmp(now, o->host.data, bytes) != 0)
        fail_msg("%s on %s, %s: input %s was changed", fv_op_name(c->op), c->backend->table->name,
                 c->layout.name, o->field->name);
}

static void check_kept(call *c)
{
    size_t mark = host_mark();
    for (const operand *o = c->operand; o < c->operand + c->n; o++) {
        if (o->block && c->layout.apart)
            check_guards(c, o);
        if (!field_writes(o->field) && !o->shared)
            check_unchanged(c, o);
    }
    host_release(mark);
}

static any_args finish(call *c, const void *args)
{
    any_args found = args_copy(c->op, args);
    for (const operand *o = c->operand; o < c->operand + c->n; o++)
        if (field_writes(o->field)) {
            fv_tensor *t = args_field(&found, o->field);
            *t = zeros_like(o->host);
            assert_ok(fv_download_now(c->backend, o->t, t->data));
        }
    for (const operand *o = c->operand; o < c->operand + c->n; o++)
        fv_backend_free(c->backend, o->block);
    return found;
}

any_args run_on(fv_backend *backend, fv_op op, const void *args, layout l)
{
    call c = {.op = op, .backend = backend, .layout = l};
    start(&c, args);
    assert_ok(operations[op].run(backend, &c.args));
    check_kept(&c);
    return finish(&c, args);
}
