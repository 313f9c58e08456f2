/* Matrix product; sums over rows and of squares. */
#include "suite.h"

#include <math.h>

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

/* chunks: how many k is cut into; 0: it is not. */
static void case_gemm(int m, int n, int k, int flags, int every_place, int chunks)
{
    char note[64];
    size_t mark = host_mark();
    fv_gemm_args args = {.a = flags & TRANS_A ? draw_2d(k, m) : draw_2d(m, k),
                         .b = flags & TRANS_B ? draw_2d(n, k) : draw_2d(k, n),
                         .c = draw_2d(m, n),
                         .trans_a = !!(flags & TRANS_A),
                         .trans_b = !!(flags & TRANS_B),
                         .accumulate = !!(flags & ACCUMULATE)};
    if (chunks)
        args.chunks = fv_chunks_of_rank(chunks, k, 0, 1);
    if (flags & BIAS)
        args.bias = draw_1d(n);
    snprintf(note, sizeof note, "%s%s%s chunks %d", args.trans_a ? "trans_a " : "",
             args.trans_b ? "trans_b " : "", args.accumulate ? "accumulate" : "", chunks);
    CONFORM(gemm, args, .near = 2e-6 + 1e-7 * k, .note = note, .n_rows = m,
            .rows = flags & TRANS_A ? "c" : "a c", .columns = flags & TRANS_A ? "a" : NULL,
            .every_place = every_place);
    if (every_place || chunks || n > 30)
        CONFORM(gemm, args, .near = 2e-6 + 1e-7 * k, .note = "columns", .n_rows = n,
                .rows = flags & TRANS_B ? "b bias" : "bias", .columns = flags & TRANS_B ? "c" : "b c",
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
            case_gemm(sizes[s][0], sizes[s][1], sizes[s][2], flags, 0, 0);
    for (size_t s = 0; s < sizeof large / sizeof *large; s++)
        for (int flags = 0; flags < ACCUMULATE; flags++)
            case_gemm(large[s][0], large[s][1], large[s][2], flags | BIAS, 0, 0);
    for (int flags = 0; flags < ACCUMULATE; flags++)
        case_gemm(29, 19, 37, flags, 1, 0);
    case_gemm(48, 130, 270, TRANS_B | BIAS, 0, 0);
    /* {m, n, k, chunks}: around the edges of what devices do with few rows and with chunks of whole steps. */
    static const int few[][4] = {{1, 48, 160, 0},  {2, 20, 208, 4},  {8, 130, 128, 2}, {9, 72, 256, 4},
                                 {16, 35, 144, 0}, {17, 33, 256, 8}, {33, 24, 320, 4}, {64, 24, 512, 4},
                                 {65, 37, 96, 0},  {66, 20, 256, 2}, {70, 12, 684, 4}, {130, 9, 512, 8},
                                 {4, 136, 528, 1}};
    for (size_t s = 0; s < sizeof few / sizeof *few; s++)
        case_gemm(few[s][0], few[s][1], few[s][2], TRANS_B | (s % 2 ? BIAS : 0), 0, few[s][3]);
    for (int chunks = 1; chunks <= FV_MAX_CHUNKS; chunks *= 2) {
        case_gemm(1, 35, 3, TRANS_B, 0, chunks);
        case_gemm(17, 70, 67, TRANS_B | BIAS, 0, chunks);
        case_gemm(31, 66, 521, BIAS, 0, chunks);
    }
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
    double sum = 0;
    for (int64_t s = 0; s < args->segments.dim[0]; s++) {
        fv_tensor part =
            fv_tensor_rows(args->x, *i64_at(args->segments, s, 0), *i64_at(args->segments, s, 1));
        sum += dot(part, part);
    }
    *f64_at(args->out, 0, 0) = sum;
}

/* segments: {first, n} each. */
static void case_of_sumsq(int64_t n, int64_t n_segments, const int64_t *segments)
{
    fv_sumsq_args args = {draw_1d(n), zeros_2d(FV_I64, n_segments, 2), zeros_1d(FV_F64, 1)};
    for (int64_t i = 0; i < 2 * n_segments; i++)
        *i64_at(args.segments, 0, i) = segments[i];
    CONFORM(sumsq, args, .near = 1e-12);
}

void cases_sumsq(void)
{
    static const int64_t sizes[] = {0, 1, 5, 16, 1003, 65535, 65536, 65537, 3 * 65536 + 77};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        case_of_sumsq(sizes[i], 1, (int64_t[]){0, sizes[i]});
    case_of_sumsq(100, 0, NULL);
    case_of_sumsq(200000, 4, (int64_t[]){3, 0, 17, 70001, 100000, 65536, 199999, 1});
    case_of_sumsq(400000, 3, (int64_t[]){1, 130000, 131000, 1, 140000, 260000});
}

void reference_clip(const fv_clip_args *args)
{
    double norm = sqrt(*f64_at(args->sum, 0, 0)), limit = (double)args->limit;
    *f64_at(args->scale, 0, 0) = !isfinite(norm) ? 0 : limit > 0 && norm > limit ? limit / norm : 1;
}

void cases_clip(void)
{
    static const double sums[] = {0, 1e-300, 0.25, 4, 1e30, INFINITY};
    for (int i = 0; i < 12; i++) {
        fv_clip_args args = {zeros_1d(FV_F64, 1), zeros_1d(FV_F32, 1), i % 2 ? 1.0f : 0.0f};
        *f64_at(args.sum, 0, 0) = sums[i / 2];
        CONFORM(clip, args, .near = 1e-7);
    }
}
