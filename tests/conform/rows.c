/* Row invariance: parts of a case, made of some of its rows in other places, and what they must give. */
#include "suite.h"

enum { MAX_PARTS = 256 };

int lists(const char *list, const char *name)
{
    size_t length = strlen(name);
    for (const char *at = list; at && (at = strstr(at, name)); at += length)
        if ((at == list || at[-1] == ' ') && (at[length] == ' ' || at[length] == '\0'))
            return 1;
    return 0;
}

/* The dimension of a tensor that counts rows of the case; -1 if none does. */
static int axis_of(const conform_case *c, const field *f)
{
    if (lists(c->rows, f->name))
        return 0;
    return lists(c->columns, f->name) ? 1 : -1;
}

/* A tensor as n_outer runs of n_rows blocks, of which block i is row i's. */
typedef struct blocks {
    char *data;
    int64_t n_outer, n_rows;
    size_t bytes; /* of a block */
} blocks;

static blocks blocks_of(fv_tensor t, int axis, int64_t n_rows)
{
    int64_t n_outer = axis == 1 ? t.dim[0] : 1, n_blocks = n_outer * n_rows;
    int64_t count = n_blocks > 0 ? fv_tensor_count(t) / n_blocks : 0;
    return (blocks){t.data, n_outer, n_rows, (size_t)count * fv_dtype_bytes(t.dtype)};
}

static char *block_at(blocks b, int64_t outer, int64_t row)
{
    return b.data + (size_t)(outer * b.n_rows + row) * b.bytes;
}

static fv_tensor pick(const conform_case *c, const field *f, const int64_t *from, int64_t n)
{
    fv_tensor t = *args_field(c->args, f), some = t;
    int axis = axis_of(c, f);
    if (!t.data || axis < 0)
        return t;
    some.dim[axis] = t.dim[axis] / c->n_rows * n;
    if (axis == 1)
        some.stride = fv_tensor_row_count(some);
    some = zeros_like(some);
    blocks whole = blocks_of(t, axis, c->n_rows), part = blocks_of(some, axis, n);
    for (int64_t outer = 0; outer < whole.n_outer; outer++)
        for (int64_t i = 0; i < n; i++)
            memcpy(block_at(part, outer, i), block_at(whole, outer, from[i]), whole.bytes);
    return some;
}

static conform_part part_pick(const conform_case *c, const int64_t *from, int64_t n)
{
    any_args *args = host_take(sizeof *args);
    *args = args_copy(c->op, c->args);
    for (int i = 0; i < operations[c->op].n_fields; i++) {
        const field *f = &operations[c->op].fields[i];
        *args_field(args, f) = pick(c, f, from, n);
    }
    return (conform_part){args, from, n};
}

/* Rows (first + i * step) modulo all. */
static conform_part part_walk(const conform_case *c, int64_t first, int64_t step, int64_t n)
{
    int64_t *from = host_take((size_t)n * sizeof *from);
    for (int64_t i = 0; i < n; i++)
        from[i] = (first + i * step) % c->n_rows;
    return part_pick(c, from, n);
}

int parts_of(const conform_case *c, const conform_part **out)
{
    int64_t all = c->n_rows;
    *out = c->parts;
    if (c->parts || all == 0)
        return c->n_parts;
    conform_part *parts = host_take(MAX_PARTS * sizeof *parts);
    int n = 0;
    *out = parts;
    parts[n++] = part_walk(c, 0, 1, 1);
    parts[n++] = part_walk(c, all / 2, 1, 1);
    parts[n++] = part_walk(c, all - 1, 1, 1);
    parts[n++] = part_walk(c, all / 3, 1, all / 2 + 1);
    parts[n++] = part_walk(c, all - 1, all - 1, all + all / 2 + 1); /* backwards, and more */
    for (int64_t shift = 1; shift < all && n < MAX_PARTS; shift += c->every_place ? 1 : shift + 1)
        parts[n++] = part_walk(c, shift, 1, all);
    return n;
}

static void check_rows(const conform_case *c, const field *f, const any_args *whole, const conform_part *part,
                       const any_args *found, const char *where)
{
    int axis = axis_of(c, f);
    blocks want = blocks_of(*args_field(whole, f), axis, c->n_rows);
    blocks have = blocks_of(*args_field(found, f), axis, part->n);
    for (int64_t outer = 0; outer < want.n_outer; outer++)
        for (int64_t i = 0; i < part->n; i++)
            if (memcmp(block_at(have, outer, i), block_at(want, outer, part->from[i]), want.bytes) != 0)
                fail_msg("%s on %s: row %lld of %s has other bits where it is row %lld of %lld", case_name(c),
                         where, (long long)part->from[i], f->name, (long long)i, (long long)part->n);
}

void check_part(const conform_case *c, const any_args *whole, const conform_part *part, const any_args *found,
                const char *where)
{
    for (int i = 0; i < operations[c->op].n_fields; i++) {
        const field *f = &operations[c->op].fields[i];
        if (field_writes(f) && axis_of(c, f) >= 0 && args_field(found, f)->data)
            check_rows(c, f, whole, part, found, where);
    }
}
