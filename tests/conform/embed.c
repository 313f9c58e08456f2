/* Rows by index. */
#include "suite.h"

/* The row of table that index[i] names; NULL if it is outside. */
static double *named_row(fv_tensor table, fv_tensor index, int64_t i, int32_t first)
{
    int64_t row = (int64_t)*i32_at(index, i, 0) - first;
    return row >= 0 && row < table.dim[0] ? f64_at(table, row, 0) : NULL;
}

void reference_gather(const fv_gather_args *args)
{
    for (int64_t i = 0; i < args->out.dim[0]; i++) {
        const double *row = named_row(args->table, args->index, i, args->first);
        for (int64_t j = 0; j < args->out.dim[1]; j++)
            *f64_at(args->out, i, j) = row ? row[j] : 0.0;
    }
}

void reference_scatter(const fv_scatter_args *args)
{
    for (int64_t i = 0; i < args->in.dim[0]; i++) {
        double *row = named_row(args->table, args->index, i, args->first);
        for (int64_t j = 0; row && j < args->in.dim[1]; j++)
            row[j] = *f64_at(args->in, i, j);
    }
}

void reference_scatter_add(const fv_scatter_add_args *args)
{
    for (int64_t i = 0; i < args->in.dim[0]; i++) {
        double *row = named_row(args->table, args->index, i, args->first);
        for (int64_t j = 0; row && j < args->in.dim[1]; j++)
            row[j] += *f64_at(args->in, i, j);
    }
}

/* Rows of the table, rows by index, channels. */
static const int shapes[][3] = {{9, 0, 5},     {3, 4, 0},    {0, 3, 4},     {1, 1, 1},     {9, 37, 17},
                                {13, 20, 128}, {100, 7, 64}, {11, 300, 70}, {50, 40, 1003}};
enum { N_SHAPES = sizeof shapes / sizeof *shapes, FIRST = 100 };

/* Rows in and out of the table, some many times if `again`, else each once at most. */
static fv_tensor draw_index(const int *shape, int32_t first, int again)
{
    fv_tensor index = zeros_1d(FV_I32, shape[1]);
    int n = again ? shape[0] + 4 : shape[1] + shape[0] + 3, step = n % 7 ? 7 : 11;
    for (int i = 0; i < shape[1]; i++)
        *i32_at(index, i, 0) = first - 2 + i * step % n;
    if (shape[1] > 3) {
        *i32_at(index, 2, 0) = INT32_MIN;
        *i32_at(index, 3, 0) = INT32_MAX;
    }
    return index;
}

void cases_gather(void)
{
    for (int i = 0; i < 2 * N_SHAPES; i++) {
        const int *shape = shapes[i / 2];
        int32_t first = i % 2 ? FIRST : 0;
        fv_gather_args args = {draw_2d(shape[0], shape[2]), draw_index(shape, first, 1),
                               draw_2d(shape[1], shape[2]), first};
        CONFORM(gather, args, .n_rows = shape[1], .rows = "index out");
        CONFORM(gather, args, .note = "columns", .n_rows = args.table.dim[1], .columns = "table out");
    }
}

void cases_scatter(void)
{
    for (int i = 0; i < 2 * N_SHAPES; i++) {
        const int *shape = shapes[i / 2];
        int32_t first = i % 2 ? FIRST : 0;
        fv_scatter_args args = {draw_2d(shape[1], shape[2]), draw_index(shape, first, 0),
                                draw_2d(shape[0], shape[2]), first};
        CONFORM(scatter, args, .near = 0.0);
    }
}

static double loss_of_gather(const void *grad_args)
{
    const fv_scatter_add_args *args = grad_args;
    fv_tensor out = zeros_like(args->in);
    reference_gather(&(fv_gather_args){args->table, args->index, out, args->first});
    return dot(args->in, out);
}

void cases_scatter_add(void)
{
    for (int i = 0; i < 2 * N_SHAPES; i++) {
        const int *shape = shapes[i / 2];
        int32_t first = i % 2 ? FIRST : 0;
        fv_scatter_add_args args = {draw_2d(shape[1], shape[2]), draw_index(shape, first, 1),
                                    draw_2d(shape[0], shape[2]), first};
        CONFORM(scatter_add, args, .near = 3e-6, .loss = loss_of_gather, .slopes = {{"table", "table", 1}});
    }
}
