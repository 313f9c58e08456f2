/* Norm, rope, SwiGLU, GELU, rows by index, AdamW and sums on the CPU. */
#include "kernels.h"

enum { T = 37, C = 1003, HEADS = 3, D = 72, WIDE = HEADS * D + 24 };

static float x[T * C], y[T * C], z[T * C], w[C];

static void setup_inputs(void)
{
    fill_normal(x, T * C, 1, 2.0f);
    fill_normal(y, T * C, 2, 1.0f);
    fill_normal(z, T * C, 3, 1.0f);
    fill_normal(w, C, 4, 1.0f);
}

/* ---- norm ---- */

static void case_norm(fv_backend *backend, float *out)
{
    RUN(backend, norm, .x = f32_2d(x, T, C), .residual = f32_2d(y, T, C), .weight = f32_1d(w, C),
        .sum = f32_2d(out, T, C), .y = f32_2d(out + T * C, T, C), .rstd = f32_1d(out + 2 * T * C, T),
        .eps = 1e-6f);
}

static void test_norm(void **state)
{
    (void)state;
    static float out[2 * T * C + T];
    fv_backend *backend = best();
    case_norm(backend, out);
    for (int t = 0; t < T; t++) {
        double square = 0.0;
        for (int c = 0; c < C; c++)
            square += pow((double)x[t * C + c] + (double)y[t * C + c], 2.0);
        double rstd = 1.0 / sqrt(square / C + 1e-6);
        assert_near(out[2 * T * C + t], rstd, 1e-6 * rstd, "rstd");
        for (int c = 0; c < C; c++) {
            double s = (double)x[t * C + c] + (double)y[t * C + c];
            assert_near(out[T * C + t * C + c], s * rstd * w[c], 2e-6, "y");
        }
    }
    fv_backend_destroy(backend);
    check_same_bits(case_norm, 2 * T * C + T);
}

/* Heads of a wider row; sum in the memory of the residual; and each row alone. */
static void test_norm_of_heads(void **state)
{
    (void)state;
    static float wide[T * WIDE], residual[T * HEADS * D], out[T * HEADS * D], alone[HEADS * D];
    fv_backend *backend = best();
    fill_normal(wide, T * WIDE, 5, 1.0f);
    fill_normal(residual, T * HEADS * D, 6, 1.0f);
    fv_tensor in = fv_tensor_heads(fv_tensor_cols(f32_2d(wide, T, WIDE), 24, HEADS * D), HEADS);
    fv_tensor sum = fv_tensor_3d(residual, FV_F32, T, HEADS, D);
    for (int t = T - 1; t >= 0; t -= 5) {
        static float kept[HEADS * D];
        memcpy(kept, residual + t * HEADS * D, sizeof kept);
        fv_tensor row = fv_tensor_rows(sum, t, 1);
        fv_tensor y_row = fv_tensor_3d(alone, FV_F32, 1, HEADS, D);
        RUN(backend, norm, .x = fv_tensor_rows(in, t, 1), .residual = row, .weight = f32_1d(w, D), .sum = row,
            .y = y_row, .eps = 1e-6f);
        memcpy(residual + t * HEADS * D, kept, sizeof kept);
    }
    RUN(backend, norm, .x = in, .residual = sum, .weight = f32_1d(w, D), .sum = sum,
        .y = fv_tensor_3d(out, FV_F32, T, HEADS, D), .eps = 1e-6f);
    assert_same_bits(alone, out + (T - 1) % 5 * HEADS * D, HEADS * D, "one row alone");
    fv_backend_destroy(backend);
}

typedef struct norm_point {
    const float *dy;
} norm_point;

static double norm_loss(const double *s, const void *context)
{
    const float *dy = ((const norm_point *)context)->dy;
    double square = 0.0, loss = 0.0;
    for (int c = 0; c < C; c++)
        square += s[c] * s[c];
    for (int c = 0; c < C; c++)
        loss += s[c] / sqrt(square / C + 1e-6) * (double)w[c] * (double)dy[c];
    return loss;
}

static void case_norm_grad(fv_backend *backend, float *out)
{
    static float rstd[T], scratch[T * C];
    RUN(backend, norm, .x = f32_2d(x, T, C), .weight = f32_1d(w, C), .y = f32_2d(scratch, T, C),
        .rstd = f32_1d(rstd, T), .eps = 1e-6f);
    memcpy(out, z, T * C * sizeof *out);
    memcpy(out + T * C, w, C * sizeof *out);
    RUN(backend, norm_grad, .dy = f32_2d(y, T, C), .x = f32_2d(x, T, C), .weight = f32_1d(w, C),
        .rstd = f32_1d(rstd, T), .dx = f32_2d(out, T, C), .dweight = f32_1d(out + T * C, C), .accumulate = 1);
}

