/* Cases of attention: how segments may cut a sequence, share keys and find them in memory. */
#include "suite.h"

#include <math.h>

enum { MAX_SEGMENTS = 400, MAX_SPANS = 400, MAX_ROWS = 1024, NOBODY = -1 };

/* Heads and what a query sees. */
typedef struct view {
    int h, k, d, causal, window;
} view;

/* Queries and keys as rows of one sequence: row i of q is query from[i] of it, row j of k is key key[j]. */
typedef struct scene {
    int n_q, n_k, n_segments, n_spans;
    int32_t segments[MAX_SEGMENTS][FV_SEGMENT_FIELDS], spans[MAX_SPANS][FV_SPAN_FIELDS];
    int64_t from[MAX_ROWS], key[MAX_ROWS];
} scene;

/* Queries [first, first + n) of the sequence; spans follow. */
static void add_segment(scene *s, int first, int n)
{
    int32_t segment[FV_SEGMENT_FIELDS] = {s->n_q, n, first, s->n_spans, 0, 0};
    memcpy(s->segments[s->n_segments++], segment, sizeof segment);
    for (int i = 0; i < n; i++)
        s->from[s->n_q++] = first + i;
}

static void add_span(scene *s, int row, int length)
{
    s->spans[s->n_spans][0] = row;
    s->spans[s->n_spans++][1] = length;
    s->segments[s->n_segments - 1][4]++;
    s->segments[s->n_segments - 1][5] += length;
}

/* Rows that hold keys [first, first + n); returns the first row. */
static int add_keys(scene *s, int first, int n)
{
    int row = s->n_k;
    for (int i = 0; i < n; i++)
        s->key[s->n_k++] = first == NOBODY ? NOBODY : first + i;
    return row;
}

/* Keys [first, end) of a segment in pages in disorder; keys before first are in their pages, but unseen. */
static void add_pages(scene *s, int first, int end, int page)
{
    int n_pages = (end + page - 1) / page, base = add_keys(s, NOBODY, n_pages * page);
    int step = n_pages % 7 ? 7 : 5;
    for (int p = 0; p < n_pages; p++) {
        int row = base + (p * step + 3) % n_pages * page, n = end - p * page < page ? end - p * page : page;
        add_span(s, row, n);
        for (int i = 0; i < n; i++)
            s->key[row + i] = p * page + i < first ? NOBODY : p * page + i;
    }
}

static void add_run(scene *s, int first, int n)
{
    add_segment(s, first, n);
    add_span(s, add_keys(s, 0, first + n), first + n);
}

enum { PROMPT = 141 };

/* An answer to keys [0, PROMPT) at row 0, with keys of its own. */
static void add_answer(scene *s, int n)
{
    add_segment(s, PROMPT, n);
    add_span(s, 0, PROMPT);
    add_span(s, add_keys(s, PROMPT, n), n);
}

/* n samples of a prompt whose keys are in shared pages; sample i has i keys of its own before its query. */
static void add_samples(scene *s, int shared, int page, int n)
{
    int base = add_keys(s, 0, shared);
    for (int i = 0; i < n; i++) {
        add_segment(s, shared + i, 1);
        for (int at = 0; at < shared; at += page)
            add_span(s, base + at, shared - at < page ? shared - at : page);
        add_span(s, add_keys(s, shared, i + 1), i + 1);
    }
}

/* ---- arguments ---- */

static fv_tensor take_rows(fv_tensor whole, const int64_t *from, int n)
{
    fv_tensor rows = zeros_3d(FV_F32, n, whole.dim[1], whole.dim[2]);
    size_t bytes = (size_t)fv_tensor_row_count(whole) * sizeof(float);
    for (int i = 0; i < n; i++) {
        if (from[i] == NOBODY)
            memset(f32_at(rows, i, 0), 0xff, bytes);
        else
            memcpy(f32_at(rows, i, 0), f32_at(whole, from[i], 0), bytes);
    }
    return rows;
}

