/* Attention and its gradient on the CPU: values against double precision, and the same bits however the work
 * is cut, laid out, shared and spread over threads. */
#include "kernels.h"

enum { MOST = 3 << 16, MOST_SEGMENTS = 400, MOST_SPANS = 400 };

/* A problem; T rows of q, R rows of k and v. */
typedef struct scene {
    int t, r, h, k, d, causal, window;
    int n_segments, n_spans;
    int32_t segments[MOST_SEGMENTS][6], spans[MOST_SPANS][2];
} scene;

static float q[MOST], k[MOST], v[MOST], dout[MOST];
static float out[MOST], lse[MOST], dq[MOST], dk[MOST], dv[MOST];
static double want_out[MOST], want_lse[MOST], want_dq[MOST], want_dk[MOST], want_dv[MOST];

static void fill_inputs(void)
{
    static float drawn[MOST];
    float *const all[] = {q, k, v, dout};
    if (drawn[0] == 0.0f)
        fill_normal(drawn, MOST, 1, 1.0f);
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < MOST; j++)
            all[i][j] = drawn[(j + i * 30011) % MOST];
}

static void add_span(scene *s, int row, int length)
{
    s->spans[s->n_spans][0] = row;
    s->spans[s->n_spans++][1] = length;
    s->segments[s->n_segments - 1][4]++;
    s->segments[s->n_segments - 1][5] += length;
}

static void add_segment(scene *s, int q_row, int n_q, int n_past)
{
    int32_t segment[6] = {q_row, n_q, n_past, s->n_spans, 0, 0};
    memcpy(s->segments[s->n_segments++], segment, sizeof segment);
}

static fv_tensor heads(const float *x, int rows, int n_heads, int d)
{
    return fv_tensor_3d((void *)(uintptr_t)x, FV_F32, rows, n_heads, d);
}

static fv_tensor ints(const void *x, int rows, int cols)
{
    return fv_tensor_2d((void *)(uintptr_t)x, FV_I32, rows, cols);
}

static float scale_of(const scene *s)
{
    return 1.0f / sqrtf((float)s->d);
}

static void forward(fv_backend *backend, const scene *s)
{
    RUN(backend, attention, .q = heads(q, s->t, s->h, s->d), .k = heads(k, s->r, s->k, s->d),
        .v = heads(v, s->r, s->k, s->d), .segments = ints(s->segments, s->n_segments, 6),
        .spans = ints(s->spans, s->n_spans, 2), .out = heads(out, s->t, s->h, s->d),
        .lse = f32_2d(lse, s->t, s->h), .scale = scale_of(s), .causal = s->causal, .window = s->window);
}

static void backward(fv_backend *backend, const scene *s)
{
    RUN(backend, attention_grad, .dout = heads(dout, s->t, s->h, s->d), .out = heads(out, s->t, s->h, s->d),
        .lse = f32_2d(lse, s->t, s->h), .q = heads(q, s->t, s->h, s->d), .k = heads(k, s->r, s->k, s->d),
        .v = heads(v, s->r, s->k, s->d), .segments = ints(s->segments, s->n_segments, 6),
        .spans = ints(s->spans, s->n_spans, 2), .dq = heads(dq, s->t, s->h, s->d),
        .dk = heads(dk, s->r, s->k, s->d), .dv = heads(dv, s->r, s->k, s->d), .scale = scale_of(s),
        .causal = s->causal, .window = s->window);
}

/* ---- the reference ---- */

/* Offsets of the rows of k that the query sees, one key head; returns how many. */
static int seen_keys(const scene *s, const int32_t *segment, int i, int head, int *offset)
{
    int n = 0, at = 0, position = segment[2] + i;
    for (int p = segment[3]; p < segment[3] + segment[4]; p++)
        for (int j = 0; j < s->spans[p][1]; j++, at++)
            if (at < segment[5] && (!s->causal || at <= position) &&
                (!s->window || at > position - s->window))
                offset[n++] = ((s->spans[p][0] + j) * s->k + head / (s->h / s->k)) * s->d;
    return n;
}