static void test_norm_grad(void **state)
{
    (void)state;
    static float out[T * C + C];
    static double s[C];
    fv_backend *backend = best();
    case_norm_grad(backend, out);
    for (int t = 0; t < T; t += 9) {
        for (int c = 0; c < C; c++)
            s[c] = (double)x[t * C + c];
        for (int c = 0; c < C; c += 17)
            assert_near(out[t * C + c],
                        (double)z[t * C + c] + slope(norm_loss, s, c, &(norm_point){y + t * C}), 2e-5, "dx");
    }
    for (int c = 0; c < C; c++) {
        double sum = (double)w[c];
        for (int t = 0; t < T; t++) {
            double square = 0.0;
            for (int i = 0; i < C; i++)
                square += pow((double)x[t * C + i], 2.0);
            sum += (double)y[t * C + c] * (double)x[t * C + c] / sqrt(square / C + 1e-6);
        }
        assert_near(out[T * C + c], sum, 2e-5, "dweight");
    }
    fv_backend_destroy(backend);
    check_same_bits(case_norm_grad, T * C + C);
}

/* ---- rope ---- */

static void case_rope(fv_backend *backend, float *out)
{
    static float cosine[T * D / 2], sine[T * D / 2];
    for (int i = 0; i < T * D / 2; i++) {
        cosine[i] = cosf(x[i]);
        sine[i] = sinf(x[i]);
    }
    fill_normal(out, T * WIDE, 8, 1.0f);
    fv_tensor heads = fv_tensor_heads(fv_tensor_cols(f32_2d(out, T, WIDE), 8, HEADS * D), HEADS);
    RUN(backend, rope, .cos = f32_2d(cosine, T, D / 2), .sin = f32_2d(sine, T, D / 2), .x = heads);
    memcpy(out + T * WIDE, out, T * WIDE * sizeof *out);
    heads.data = out + T * WIDE + 8;
    RUN(backend, rope, .cos = f32_2d(cosine, T, D / 2), .sin = f32_2d(sine, T, D / 2), .x = heads,
        .inverse = 1);
}

static void test_rope(void **state)
{
    (void)state;
    static float before[T * WIDE], out[2 * T * WIDE];
    fv_backend *backend = best();
    fill_normal(before, T * WIDE, 8, 1.0f);
    case_rope(backend, out);
    for (int t = 0; t < T; t++)
        for (int c = 0; c < WIDE; c++) {
            int at = t * WIDE + c, h = c - 8;
            double expected = (double)before[at];
            if (h >= 0 && h < HEADS * D) {
                int low = h % D < D / 2;
                double angle = (double)x[t * D / 2 + h % (D / 2)];
                double other = (double)before[low ? at + D / 2 : at - D / 2];
                expected = expected * cos(angle) + (low ? -other : other) * sin(angle);
            }
            assert_near(out[at], expected, h >= 0 && h < HEADS * D ? 1e-6 : 0.0, "turned");
            assert_near(out[T * WIDE + at], before[at], 2e-6, "turned back");
        }
    fv_backend_destroy(backend);
    check_same_bits(case_rope, 2 * T * WIDE);
}

/* ---- SwiGLU and GELU ---- */

static double silu(double g)
{
    return g / (1.0 + exp(-g));
}

static double gelu(double g)
{
    return 0.5 * g * erfc(-g / sqrt(2.0));
}

static double derivative(double (*f)(double), double at)
{
    return (f(at + 1e-5) - f(at - 1e-5)) / 2e-5;
}

static void case_swiglu(fv_backend *backend, float *out)
{
    fv_tensor gate = f32_2d(x, T, C), up = f32_2d(y, T, C);
    RUN(backend, swiglu, .gate = gate, .up = up, .y = f32_2d(out, T, C));
    /* Gradients in place of what they belong to. */
    memcpy(out + T * C, x, T * C * sizeof *out);
    memcpy(out + 2 * T * C, y, T * C * sizeof *out);
    gate.data = out + T * C;
    up.data = out + 2 * T * C;
    RUN(backend, swiglu_grad, .dy = f32_2d(z, T, C), .gate = gate, .up = up, .dgate = gate, .dup = up);
}

