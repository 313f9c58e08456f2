/* Statistics of logits, their merge and their gradient. */
#include "suite.h"

#include <math.h>

/* For each column of ids [first, first + n): whether it is excluded. */
static char *marks_of(fv_tensor excluded, int32_t first, int64_t n)
{
    char *marks = host_take((size_t)n + 1);
    for (int64_t i = 0; excluded.data && i < excluded.dim[0]; i++) {
        int64_t j = (int64_t)*i32_at(excluded, i, 0) - first;
        if (j >= 0 && j < n)
            marks[j] = 1;
    }
    return marks;
}

/* Part {max, sum, weighted sum, target} of columns [from, to). */
static void part_of(const fv_vocab_stats_args *args, const char *marks, int64_t t, int64_t from, double *part)
{
    int64_t to = from + FV_VOCAB_CHUNK < args->logits.dim[1] ? from + FV_VOCAB_CHUNK : args->logits.dim[1];
    const double *logits = f64_at(args->logits, t, 0);
    double max = -INFINITY, sum = 0.0, weighted = 0.0, scale = *f64_at(args->inv_temperature, t, 0);
    for (int64_t j = from; j < to; j++)
        max = marks[j] ? max : fmax(max, logits[j] * scale);
    for (int64_t j = from; j < to; j++)
        if (!marks[j] && logits[j] > -INFINITY) {
            sum += exp(logits[j] * scale - max);
            weighted += exp(logits[j] * scale - max) * logits[j] * scale;
        }
    int64_t target = args->targets.data ? (int64_t)*i32_at(args->targets, t, 0) - args->first : -1;
    int here = target >= from && target < to && !marks[target];
    memcpy(part, (double[]){max, sum, weighted, here ? logits[target] * scale : -INFINITY},
           FV_VOCAB_FIELDS * sizeof *part);
}

void reference_vocab_stats(const fv_vocab_stats_args *args)
{
    const char *marks = marks_of(args->excluded, args->first, args->logits.dim[1]);
    for (int64_t p = 0; p < args->parts.dim[0]; p++)
        for (int64_t t = 0; t < args->logits.dim[0]; t++)
            part_of(args, marks, t, p * FV_VOCAB_CHUNK, f64_at(args->parts, p, t * FV_VOCAB_FIELDS));
}

void reference_vocab_merge(const fv_vocab_merge_args *args)
{
    for (int64_t t = 0; t < args->parts.dim[1]; t++) {
        double max = -INFINITY, sum = 0.0, weighted = 0.0;
        double target = args->target.data ? *f64_at(args->target, t, 0) : -INFINITY;
        for (int64_t p = 0; p < args->parts.dim[0]; p++)
            max = fmax(max, *f64_at(args->parts, p, t * FV_VOCAB_FIELDS));
        for (int64_t p = 0; p < args->parts.dim[0]; p++) {
            const double *part = f64_at(args->parts, p, t * FV_VOCAB_FIELDS);
            double factor = part[0] > -INFINITY ? exp(part[0] - max) : 0.0;
            sum += factor * part[1];
            weighted += factor * part[2];
            target = fmax(target, part[3]);
        }
        double lse = max + (sum > 0.0 ? log(sum) : 0.0);
        if (args->lse.data)
            *f64_at(args->lse, t, 0) = lse;
        if (args->logprob.data)
            *f64_at(args->logprob, t, 0) = target > -INFINITY ? target - lse : -INFINITY;
        if (args->entropy.data) /* of nothing: 0 */
            *f64_at(args->entropy, t, 0) = sum > 0.0 ? lse - weighted / sum : 0.0;
    }
}

void reference_vocab_grad(const fv_vocab_grad_args *args)
{
    int64_t n = args->logits.dim[1];
    const char *marks = marks_of(args->excluded, args->first, n);
    for (int64_t t = 0; t < args->logits.dim[0]; t++) {
        double scale = *f64_at(args->inv_temperature, t, 0), lse = *f64_at(args->lse, t, 0),
               dlogprob = *f64_at(args->dlogprob, t, 0);
        double entropy = args->entropy.data ? *f64_at(args->entropy, t, 0) : 0.0;
        double dentropy = args->entropy.data ? *f64_at(args->dentropy, t, 0) : 0.0;
        for (int64_t j = 0; j < n; j++) {
            double logit = *f64_at(args->logits, t, j), log_p = logit * scale - lse;
            double p = marks[j] || logit == -INFINITY ? 0.0 : exp(log_p);
            int hit = *i32_at(args->targets, t, 0) == args->first + j;
            double slope = dlogprob * (hit - p) - (p > 0.0 ? dentropy * p * (log_p + entropy) : 0.0);
            *f64_at(args->dlogits, t, j) = marks[j] ? 0.0 : scale * slope;
        }
    }
}