/* The sequence as one run: n queries that see n keys. */
static fv_attention_args draw_whole(int n, view w)
{
    scene *s = host_take(sizeof *s);
    add_run(s, 0, n);
    fv_attention_args args = {
        .q = draw_3d(n, w.h, w.d), .k = draw_3d(n, w.k, w.d), .v = draw_3d(n, w.k, w.d)};
    args.segments = zeros_2d(FV_I32, 1, FV_SEGMENT_FIELDS);
    args.spans = zeros_2d(FV_I32, 1, FV_SPAN_FIELDS);
    memcpy(args.segments.data, s->segments, sizeof s->segments[0]);
    memcpy(args.spans.data, s->spans, sizeof s->spans[0]);
    args.out = zeros_like(args.q);
    args.lse = zeros_2d(FV_F32, n, w.h);
    args.scale = 1.0f / sqrtf((float)w.d);
    args.causal = w.causal;
    args.window = w.window;
    return args;
}

/* The whole as the scene lays it out. */
static fv_attention_args lay_out(const fv_attention_args *whole, const scene *s)
{
    fv_attention_args args = *whole;
    args.q = take_rows(whole->q, s->from, s->n_q);
    args.k = take_rows(whole->k, s->key, s->n_k);
    args.v = take_rows(whole->v, s->key, s->n_k);
    args.segments = zeros_2d(FV_I32, s->n_segments, FV_SEGMENT_FIELDS);
    args.spans = zeros_2d(FV_I32, s->n_spans, FV_SPAN_FIELDS);
    memcpy(args.segments.data, s->segments, (size_t)s->n_segments * sizeof s->segments[0]);
    memcpy(args.spans.data, s->spans, (size_t)s->n_spans * sizeof s->spans[0]);
    args.out = zeros_like(args.q);
    args.lse = zeros_2d(FV_F32, s->n_q, args.q.dim[1]);
    return args;
}

/* The call says how long its segments are at most. */
static void tell_most(fv_attention_args *args)
{
    args->most_queries = args->most_keys = 0;
    for (int64_t i = 0; i < args->segments.dim[0]; i++) {
        const int32_t *segment = i32_at(args->segments, i, 0);
        args->most_queries = segment[1] > args->most_queries ? segment[1] : args->most_queries;
        args->most_keys = segment[5] > args->most_keys ? segment[5] : args->most_keys;
    }
}

static conform_part part_of(const fv_attention_args *whole, const scene *s)
{
    fv_attention_args *args = host_take(sizeof *args);
    int64_t *from = host_take((size_t)s->n_q * sizeof *from);
    *args = lay_out(whole, s);
    memcpy(from, s->from, (size_t)s->n_q * sizeof *from);
    return (conform_part){args, from, s->n_q};
}

/* ---- row invariance ---- */

enum { N = 270, MAX_PARTS = 64 };

static int first_seen(int query, int window)
{
    return window && query >= window ? query - window + 1 : 0;
}

/* Decode and prefill in pieces of n, keys in pages and next to each other; all else in memory NaN. */
static int add_pieces(const fv_attention_args *whole, int n, conform_part *parts)
{
    int n_parts = 0, stride = n == 1 ? 43 : n;
    for (int at = 0; at < N; at += stride) {
        scene *s = host_take(sizeof *s);
        int count = N - at < n ? N - at : n;
        add_segment(s, at, count);
        if (n_parts % 2)
            add_span(s, add_keys(s, 0, at + count), at + count);
        else
            add_pages(s, first_seen(at, whole->window), N, n % 2 ? 37 : 16);
        parts[n_parts] = part_of(whole, s);
        if (n_parts % 3 == 0)
            tell_most((fv_attention_args *)(uintptr_t)parts[n_parts].args);
        n_parts++;
    }
    return n_parts;
}

/* A prompt, two answers to it and a stranger, packed out of order. */
static conform_part tree(const fv_attention_args *whole)
{
    scene *s = host_take(sizeof *s);
    add_keys(s, 0, PROMPT);
    add_answer(s, N - PROMPT);
    add_run(s, 0, 20);
    add_segment(s, 0, PROMPT);
    add_span(s, 0, PROMPT);
    add_answer(s, 40);
    return part_of(whole, s);
}

