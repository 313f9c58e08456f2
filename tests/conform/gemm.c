/* Matrix product; sums over rows and of squares. */
#include "suite.h"

static double element(fv_tensor x, int trans, int64_t row, int64_t col)
{
    return trans ? *f64_at(x, col, row) : *f64_at(x, row, col);
}

void reference_gemm(const fv_gemm_args *args)
{
    int64_t n_k = args->a.dim[args->trans_a ? 0 : 1];
    for (int64_t i = 0; i < args->c.dim[0]; i++)
        for (int64_t j = 0; j < args->c.dim[1]; j++) {
            double *c = f64_at(args->c, i, j), sum = args->accumulate ? *c : 0.0;
            for (int64_t k = 0; k < n_k; k++)
                sum += element(args->a, args->trans_a, i, k) * element(args->b, args->trans_b, k, j);
            *c = sum + (args->bias.data ? *f64_at(args->bias, 0, j) : 0.0);
        }
}

enum { TRANS_A = 1, TRANS_B = 2, ACCUMULATE = 4, BIAS = 8, ALL_FLAGS = 16 };

static void case_gemm(int m, int n, int k, int flags, int every_place)
{
    char note[64];
    size_t mark = host_mark();
    fv_gemm_args args = {.a = flags & TRANS_A ? draw_2d(k, m) : draw_2d(m, k),
                         .b = flags & TRANS_B ? draw_2d(n, k) : draw_2d(k, n),
                         .c = draw_2d(m, n),
                         .trans_a = !!(flags & TRANS_A),
                         .trans_b = !!(flags & TRANS_B),
                         .accumulate = !!(flags & ACCUMULATE)};
    if (flags & BIAS)
        args.bias = draw_1d(n);
    snprintf(note, sizeof note, "%s%s%s", args.trans_a ? "trans_a " : "", args.trans_b ? "trans_b " : "",
             args.accumulate ? "accumulate" : "");
    CONFORM(gemm, args, .near = 2e-6 + 1e-7 * k, .note = note, .n_rows = m,
            .rows = flags & TRANS_A ? "c" : "a c", .columns = flags & TRANS_A ? "a" : NULL,
            .every_place = every_place);
    host_release(mark);
}

void cases_gemm(void)
{
    /* Around the edges of tiles, panels and blocks. */
    static const int sizes[][3] = {{0, 4, 3},  {3, 0, 4},   {1, 1, 1},    {1, 16, 4},  {2, 17, 3},
                                   {3, 33, 7}, {6, 16, 64}, {7, 31, 29},  {4, 64, 61}, {13, 70, 9},
                                   {15, 6, 0}, {17, 1, 31}, {29, 49, 65}, {9, 3, 270}, {1, 97, 90}};
    static const int large[][3] = {{540, 5, 10}, {15, 5, 5470}, {8, 290, 33}};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int flags = 0; flags < ALL_FLAGS; flags++)
            case_gemm(sizes[s][0], sizes[s][1], sizes[s][2], flags, 0);
    for (size_t s = 0; s < sizeof large / sizeof *large; s++)
        for (int flags = 0; flags < ACCUMULATE; flags++)
            case_gemm(large[s][0], large[s][1], large[s][2], flags | BIAS, 0);
    for (int flags = 0; flags < ACCUMULATE; flags++)
        case_gemm(29, 19, 37, flags, 1);
    case_gemm(48, 130, 270, TRANS_B | BIAS, 0);
}

void reference_colsum(const fv_colsum_args *args)
{
    for (int64_t j = 0; j < args->out.dim[0]; j++) {
        double *out = f64_at(args->out, j, 0), sum = args->accumulate ? *out : 0.0;
        for (int64_t i = 0; i < args->x.dim[0]; i++)
            sum += *f64_at(args->x, i, j);
        *out = sum;
    }
}

void cases_colsum(void)
{
    static const int sizes[][2] = {{0, 5}, {3, 0}, {1, 1}, {2, 17}, {9, 16}, {37, 1003}, {301, 70}};
    for (int i = 0; i < 14; i++) {
        const int *size = sizes[i / 2];
        fv_colsum_args args = {draw_2d(size[0], size[1]), draw_1d(size[1]), i % 2};
        CONFORM(colsum, args, .near = 1e-5, .note = i % 2 ? "accumulate" : NULL);
    }
}

void reference_sumsq(const fv_sumsq_args *args)
{
    *f64_at(args->out, 0, 0) = dot(args->x, args->x);
}

void cases_sumsq(void)
{
    static const int sizes[] = {0, 1, 5, 16, 1003, 65535, 65536, 65537, 3 * 65536 + 77};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        fv_sumsq_args args = {draw_1d(sizes[i]), zeros_1d(FV_F64, 1)};
        CONFORM(sumsq, args, .near = 1e-12);
    }
}