/* ---- cases ---- */

/* Rows, columns, how many ids are excluded (-1: the tensor is absent), first id in chunks, parts of no
 * columns. */
typedef struct shape {
    int rows, n, n_excluded, first_chunk, more_parts;
} shape;

static const shape shapes[] = {{0, 7, -1, 0},    {1, 1, -1, 0},   {3, 5, 0, 0},    {2, 5, 5, 0},
                               {5, 257, 30, 2},  {4, 4095, 9, 0}, {2, 4096, 0, 1}, {2, 4097, 1, 0},
                               {3, 8192, 40, 0}, {9, 70, 7, 4},   {3, 0, 2, 1, 1}, {5, 4100, 4, 0, 2},
                               {4, 9195, 600, 4}};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

/* Excluded ids are in no order, some twice, some not here; those of five are all. */
static fv_tensor draw_excluded(shape s)
{
    fv_tensor excluded = {.data = NULL};
    if (s.n_excluded < 0)
        return excluded;
    excluded = zeros_1d(FV_I32, s.n_excluded);
    for (int i = 0; i < s.n_excluded; i++)
        *i32_at(excluded, i, 0) =
            s.first_chunk * FV_VOCAB_CHUNK + (s.n == 5 ? (i * 3) % 5 : i * 7919 % (s.n + 9) - 1);
    if (s.n_excluded > 10)
        *i32_at(excluded, 1, 0) = *i32_at(excluded, 0, 0);
    return excluded;
}

/* Targets within, without, excluded; logits of -inf among them, and NaN where the id is excluded. */
static fv_vocab_stats_args draw_stats(shape s)
{
    fv_vocab_stats_args args = {.logits = draw_2d(s.rows, s.n),
                                .targets = zeros_1d(FV_I32, s.rows),
                                .excluded = draw_excluded(s),
                                .first = s.first_chunk * FV_VOCAB_CHUNK,
                                .inv_temperature = zeros_1d(FV_F32, s.rows)};
    int n_parts = (s.n + FV_VOCAB_CHUNK - 1) / FV_VOCAB_CHUNK + s.more_parts;
    args.parts = zeros_3d(FV_F32, n_parts, s.rows, FV_VOCAB_FIELDS);
    for (int t = 0; t < s.rows; t++) {
        *f32_at(args.inv_temperature, t, 0) = 1.0f + 0.25f * (float)((s.n + t) % 3);
        *i32_at(args.targets, t, 0) = args.first + (t * 977 + 3) % (s.n + 2) - 1;
        for (int j = 0; j < s.n; j++)
            *f32_at(args.logits, t, j) *= 3.0f;
        if (s.n > 60)
            *f32_at(args.logits, t, 40 + t) = -INFINITY;
    }
    for (int i = 0; i < s.n_excluded && i < 20; i++) {
        int32_t column = *i32_at(args.excluded, i, 0) - args.first;
        for (int t = 0; t < s.rows && column >= 0 && column < s.n; t++)
            *f32_at(args.logits, t, column) = NAN;
    }
    if (s.rows > 1 && s.n_excluded > 0)
        *i32_at(args.targets, 1, 0) = *i32_at(args.excluded, 0, 0);
    return args;
}

/* Columns of whole chunks from `from` on, as a rank that holds only these sees them. */
static conform_part shard(const fv_vocab_stats_args *whole, int from, int n_chunks, const int64_t *chunks)
{
    fv_vocab_stats_args *args = host_take(sizeof *args);
    int64_t rows = whole->logits.dim[0], at = from * FV_VOCAB_CHUNK, n = n_chunks * FV_VOCAB_CHUNK;
    n = n < whole->logits.dim[1] - at ? n : whole->logits.dim[1] - at;
    *args = *whole;
    args->first += (int32_t)at;
    args->parts = zeros_3d(FV_F32, n_chunks, rows, FV_VOCAB_FIELDS);
    args->logits = zeros_2d(FV_F32, rows, n);
    for (int64_t t = 0; t < rows; t++)
        memcpy(f32_at(args->logits, t, 0), f32_at(whole->logits, t, at), (size_t)n * sizeof(float));
    return (conform_part){args, chunks + from, n_chunks};
}

void cases_vocab_stats(void)
{
    static const int64_t chunks[] = {0, 1, 2};
    for (int i = 0; i < 2 * N_SHAPES; i++) {
        fv_vocab_stats_args args = draw_stats(shapes[i / 2]);
        if (i % 2)
            args.targets = (fv_tensor){.data = NULL};
        CONFORM(vocab_stats, args, .near = 3e-6, .n_rows = args.logits.dim[0],
                .rows = "logits inv_temperature targets", .columns = "parts");
    }
    fv_vocab_stats_args whole = draw_stats(shapes[N_SHAPES - 1]);
    conform_part shards[] = {shard(&whole, 0, 1, chunks), shard(&whole, 1, 1, chunks),
                             shard(&whole, 2, 1, chunks), shard(&whole, 1, 2, chunks)};
    CONFORM(vocab_stats, whole, .near = 3e-6, .note = "in shards", .n_rows = 3, .rows = "parts",
            .parts = shards, .n_parts = 4);
}