static void test_swiglu(void **state)
{
    (void)state;
    static float out[3 * T * C], row[C];
    fv_backend *backend = best();
    case_swiglu(backend, out);
    for (int i = 0; i < T * C; i++) {
        double g = (double)x[i], u = (double)y[i], dy = (double)z[i];
        assert_near(out[i], silu(g) * u, 3e-7 * (1e-3 + fabs(silu(g) * u)), "y");
        assert_near(out[T * C + i], dy * u * derivative(silu, g), 2e-6, "dgate");
        assert_near(out[2 * T * C + i], dy * silu(g), 3e-7 * (1e-3 + fabs(dy * silu(g))), "dup");
    }
    RUN(backend, swiglu, .gate = f32_2d(x + 5 * C, 1, C), .up = f32_2d(y + 5 * C, 1, C),
        .y = f32_2d(row, 1, C));
    assert_same_bits(row, out + 5 * C, C, "one row alone");
    float far[3] = {-1e4f, -88.5f, 1e4f}, one[3] = {1, 1, 1}, end[3];
    RUN(backend, swiglu, .gate = f32_2d(far, 1, 3), .up = f32_2d(one, 1, 3), .y = f32_2d(end, 1, 3));
    assert_true(end[0] == 0.0f && end[1] == 0.0f && end[2] == 1e4f);
    fv_backend_destroy(backend);
    check_same_bits(case_swiglu, 3 * T * C);
}

static void case_gelu(fv_backend *backend, float *out)
{
    RUN(backend, gelu, .x = f32_2d(x, T, C), .y = f32_2d(out, T, C));
    RUN(backend, gelu_grad, .dy = f32_2d(y, T, C), .x = f32_2d(x, T, C), .dx = f32_2d(out + T * C, T, C));
}

static void test_gelu(void **state)
{
    (void)state;
    enum { N = 52000 };
    static float in[N], out[N], one[N];
    fv_backend *backend = best();
    for (int i = 0; i < N; i++) {
        in[i] = ((float)i - N / 2) / 2000.0f;
        one[i] = 1.0f;
    }
    RUN(backend, gelu, .x = f32_2d(in, 1, N), .y = f32_2d(out, 1, N));
    double worst = 0.0;
    for (int i = 0; i < N; i++) {
        double exact = gelu((double)in[i]);
        double error = exact == 0.0 ? fabs((double)out[i]) : fabs(out[i] / exact - 1.0);
        worst = error > worst && in[i] > -8.0f ? error : worst;
        assert_near(out[i], exact, 1e-36 + 3e-6 * fabs(exact), "gelu");
    }
    assert_true(worst < 8 * 0x1p-24);
    RUN(backend, gelu_grad, .dy = f32_2d(one, 1, N), .x = f32_2d(in, 1, N), .dx = f32_2d(out, 1, N));
    for (int i = 0; i < N; i++)
        assert_near(out[i], derivative(gelu, (double)in[i]), 3e-7, "slope");
    fv_backend_destroy(backend);
    check_same_bits(case_gelu, 2 * T * C);
}

/* ---- rows by index ---- */

static void case_rows(fv_backend *backend, float *out)
{
    static int32_t index[T];
    for (int t = 0; t < T; t++)
        index[t] = 100 + (t * 7) % 13 - 2; /* repeats, and some outside of [100, 109) */
    memcpy(out, y, 9 * C * sizeof *out);
    RUN(backend, scatter_add, .in = f32_2d(x, T, C), .index = i32_1d(index, T), .table = f32_2d(out, 9, C),
        .first = 100);
    RUN(backend, gather, .table = f32_2d(out, 9, C), .index = i32_1d(index, T),
        .out = f32_2d(out + 9 * C, T, C), .first = 100);
}

static void test_rows_by_index(void **state)
{
    (void)state;
    static float out[(9 + T) * C], table[9 * C];
    fv_backend *backend = best();
    case_rows(backend, out);
    memcpy(table, y, sizeof table);
    for (int t = 0; t < T; t++)
        for (int c = 0, row = (t * 7) % 13 - 2; row >= 0 && row < 9 && c < C; c++)
            table[row * C + c] += x[t * C + c];
    assert_same_bits(out, table, 9 * C, "scatter_add, in order");
    for (int t = 0; t < T; t++)
        for (int c = 0, row = (t * 7) % 13 - 2; c < C; c++)
            assert_true(out[(9 + t) * C + c] == (row >= 0 && row < 9 ? table[row * C + c] : 0.0f));
    const int32_t index[4] = {3, -1, 0, 9};
    memcpy(table, y, sizeof table);
    RUN(backend, scatter, .in = f32_2d(x, 4, C), .index = i32_1d(index, 4), .table = f32_2d(table, 9, C));
    assert_same_bits(table, x + 2 * C, C, "scatter");
    assert_same_bits(table + 3 * C, x, C, "scatter");
    assert_same_bits(table + 4 * C, y + 4 * C, 5 * C, "rows that are not named");
    fv_backend_destroy(backend);
    check_same_bits(case_rows, (9 + T) * C);
}