/* All pieces of 37 in one call. */
static conform_part packed(const fv_attention_args *whole)
{
    scene *s = host_take(sizeof *s);
    int base = add_keys(s, 0, N);
    for (int at = N / 37 * 37; at >= 0; at -= 37) {
        add_segment(s, at, N - at < 37 ? N - at : 37);
        add_span(s, base, s->segments[s->n_segments - 1][2] + s->segments[s->n_segments - 1][1]);
    }
    return part_of(whole, s);
}

/* Two prompts with samples, one of them alone in the middle. */
static conform_part samples(const fv_attention_args *whole, int page)
{
    scene *s = host_take(sizeof *s);
    add_samples(s, 256, page, 11);
    add_run(s, 0, 1);
    add_samples(s, 141, page, 9);
    return part_of(whole, s);
}

static void case_parts(view w)
{
    static const int sizes[] = {1, 49, 128};
    conform_part *parts = host_take(MAX_PARTS * sizeof *parts);
    fv_attention_args whole = draw_whole(N, w);
    int n_parts = 0;
    for (int i = 0; i < 3; i++)
        n_parts += add_pieces(&whole, sizes[i], parts + n_parts);
    parts[n_parts++] = tree(&whole);
    parts[n_parts++] = packed(&whole);
    for (int i = 0; i < 3 && !w.window; i++)
        parts[n_parts++] = samples(&whole, 16 << i);
    CONFORM(attention, whole, .near = 3e-6, .note = "and parts of it", .n_rows = N, .rows = "out lse",
            .parts = parts, .n_parts = n_parts);
}

/* ---- values ---- */

static void build_run(scene *s, const view *w, int n)
{
    (void)w;
    add_run(s, 0, n);
}

/* Runs that do not see each other, the last of n. */
static void build_runs(scene *s, const view *w, int n)
{
    const int lengths[] = {33, 3, 129, 17, n};
    (void)w;
    for (int i = 0; i < 5; i++)
        add_run(s, 0, lengths[i]);
}

/* A prompt and three answers, the last of n. */
static void build_tree(scene *s, const view *w, int n)
{
    (void)w;
    add_run(s, 0, PROMPT);
    add_answer(s, 20);
    add_answer(s, 1);
    add_answer(s, n);
}

/* n queries, a segment without any, and keys in spans of which some are empty. */
static void build_holes(scene *s, const view *w, int n)
{
    (void)w;
    add_segment(s, 0, n);
    for (int at = 0; at < n; at += 5) {
        add_span(s, add_keys(s, at, 5), 5);
        add_span(s, 0, 0);
    }
    add_segment(s, 7, 0);
    add_span(s, 0, 9);
    add_run(s, 0, n);
}

/* Windows of at most 64 rows. */
static void build_windows(scene *s, const view *w, int n)
{
    (void)w;
    for (int i = 0; i < 5; i++)
        add_run(s, 0, i < 4 ? 64 - 17 * i : n);
}

/* n queries after 100, keys that they do not see NaN. */
static void build_pages(scene *s, const view *w, int n)
{
    add_segment(s, 100, n);
    add_pages(s, first_seen(100, w->window), 100 + n, 16);
}

static const struct {
    view view;
    void (*build)(scene *s, const view *w, int n);
    int n;
} scenes[] = {
    {{2, 2, 8, 1, 0}, build_run, 0},       {{2, 1, 1, 1, 0}, build_run, 1},
    {{200, 1, 8, 1, 0}, build_run, 3},     {{2, 2, 5, 1, 3}, build_run, 40},
    {{4, 2, 24, 1, 0}, build_run, 130},    {{1, 1, 16, 0, 0}, build_run, 260},
    {{3, 1, 8, 1, 37}, build_run, 290},    {{3, 3, 24, 0, 0}, build_runs, 1},
    {{2, 1, 24, 1, 0}, build_tree, 33},    {{2, 1, 20, 1, 0}, build_pages, 60},
    {{2, 1, 128, 0, 9}, build_pages, 23},  {{1, 1, 512, 1, 0}, build_holes, 10},
    {{2, 2, 80, 0, 0}, build_windows, 64}, {{3, 1, 136, 1, 0}, build_run, 150},
    {{2, 1, 256, 1, 0}, build_tree, 70},
};
enum { N_SCENES = sizeof scenes / sizeof *scenes, LONGEST = 290 };