void cases_vocab_merge(void)
{
    enum { MANY = 6001 };
    fv_vocab_merge_args many = {.parts = draw_3d(3, MANY, FV_VOCAB_FIELDS),
                                .target = draw_1d(MANY),
                                .logprob = draw_1d(MANY),
                                .lse = draw_1d(MANY),
                                .entropy = draw_1d(MANY)};
    for (int64_t i = 0; i < 3 * MANY; i++) /* sums are positive */
        f32_at(many.parts, 0, i * FV_VOCAB_FIELDS)[1] =
            1.0f + expf(f32_at(many.parts, 0, i * FV_VOCAB_FIELDS)[1]);
    CONFORM(vocab_merge, many, .near = 2e-6, .n_rows = MANY, .rows = "target lse logprob entropy",
            .columns = "parts");
    for (int i = 0; i < 4 * N_SHAPES; i++) {
        fv_vocab_stats_args stats = draw_stats(shapes[i / 4]);
        int64_t rows = stats.logits.dim[0];
        args_refer(FV_OP_vocab_stats, &stats);
        fv_vocab_merge_args args = {.parts = stats.parts};
        if (i % 4 != 1)
            args.lse = zeros_1d(FV_F32, rows);
        if (i % 4 != 2)
            args.logprob = zeros_1d(FV_F32, rows);
        if (i % 4 != 3)
            args.entropy = zeros_1d(FV_F32, rows);
        CONFORM(vocab_merge, args, .near = 2e-6, .n_rows = rows, .rows = "lse logprob entropy",
                .columns = "parts");
    }
}

/* Sum of dlogprob logprob + dentropy entropy; a target that is not there has the logit 0. */
static double loss_of_vocab(const void *grad_args)
{
    const fv_vocab_grad_args *args = grad_args;
    int64_t rows = args->logits.dim[0],
            n_chunks = (args->logits.dim[1] + FV_VOCAB_CHUNK - 1) / FV_VOCAB_CHUNK;
    fv_tensor parts = zeros_3d(FV_F64, n_chunks, rows, FV_VOCAB_FIELDS);
    fv_tensor lse = zeros_1d(FV_F64, rows), logprob = zeros_1d(FV_F64, rows),
              entropy = zeros_1d(FV_F64, rows);
    reference_vocab_stats(&(fv_vocab_stats_args){.logits = args->logits,
                                                 .inv_temperature = args->inv_temperature,
                                                 .targets = args->targets,
                                                 .excluded = args->excluded,
                                                 .parts = parts,
                                                 .first = args->first});
    reference_vocab_merge(
        &(fv_vocab_merge_args){.parts = parts, .logprob = logprob, .lse = lse, .entropy = entropy});
    for (int64_t t = 0; t < rows; t++)
        if (isinf(*f64_at(logprob, t, 0)))
            *f64_at(logprob, t, 0) = isinf(*f64_at(lse, t, 0)) ? 0.0 : -*f64_at(lse, t, 0);
    return dot(args->dlogprob, logprob) + (args->entropy.data ? dot(args->dentropy, entropy) : 0.0);
}

void cases_vocab_grad(void)
{
    for (int i = 0; i < 2 * N_SHAPES; i++) {
        fv_vocab_stats_args stats = draw_stats(shapes[i / 2]);
        int64_t rows = stats.logits.dim[0];
        fv_vocab_merge_args merge = {
            .parts = stats.parts, .logprob = draw_1d(rows), .lse = draw_1d(rows), .entropy = draw_1d(rows)};
        args_refer(FV_OP_vocab_stats, &stats);
        args_refer(FV_OP_vocab_merge, &merge);
        fv_vocab_grad_args args = {.targets = stats.targets,
                                   .excluded = stats.excluded,
                                   .lse = merge.lse,
                                   .dlogprob = draw_1d(rows),
                                   .logits = stats.logits,
                                   .dlogits = zeros_like(stats.logits),
                                   .first = stats.first,
                                   .inv_temperature = stats.inv_temperature};
        if (i % 2) {
            args.entropy = merge.entropy;
            args.dentropy = draw_1d(rows);
        }
        CONFORM(vocab_grad, args, .near = 2e-6, .n_rows = rows,
                .rows = "inv_temperature targets lse dlogprob entropy dentropy logits dlogits",
                .loss = loss_of_vocab, .slopes = {{"logits", "dlogits", 0}});
    }
}