/* ---- AdamW and sums ---- */

static void case_adamw(fv_backend *backend, float *out)
{
    enum { N = T * C };
    memcpy(out, x, N * sizeof *out);
    memcpy(out + N, y, N * sizeof *out);
    for (int i = 0; i < N; i++)
        out[2 * N + i] = z[i] * z[i];
    for (int step = 3; step < 5; step++)
        RUN(backend, adamw, .grad = f32_1d(z, N), .param = f32_1d(out, N), .m = f32_1d(out + N, N),
            .v = f32_1d(out + 2 * N, N), .step = step, .lr = 0.01f, .beta1 = 0.9f, .beta2 = 0.95f,
            .eps = 1e-8f, .weight_decay = 0.1f, .grad_scale = 0.5f);
}

static void test_adamw(void **state)
{
    (void)state;
    enum { N = T * C };
    static float out[3 * N];
    fv_backend *backend = best();
    case_adamw(backend, out);
    for (int i = 0; i < N; i++) {
        double param = x[i], m = y[i], v = (double)(z[i] * z[i]), g = 0.5 * (double)z[i];
        for (int step = 3; step < 5; step++) {
            m = 0.9 * m + 0.1 * g;
            v = 0.95 * v + 0.05 * g * g;
            param -= 0.01 * 0.1 * param;
            param -= 0.01 * (m / (1.0 - pow(0.9, step))) / (sqrt(v / (1.0 - pow(0.95, step))) + 1e-8);
        }
        assert_near(out[N + i], m, 1e-6, "m");
        assert_near(out[2 * N + i], v, 1e-6 * (1.0 + v), "v");
        assert_near(out[i], param, 1e-6 * (10.0 + fabs((double)x[i] - param)), "param");
    }
    fv_backend_destroy(backend);
    check_same_bits(case_adamw, 3 * N);
}

enum { LONG = 3 * 65536 + 77 };
static float long_x[LONG];

static void case_sumsq(fv_backend *backend, float *out)
{
    double sums[3];
    const int64_t n[3] = {LONG, 65536, 5};
    for (int i = 0; i < 3; i++)
        RUN(backend, sumsq, .x = f32_1d(long_x, n[i]), .out = fv_tensor_1d(&sums[i], FV_F64, 1));
    memcpy(out, sums, sizeof sums);
}

static void test_sumsq(void **state)
{
    (void)state;
    double sums[3], exact = 0.0;
    fill_normal(long_x, LONG, 9, 1.0f);
    fv_backend *backend = best();
    case_sumsq(backend, (float *)sums);
    for (int i = 0; i < LONG; i++)
        exact += (double)long_x[i] * (double)long_x[i];
    assert_near(sums[0], exact, 1e-12 * exact, "sum of squares");
    fv_backend_destroy(backend);
    check_same_bits(case_sumsq, 6);
}

static void case_colsum(fv_backend *backend, float *out)
{
    memcpy(out, w, C * sizeof *out);
    RUN(backend, colsum, .x = f32_2d(x, T, C), .out = f32_1d(out, C), .accumulate = 1);
    RUN(backend, colsum, .x = fv_tensor_cols(f32_2d(x, T, C), 3, C - 3), .out = f32_1d(out + C, C - 3));
}

static void test_colsum(void **state)
{
    (void)state;
    static float out[2 * C - 3];
    fv_backend *backend = best();
    case_colsum(backend, out);
    for (int c = 0; c < C; c++) {
        float with = w[c], without = 0.0f;
        for (int t = 0; t < T; t++) {
            with += x[t * C + c];
            without += x[t * C + c];
        }
        assert_true(out[c] == with && (c < 3 || out[C + c - 3] == without));
    }
    fv_backend_destroy(backend);
    check_same_bits(case_colsum, 2 * C - 3);
}

int main(void)
{
    setup_inputs();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_norm),   cmocka_unit_test(test_norm_of_heads), cmocka_unit_test(test_norm_grad),
        cmocka_unit_test(test_rope),   cmocka_unit_test(test_swiglu),        cmocka_unit_test(test_gelu),
        cmocka_unit_test(test_adamw),  cmocka_unit_test(test_rows_by_index), cmocka_unit_test(test_sumsq),
        cmocka_unit_test(test_colsum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
