#include "checkpoint_internal.h"

#include <stdlib.h>
#include <string.h>

/* A contiguous range of a row-major array has at most so many boxes for n dimensions. */
enum { MAX_BLOCKS_PER_RANGE = 2 * FV_PARAM_MAX_DIMS - 1, MAX_PARTS = 3 /* fv_param.blocks */ };

static fv_param_part part_of(const fv_layout *layout, int param)
{
    return fv_param_part_of(&layout->params.items[param], layout->rank, layout->n_ranks);
}

static int is_whole(const fv_param *param, const fv_param_part *part)
{
    return part->rows == param->rows && part->cols == param->cols;
}

int64_t fv_layout_run(const fv_layout *layout, int param, int64_t whole, int64_t *flat)
{
    const fv_param *of = &layout->params.items[param];
    const fv_param_part part = part_of(layout, param);
    int64_t row = whole / of->cols, col = whole % of->cols, base = layout->offset[param];
    if (is_whole(of, &part)) {
        *flat = base + whole;
        return of->rows * of->cols - whole;
    }
    int64_t along = of->split_dim == 1 ? col : row, inside = along % part.stride - part.first;
    if (inside < 0 || inside >= part.n)
        return 0;
    int64_t held = along / part.stride * part.n + inside;
    *flat = base + (of->split_dim == 1 ? row * part.cols + held : held * of->cols + col);
    return of->split_dim == 1 ? part.n - inside : (part.n - inside) * of->cols - col;
}

/* Of ranks that hold the same elements, the first speaks. */
static int speaks_for(const fv_layout *layout, int param)
{
    const fv_param *of = &layout->params.items[param];
    return layout->rank == 0 ||
           (of->split_dim >= 0 &&
            part_of(layout, param).first != fv_param_part_of(of, layout->rank - 1, layout->n_ranks).first);
}

/* Elements [first, end) of an array are filled from elements of a shard, from `from` on. */
typedef struct range {
    int64_t first, end;
    uint64_t from;
} range;

/* The largest box that begins at the first element of a range; *n_elements of it. */
static fv_hdf5_block first_box(const int64_t *dims, int n_dims, const range *r, int64_t *n_elements)
{
    fv_hdf5_block box = {.from = r->from};
    int64_t size = 1, rest = r->first, n = r->end - r->first;
    int d = n_dims - 1;
    for (int i = n_dims - 1; i >= 0; i--) {
        box.start[i] = rest % dims[i];
        rest /= dims[i];
        box.count[i] = 1;
    }
    for (; d > 0 && box.start[d] == 0 && n >= size * dims[d]; d--) {
        box.count[d] = dims[d];
        size *= dims[d];
    }
    int64_t left = dims[d] - box.start[d], fit = n / size;
    box.count[d] = fit < left ? fit : left;
    *n_elements = box.count[d] * size;
    return box;
}

/* One of the equal blocks of a parameter's part: an array of its own, shifted along a dimension of the whole.
 */
typedef struct sub_array {
    int64_t dims[FV_PARAM_MAX_DIMS];
    int n_dims, split_dim;
    int64_t shift, size;
} sub_array;

static sub_array sub_array_of(const fv_param *param, const fv_param_part *part, int b)
{
    sub_array array = {.n_dims = param->n_dims, .size = 1};
    memcpy(array.dims, param->dim, sizeof array.dims);
    if (param->split_dim >= 0) {
        array.split_dim = param->split_dim;
        array.dims[array.split_dim] = part->n;
        array.shift = part->first + b * part->stride;
    }
    for (int i = 0; i < array.n_dims; i++)
        array.size *= array.dims[i];
    return array;
}

static size_t add_boxes(const sub_array *array, range r, fv_hdf5_block *out)
{
    size_t n = 0;
    for (int64_t n_elements; r.first < r.end; r.first += n_elements, r.from += (uint64_t)n_elements) {
        out[n] = first_box(array->dims, array->n_dims, &r, &n_elements);
        out[n++].start[array->split_dim] += array->shift;
    }
    return n;
}