static double product(const float *a, const float *b, int n)
{
    double sum = 0.0;
    for (int i = 0; i < n; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

/* One row (query, head) at q + at. */
static void reference_row(const scene *s, int at, int n, const int *offset)
{
    static double p[MOST];
    double most = -INFINITY, sum = 0.0, delta = 0.0, scale = scale_of(s);
    for (int j = 0; j < n; j++)
        most = fmax(most, p[j] = scale * product(q + at, k + offset[j], s->d));
    for (int j = 0; j < n; j++)
        sum += p[j] = exp(p[j] - most);
    want_lse[at / s->d] = most + log(sum);
    for (int j = 0; j < n; j++) {
        p[j] /= sum;
        delta += p[j] * product(dout + at, v + offset[j], s->d);
        for (int c = 0; c < s->d; c++)
            want_out[at + c] += p[j] * v[offset[j] + c];
    }
    for (int j = 0; j < n; j++) {
        double ds = scale * p[j] * (product(dout + at, v + offset[j], s->d) - delta);
        for (int c = 0; c < s->d; c++) {
            want_dq[at + c] += ds * k[offset[j] + c];
            want_dk[offset[j] + c] += ds * q[at + c];
            want_dv[offset[j] + c] += p[j] * dout[at + c];
        }
    }
}

static void reference(const scene *s)
{
    static int offset[MOST];
    memset(want_out, 0, sizeof want_out);
    memset(want_dq, 0, sizeof want_dq);
    for (int i = 0; i < s->r * s->k * s->d; i++)
        want_dk[i] = want_dv[i] = 0.25;
    for (int g = 0; g < s->n_segments; g++)
        for (int i = 0; i < s->segments[g][1]; i++)
            for (int head = 0; head < s->h; head++) {
                int n = seen_keys(s, s->segments[g], i, head, offset);
                reference_row(s, ((s->segments[g][0] + i) * s->h + head) * s->d, n, offset);
            }
}

static void check_near(const float *found, const double *expected, int n, double tolerance, const char *what)
{
    for (int i = 0; i < n; i++)
        assert_near(found[i], expected[i], tolerance * (1.0 + fabs(expected[i])), what);
}

static void check_values(const scene *s)
{
    fv_backend *backend = best();
    assert_true(s->t * s->h * s->d <= MOST && s->r * s->k * s->d <= MOST);
    reference(s);
    memset(out, 0xff, sizeof out);
    memset(dq, 0xff, sizeof dq);
    for (int i = 0; i < s->r * s->k * s->d; i++)
        dk[i] = dv[i] = 0.25f;
    forward(backend, s);
    backward(backend, s);
    check_near(out, want_out, s->t * s->h * s->d, 3e-6, "out");
    check_near(lse, want_lse, s->t * s->h, 3e-6, "lse");
    check_near(dq, want_dq, s->t * s->h * s->d, 2e-5, "dq");
    check_near(dk, want_dk, s->r * s->k * s->d, 5e-5, "dk");
    check_near(dv, want_dv, s->r * s->k * s->d, 5e-5, "dv");
    fv_backend_destroy(backend);
}

/* ---- scenes ---- */

static scene one_run(int n, int h, int n_kv, int d, int causal, int window)
{
    scene s = {.t = n, .r = n, .h = h, .k = n_kv, .d = d, .causal = causal, .window = window};
    add_segment(&s, 0, n, 0);
    add_span(&s, 0, n);
    return s;
}

/* Runs one after another, each attending to itself. */
static scene several_runs(const int *n, int count, scene s)
{
    for (int i = 0; i < count; i++) {
        add_segment(&s, s.t, n[i], 0);
        add_span(&s, s.t, n[i]);
        s.t += n[i];
    }
    s.r = s.t;
    return s;
}

enum { PREFIX = 141 };
static const int answers[] = {40, 1, 70};

/* A prompt and its answers; the rows of an answer follow those of the one before. */
static scene tree(int h, int n_kv, int d)
{
    scene s = {.t = PREFIX, .h = h, .k = n_kv, .d = d, .causal = 1};
    add_segment(&s, 0, PREFIX, 0);
    add_span(&s, 0, PREFIX);
    for (int i = 0; i < 3; i++) {
        add_segment(&s, s.t, answers[i], PREFIX);
        add_span(&s, 0, PREFIX);
        add_span(&s, s.t, answers[i]);
        s.t += answers[i];
    }
    s.r = s.t;
    return s;
}

static int page_row(int key, int n_pages, int page)
{
    return (key / page * 7 + 3) % n_pages * page + key % page;
}

/* One run whose keys lie in pages in disorder; 7 does not divide n_pages. */
static scene paged(int n, int page, scene s)
{
    int n_pages = (n + page - 1) / page;
    s.t = n;
    s.r = n_pages * page;
    add_segment(&s, 0, n, 0);
    for (int at = 0; at < n; at += page)
        add_span(&s, page_row(at, n_pages, page), n - at < page ? n - at : page);
    return s;
}

static void test_values(void **state)
{
    (void)state;
    static scene s;
    static const int lengths[] = {64, 3, 129, 17, 1};
    fill_inputs();
    check_values((s = one_run(150, 4, 2, 24, 1, 0), &s));
    check_values((s = one_run(270, 3, 3, 16, 0, 0), &s));
    check_values((s = one_run(290, 6, 1, 16, 1, 37), &s));
    check_values((s = one_run(200, 2, 2, 5, 1, 3), &s));
    check_values((s = one_run(3, 200, 1, 8, 1, 0), &s));
    check_values((s = one_run(1, 2, 1, 1, 1, 0), &s));
    check_values((s = several_runs(lengths, 5, (scene){.h = 3, .k = 3, .d = 80}), &s));
    check_values((s = tree(4, 2, 128), &s));
    check_values((s = paged(260, 16, (scene){.h = 4, .k = 2, .d = 40, .causal = 1}), &s));
}

/* The slope of sum(dout out) along a direction, by differences of the reference. */
static void test_slope(void **state)
{
    (void)state;
    static scene s;
    static float *const inputs[] = {q, k, v};
    static float *const gradients[] = {dq, dk, dv};
    fv_backend *backend = best();
    fill_inputs();
    s = tree(4, 2, 24);
    memset(dk, 0, sizeof dk);
    memset(dv, 0, sizeof dv);
    forward(backend, &s);
    backward(backend, &s);
    for (int x = 0; x < 3; x++) {
        int n = x ? s.r * s.k * s.d : s.t * s.h * s.d;
        double loss[2] = {0.0, 0.0}, along = 0.0;
        for (int side = 0; side < 2; side++) {
            for (int i = 0; i < n; i++)
                inputs[x][i] += (side ? -2.0f : 1.0f) * 0x1p-10f * (i % 3 == 0 ? 1.0f : -0.5f);
            reference(&s);
            for (int i = 0; i < s.t * s.h * s.d; i++)
                loss[side] += dout[i] * want_out[i];
        }
        for (int i = 0; i < n; i++)
            along += gradients[x][i] * (i % 3 == 0 ? 1.0 : -0.5);
        assert_near((loss[0] - loss[1]) * 0x1p9, along, 2e-3 * (1.0 + fabs(along)), "slope");
        fill_inputs();
    }
    fv_backend_destroy(backend);
}

/* ---- the same bits ---- */

static scene everywhere;

static void case_everywhere(fv_backend *backend, float *to)
{
    size_t n_q = (size_t)(everywhere.t * everywhere.h * everywhere.d);
    size_t n_k = (size_t)(everywhere.r * everywhere.k * everywhere.d);
    memset(dk, 0, sizeof dk);
    memset(dv, 0, sizeof dv);
    forward(backend, &everywhere);
    backward(backend, &everywhere);
    memcpy(to, out, n_q * sizeof *to);
    memcpy(to + n_q, dq, n_q * sizeof *to);
    memcpy(to + 2 * n_q, dk, n_k * sizeof *to);
    memcpy(to + 2 * n_q + n_k, dv, n_k * sizeof *to);
    memcpy(to + 2 * (n_q + n_k), lse, n_q / (size_t)everywhere.d * sizeof *to);
}

static void check_everywhere(const scene *s)
{
    int64_t n_q = s->t * s->h * s->d, n_k = s->r * s->k * s->d;
    everywhere = *s;
    check_same_bits(case_everywhere, 2 * (n_q + n_k) + n_q / s->d);
}

/* Every instruction set and number of threads; more threads than key heads, and fewer. */
static void test_everywhere(void **state)
{
    (void)state;
    static scene s;
    static const int lengths[] = {64, 3, 129, 17, 1};
    fill_inputs();
    check_everywhere((s = tree(4, 2, 80), &s));
    check_everywhere((s = one_run(290, 7, 1, 19, 1, 37), &s));
    check_everywhere((s = paged(260, 16, (scene){.h = 4, .k = 1, .d = 40, .causal = 1}), &s));
    check_everywhere((s = several_runs(lengths, 5, (scene){.h = 8, .k = 8, .d = 16}), &s));
}

enum { N = 300, H = 6, K = 2, D = 40 };
static float whole_out[N * H * D], whole_lse[N * H];

static void run_whole(fv_backend *backend, int window)
{
    static scene s;
    fill_inputs();
    s = one_run(N, H, K, D, 1, window);
    forward(backend, &s);
    memcpy(whole_out, out, sizeof whole_out);
    memcpy(whole_lse, lse, sizeof whole_lse);
}

static void check_rows(int from, int n, int at, const char *what)
{
    assert_same_bits(out + at * H * D, whole_out + from * H * D, n * H * D, what);
    assert_same_bits(lse + at * H, whole_lse + from * H, n * H, what);
}

/* Queries [first, first + n) alone, their keys in pages, all other rows of memory NaN. */
static void run_part(fv_backend *backend, int first, int n, int window, int page)
{
    static scene s;
    static float held_q[MOST], held_k[MOST], held_v[MOST];
    fill_inputs();
    memcpy(held_q, q, sizeof q);
    memcpy(held_k, k, sizeof k);
    memcpy(held_v, v, sizeof v);
    memset(k, 0xff, sizeof k);
    memset(v, 0xff, sizeof v);
    s = paged(N, page, (scene){.h = H, .k = K, .d = D, .causal = 1, .window = window});
    for (int i = window && first >= window ? first - window + 1 : 0; i < first + n; i++) {
        int row = page_row(i, s.r / page, page) * K * D;
        memcpy(k + row, held_k + i * K * D, K * D * sizeof *k);
        memcpy(v + row, held_v + i * K * D, K * D * sizeof *v);
    }
    memcpy(q, held_q + first * H * D, (size_t)(n * H * D) * sizeof *q);
    s.t = s.segments[0][1] = n;
    s.segments[0][2] = first;
    forward(backend, &s);
    check_rows(first, n, 0, "a part");
}

static void test_parts(void **state)
{
    (void)state;
    static const int sizes[] = {1, 3, 17, 128, 150}, windows[] = {0, 50};
    for (int w = 0; w < 2; w++)
        for (int i = 0; i < 5; i++) {
            fv_backend *backend;
            assert_ok(fv_backend_cpu_create(NULL, 1 + i % 3, &backend));
            run_whole(backend, windows[w]);
            for (int at = 0; at < N; at += sizes[i])
                if (sizes[i] > 1 || at % 13 == 0 || at % 128 < 2)
                    run_part(backend, at, N - at < sizes[i] ? N - at : sizes[i], windows[w], i % 2 ? 16 : 37);
            fv_backend_destroy(backend);
        }
}

/* Two answers to a shared prompt, each the same as the whole run, in one call with a stranger. */
static void test_shared(void **state)
{
    (void)state;
    static scene s;
    fv_backend *backend = best();
    run_whole(backend, 0);
    s = (scene){.t = N + N - PREFIX + 20, .r = 3 * N, .h = H, .k = K, .d = D, .causal = 1};
    memcpy(q + (N + 20) * H * D, q + PREFIX * H * D, (N - PREFIX) * H * D * sizeof *q);
    memcpy(k + 2 * N * K * D, k + PREFIX * K * D, (N - PREFIX) * K * D * sizeof *k);
    memcpy(v + 2 * N * K * D, v + PREFIX * K * D, (N - PREFIX) * K * D * sizeof *v);
    add_segment(&s, N + 20, N - PREFIX, PREFIX);
    add_span(&s, 0, PREFIX);
    add_span(&s, 2 * N, N - PREFIX);
    add_segment(&s, N, 20, 0);
    add_span(&s, N, 20);
    add_segment(&s, 0, PREFIX, 0);
    add_span(&s, 0, PREFIX);
    add_segment(&s, PREFIX, N - PREFIX, PREFIX);
    add_span(&s, 0, PREFIX);
    add_span(&s, PREFIX, N - PREFIX);
    forward(backend, &s);
    check_rows(0, N, 0, "prompt and first answer");
    check_rows(PREFIX, N - PREFIX, N + 20, "second answer");
    fv_backend_destroy(backend);
}

/* NaN in rows of k and v that nobody sees, within chunks that are seen, changes no gradient. */
static void test_unseen(void **state)
{
    (void)state;
    static scene s;
    fv_backend *backend = best();
    fill_inputs();
    s = one_run(140, 4, 2, 24, 1, 60);
    s.segments[0][1] = s.t = 20;
    s.segments[0][2] = 100;
    forward(backend, &s);
    memset(dk, 0, sizeof dk);
    memset(dv, 0, sizeof dv);
    backward(backend, &s);
    static float first[3][MOST];
    memcpy(first[0], dq, sizeof dq);
    memcpy(first[1], dk, sizeof dk);
    memcpy(first[2], dv, sizeof dv);
    memset(k, 0xff, 41 * 2 * 24 * sizeof *k);
    memset(v, 0xff, 41 * 2 * 24 * sizeof *v);
    memset(k + 120 * 2 * 24, 0xff, 20 * 2 * 24 * sizeof *k);
    memset(v + 120 * 2 * 24, 0xff, 20 * 2 * 24 * sizeof *v);
    memset(dk, 0, sizeof dk);
    memset(dv, 0, sizeof dv);
    forward(backend, &s);
    backward(backend, &s);
    assert_same_bits(dq, first[0], 20 * 4 * 24, "dq");
    assert_same_bits(dk, first[1], 140 * 2 * 24, "dk");
    assert_same_bits(dv, first[2], 140 * 2 * 24, "dv");
    fv_backend_destroy(backend);
}

static void test_too_wide(void **state)
{
    (void)state;
    fv_backend *backend = best();
    fv_attention_args args = {.q = heads(q, 1, 1, 513), .k = heads(k, 1, 1, 513), .v = heads(v, 1, 1, 513)};
    assert_fails(backend->table->attention(backend, &args), FV_ERR_UNSUPPORTED, "513 channels");
    fv_backend_destroy(backend);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),   cmocka_unit_test(test_slope),  cmocka_unit_test(test_everywhere),
        cmocka_unit_test(test_parts),    cmocka_unit_test(test_shared), cmocka_unit_test(test_unseen),
        cmocka_unit_test(test_too_wide),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
