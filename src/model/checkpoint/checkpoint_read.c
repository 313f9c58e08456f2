#include "checkpoint_internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { CHUNK = 1 << 18 /* numbers that one thread copies at a time */ };

/* The last place of a tensor rank that begins at or before an element of its buffer. */
static int find_place(const fv_shard_table *table, int tensor_rank, int64_t flat)
{
    int low = 0, high = table->n;
    while (high - low > 1) {
        int middle = (low + high) / 2;
        const fv_shard *shard = &table->places[middle].shard;
        int after =
            shard->tensor_rank != tensor_rank ? shard->tensor_rank > tensor_rank : shard->first > flat;
        if (after)
            high = middle;
        else
            low = middle;
    }
    return low;
}

/* Pages of a mapped file that will be read: all at once, not one fault a few pages. Nothing is lost where the
 * system cannot. */
static void expect(const void *data, size_t bytes)
{
    enum { PAGE = 4096, WORTH = 1 << 16 };
    uintptr_t first = (uintptr_t)data & ~(uintptr_t)(PAGE - 1), end = (uintptr_t)data + bytes;
    if (bytes >= WORTH)
        (void)madvise((void *)first, end - first, MADV_POPULATE_READ);
}

/* n elements of the buffer of a tensor rank. */
static void copy_flat(const fv_checkpoint *c, fv_checkpoint_set set, int tensor_rank, int64_t flat, int64_t n,
                      float *out)
{
    for (int i = find_place(&c->table, tensor_rank, flat); n > 0; i++) {
        const fv_shard_place *place = &c->table.places[i];
        int64_t skip = flat - place->shard.first, rest = place->shard.n - skip;
        int64_t count = rest < n ? rest : n;
        fv_dtype dtype = fv_shard_dtype(&place->shard, set);
        size_t bytes = fv_dtype_bytes(dtype);
        const uint8_t *from = c->maps[i].data + place->offset[set] + (size_t)skip * bytes;
        expect(from, (size_t)count * bytes);
        fv_dtype_decode(dtype, from, count, out);
        flat += count;
        out += count;
        n -= count;
    }
}

/* n elements of a whole tensor, from whichever rank holds them. */
static void copy_whole(const fv_checkpoint *c, fv_checkpoint_set set, int param, int64_t first, int64_t n,
                       float *out)
{
    while (n > 0) {
        int64_t flat = 0, run = 0;
        int t = -1;
        while (run == 0) /* every element is held by a rank */
            run = fv_layout_run(&c->table.layouts[++t], param, first, &flat);
        run = run < n ? run : n;
        copy_flat(c, set, t, flat, run, out);
        first += run;
        out += run;
        n -= run;
    }
}

/* Elements [first, first + n) of a part. */
static void copy_part(const fv_checkpoint *c, fv_checkpoint_set set, const fv_layout *layout, int param,
                      const int64_t range[2], float *out)
{
    const fv_param *of = &layout->params.items[param];
    const fv_param_part part = fv_param_part_of(of, layout->rank, layout->n_ranks);
    for (int64_t i = range[0]; i < range[1];) {
        int64_t whole, run = fv_param_run(of, &part, i, &whole);
        run = run < range[1] - i ? run : range[1] - i;
        copy_whole(c, set, param, whole, run, out + (i - range[0]));
        i += run;
    }
}

/* Elements [first, first + n) of the flat buffer of a layout. */
static void copy_chunk(const fv_checkpoint *c, fv_checkpoint_set set, const fv_layout *layout, int64_t first,
                       int64_t n, float *out)
{
    if (layout->n_ranks == c->table.tensor_ranks) { /* the same buffer */
        copy_flat(c, set, layout->rank, first, n, out);
        return;
    }
    memset(out, 0, (size_t)n * sizeof *out);
    for (int i = 0; i < layout->params.n; i++) {
        const fv_param_part part = fv_param_part_of(&layout->params.items[i], layout->rank, layout->n_ranks);
        int64_t begin = layout->offset[i], end = begin + part.rows * part.cols;
        int64_t from = begin > first ? begin : first, to = end < first + n ? end : first + n;
        if (from < to)
            copy_part(c, set, layout, i, (int64_t[2]){from - begin, to - begin}, out + (from - first));
    }
}

fv_err fv_checkpoint_read(const fv_checkpoint *c, fv_checkpoint_set set, const fv_layout *layout,
                          int64_t first, int64_t n, float *out)
{
    fv_layout expected;
    FV_TRY(fv_layout_init(&expected, &c->shape, layout->rank, layout->n_ranks));
    int same =
        expected.n_elements == layout->n_elements && expected.params.n == layout->params.n &&
        memcmp(expected.offset, layout->offset, (size_t)layout->params.n * sizeof *layout->offset) == 0;
    fv_layout_fini(&expected);
    FV_CHECK(same, FV_ERR_SHAPE, "%s is of another model than the one it is read into", c->path);
    FV_CHECK(first >= 0 && n >= 0 && n <= layout->n_elements - first, FV_ERR_ARGUMENT,
             "elements %lld to %lld of %lld", (long long)first, (long long)(first + n),
             (long long)layout->n_elements);
#pragma omp parallel for schedule(dynamic) if (n > CHUNK)
    for (int64_t i = 0; i < n; i += CHUNK)
        copy_chunk(c, set, layout, first + i, n - i < CHUNK ? n - i : CHUNK, out + i);
    return FV_OK;
}

fv_err fv_checkpoint_read_param(const fv_checkpoint *c, fv_checkpoint_set set, int param, int64_t first,
                                int64_t n, float *out)
{
    const fv_param *of = &c->table.layouts[0].params.items[param];
    FV_CHECK(first >= 0 && n >= 0 && n <= of->rows * of->cols - first, FV_ERR_ARGUMENT,
             "elements %lld to %lld of %s, which has %lld", (long long)first, (long long)(first + n),
             of->name, (long long)(of->rows * of->cols));
#pragma omp parallel for schedule(dynamic) if (n > CHUNK)
    for (int64_t i = 0; i < n; i += CHUNK)
        copy_whole(c, set, param, first + i, n - i < CHUNK ? n - i : CHUNK, out + i);
    return FV_OK;
}
