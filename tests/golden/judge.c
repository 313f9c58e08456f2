/* The log-probs by which a local judge decides, against the reference implementation's logits: Qwen3 and
 * Qwen2, every row of them, each as a question of its own after the same beginning. */
#include "temp_folder.h"

#include "fovea/engine/engine.h"
#include "fovea/io/hdf5/hdf5.h"

#include <math.h>

enum { N_BEGINNING = 5, N_PAIRS = 3, N_CHOICES = 2 };

static const int32_t pairs[N_PAIRS][N_CHOICES] = {{0, 1}, {16, 15}, {511, 300}};

typedef struct reference {
    int32_t *ids;   /* (n) */
    double *logits; /* (n, vocab) */
    size_t n, vocab;
} reference;

static void read_reference(const char *name, reference *out)
{
    char path[64];
    fv_hdf5 *file;
    void *ids, *logits;
    size_t n_logits;
    snprintf(path, sizeof path, "golden/%s/case0.h5", name);
    assert_ok(fv_hdf5_open(test_data(path), &file));
    assert_ok(fv_hdf5_read(file, "input_ids", FV_I32, &ids, &out->n));
    assert_ok(fv_hdf5_read(file, "logits", FV_F64, &logits, &n_logits));
    assert_ok(fv_hdf5_close(file));
    out->ids = ids;
    out->logits = logits;
    out->vocab = n_logits / out->n;
}

static double reference_logprob(const reference *r, size_t row, int32_t id)
{
    const double *logits = r->logits + row * r->vocab;
    double most = -INFINITY, sum = 0;
    for (size_t i = 0; i < r->vocab; i++)
        most = fmax(most, logits[i]);
    for (size_t i = 0; i < r->vocab; i++)
        sum += exp(logits[i] - most);
    return logits[id] - most - log(sum);
}

typedef struct found {
    float logprobs[N_CHOICES];
} found;

static fv_err keep(void *context, fv_sequence *sequence, const float *logprobs)
{
    found *f = context;
    memcpy(f->logprobs, logprobs, sizeof f->logprobs);
    fv_sequence_close(sequence);
    return FV_OK;
}

static void ask_all(fv_model *model, const reference *r, const int32_t *pair, found *all)
{
    const fv_engine_settings settings = {.name = "judge",
                                         .max_running = 8,
                                         .max_tokens = (int64_t)r->n,
                                         .pass_tokens = 64,
                                         .cache_pages = 16,
                                         .is_choosing = 1};
    fv_engine *engine;
    fv_sequence *beginning, *question;
    int is_idle = 0;
    assert_ok(fv_engine_create(model, &settings, &engine));
    assert_ok(fv_sequence_open(engine, &(fv_sequence_args){0}, &beginning));
    assert_ok(fv_sequence_append(beginning, r->ids, N_BEGINNING, NULL, 0));
    for (size_t row = N_BEGINNING; row < r->n; row++) {
        const fv_sequence_args args = {.parent = beginning,
                                       .owner = {.context = &all[row], .chosen = keep},
                                       .choices = {pair[0], pair[1]},
                                       .n_choices = N_CHOICES};
        while (fv_sequence_open(engine, &args, &question) == FV_BUSY)
            assert_ok(fv_engine_pass(engine, &is_idle));
        assert_ok(
            fv_sequence_append(question, r->ids + N_BEGINNING, (int64_t)(row - N_BEGINNING + 1), NULL, 0));
    }
    while (!is_idle)
        assert_ok(fv_engine_pass(engine, &is_idle));
    fv_engine_destroy(engine);
}

static void check_model(const char *name)
{
    char path[64];
    reference r;
    fv_backend *backend;
    fv_comm *self;
    fv_model *model;
    snprintf(path, sizeof path, "golden/%s", name);
    read_reference(name, &r);
    found *all = calloc(r.n, sizeof *all);
    assert_non_null(all);
    assert_ok(fv_backend_cpu_create(NULL, 1, &backend));
    assert_ok(fv_comm_self(&self));
    assert_ok(fv_model_open(&(fv_model_args){backend, self, test_data(path)}, &model));
    for (int p = 0; p < N_PAIRS; p++) {
        ask_all(model, &r, pairs[p], all);
        for (size_t row = N_BEGINNING; row < r.n; row++)
            for (int k = 0; k < N_CHOICES; k++) {
                double expected = reference_logprob(&r, row, pairs[p][k]), ours = all[row].logprobs[k];
                if (!(fabs(ours - expected) <= 1e-5))
                    fail_msg("%s, row %zu, token %d: %.9g, expected %.9g", name, row, pairs[p][k], ours,
                             expected);
            }
    }
    fv_model_destroy(model);
    fv_comm_destroy(self);
    fv_backend_destroy(backend);
    free(all);
    free(r.ids);
    free(r.logits);
}

static void test_logprobs(void **state)
{
    (void)state;
    check_model("qwen3");
    check_model("qwen2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_logprobs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