static fv_attention_args draw_scene(int i)
{
    scene *s = host_take(sizeof *s);
    fv_attention_args whole = draw_whole(LONGEST, scenes[i].view);
    scenes[i].build(s, &scenes[i].view, scenes[i].n);
    return lay_out(&whole, s);
}

void cases_attention(void)
{
    for (int i = 0; i < N_SCENES; i++) {
        size_t mark = host_mark();
        fv_attention_args args = draw_scene(i);
        if (i % 3 == 0)
            args.lse = (fv_tensor){.data = NULL};
        CONFORM(attention, args, .near = 3e-6);
        CONFORM(attention, args, .near = 3e-6, .note = "heads", .n_rows = args.k.dim[1],
                .columns = "q k v out lse");
        tell_most(&args);
        CONFORM(attention, args, .near = 3e-6, .note = "with the longest");
        host_release(mark);
    }
    fv_attention_args steep = draw_whole(LONGEST, (view){1, 1, 16, 1, 0});
    steep.scale = 20.0f; /* sums of chunks may differ by any factor */
    CONFORM(attention, steep, .near = 1e-4, .note = "steep");
    case_parts((view){2, 1, 20, 1, 0});
    case_parts((view){16, 2, 64, 1, 0});
    case_parts((view){2, 2, 9, 1, 50});
}

static double loss_of_attention(const void *grad_args)
{
    const fv_attention_grad_args *args = grad_args;
    fv_tensor out = zeros_like(args->q);
    reference_attention(&(fv_attention_args){.q = args->q,
                                             .k = args->k,
                                             .v = args->v,
                                             .segments = args->segments,
                                             .spans = args->spans,
                                             .out = out,
                                             .scale = args->scale,
                                             .causal = args->causal,
                                             .window = args->window});
    return dot(args->dout, out);
}

void cases_attention_grad(void)
{
    for (int i = 0; i < N_SCENES; i++) {
        size_t mark = host_mark();
        fv_attention_args forward = draw_scene(i);
        args_refer(FV_OP_attention, &forward);
        fv_tensor q = forward.q, k = forward.k;
        fv_attention_grad_args args = {.dout = draw_3d(q.dim[0], q.dim[1], q.dim[2]),
                                       .out = forward.out,
                                       .lse = forward.lse,
                                       .q = q,
                                       .k = k,
                                       .v = forward.v,
                                       .segments = forward.segments,
                                       .spans = forward.spans,
                                       .dq = zeros_like(q),
                                       .dk = draw_3d(k.dim[0], k.dim[1], k.dim[2]),
                                       .dv = draw_3d(k.dim[0], k.dim[1], k.dim[2]),
                                       .scale = forward.scale,
                                       .causal = forward.causal,
                                       .window = forward.window,
                                       .most_queries = forward.most_queries,
                                       .most_keys = forward.most_keys};
        CONFORM(attention_grad, args, .near = 2e-5, .loss = loss_of_attention,
                .slopes = {{"q", "dq", 0}, {"k", "dk", 1}, {"v", "dv", 1}});
        host_release(mark);
    }
}

/* What plans hold is the back end's own: attention and its gradient are run with and without (suite.c). */
void reference_attention_plan(const fv_attention_plan_args *args)
{
    (void)args;
}

/* A back end that wants none. */
void cases_attention_plan(void)
{
    fv_attention_args some = draw_scene(0);
    fv_attention_plan_args args = {.segments = some.segments,
                                   .spans = some.spans,
                                   .plan = zeros_1d(FV_U8, 0),
                                   .n_queries = some.q.dim[0],
                                   .n_heads = 2,
                                   .n_kv_heads = 2};
    CONFORM(attention_plan, args, .near = 0.0);
}