/* What one shard holds of a parameter. */
static size_t add_shard(const fv_layout *layout, int param, const fv_shard *shard, fv_hdf5_block *out)
{
    const fv_param *of = &layout->params.items[param];
    const fv_param_part part = part_of(layout, param);
    int64_t begin = layout->offset[param];
    size_t n = 0;
    for (int b = 0; b < of->blocks; b++) {
        const sub_array array = sub_array_of(of, &part, b);
        int64_t first = begin > shard->first ? begin : shard->first;
        int64_t end = begin + array.size, stop = shard->first + shard->n;
        end = end < stop ? end : stop;
        if (first < end)
            n += add_boxes(&array,
                           (range){first - begin, end - begin, .from = (uint64_t)(first - shard->first)},
                           out + n);
        begin += array.size;
    }
    return n;
}

size_t fv_shard_table_max_blocks(const fv_shard_table *table)
{
    return (size_t)table->n * MAX_PARTS * MAX_BLOCKS_PER_RANGE;
}

size_t fv_shard_table_blocks(const fv_shard_table *table, int param, fv_hdf5_block *out, int *owner)
{
    size_t n = 0;
    for (int i = 0; i < table->n; i++) {
        const fv_shard *shard = &table->places[i].shard;
        const fv_layout *layout = &table->layouts[shard->tensor_rank];
        size_t added = speaks_for(layout, param) ? add_shard(layout, param, shard, out + n) : 0;
        for (size_t b = 0; b < added; b++, n++) {
            out[n].length = (uint64_t)shard->n;
            owner[n] = i;
        }
    }
    return n;
}

static int compare_places(const void *a, const void *b)
{
    const fv_shard *left = &((const fv_shard_place *)a)->shard, *right = &((const fv_shard_place *)b)->shard;
    if (left->tensor_rank != right->tensor_rank)
        return left->tensor_rank < right->tensor_rank ? -1 : 1;
    return left->first < right->first ? -1 : left->first > right->first;
}

static fv_err check_cover(const fv_shard_table *table)
{
    int i = 0;
    for (int t = 0; t < table->tensor_ranks; t++) {
        int64_t end = 0, size = table->layouts[t].n_elements;
        for (; i < table->n && table->places[i].shard.tensor_rank == t; i++) {
            const fv_shard *shard = &table->places[i].shard;
            FV_CHECK(shard->first == end && shard->n > 0 && shard->n <= size - end, FV_ERR_FORMAT,
                     "shard %d holds elements %lld to %lld of tensor rank %d, which has %lld; expected it to "
                     "begin at %lld",
                     table->places[i].number, (long long)shard->first, (long long)(shard->first + shard->n),
                     t, (long long)size, (long long)end);
            end += shard->n;
        }
        FV_CHECK(end == size, FV_ERR_FORMAT,
                 "the shards hold %lld of the %lld elements of tensor rank %d: one is missing, or they are "
                 "of another model",
                 (long long)end, (long long)size, t);
    }
    FV_CHECK(i == table->n, FV_ERR_FORMAT, "shard %d is of tensor rank %d, but there are %d",
             table->places[i].number, table->places[i].shard.tensor_rank, table->tensor_ranks);
    return FV_OK;
}

fv_err fv_shard_table_settle(fv_shard_table *table, const fv_model_shape *shape)
{
    FV_CHECK(table->n > 0 && table->tensor_ranks > 0 && table->tensor_ranks <= table->n, FV_ERR_FORMAT,
             "%d shards for %d tensor ranks", table->n, table->tensor_ranks);
    qsort(table->places, (size_t)table->n, sizeof *table->places, compare_places);
    for (int i = 1; i < table->n; i++)
        FV_CHECK(table->places[i].shard.moments == table->places[0].shard.moments, FV_ERR_FORMAT,
                 "shard %d has moments of %s, the others of %s", table->places[i].number,
                 fv_dtype_name(table->places[i].shard.moments),
                 fv_dtype_name(table->places[0].shard.moments));
    table->layouts = calloc((size_t)table->tensor_ranks, sizeof *table->layouts);
    FV_CHECK(table->layouts, FV_ERR_MEMORY, "no memory for %d layouts", table->tensor_ranks);
    for (int t = 0; t < table->tensor_ranks; t++)
        FV_TRY(fv_layout_init(&table->layouts[t], shape, t, table->tensor_ranks));
    return check_cover(table);
}

void fv_shard_table_fini(fv_shard_table *table)
{
    for (int t = 0; table->layouts && t < table->tensor_ranks; t++)
        fv_layout_fini(&table->layouts[t]);
    free(table->layouts);
    free(table->places);
    *table = (fv_shard_table){0};
}
