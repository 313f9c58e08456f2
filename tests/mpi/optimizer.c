/* Ranks that share out the training state move the weights as one rank does that has all of it. */
#include "model_case.h"

#include "fovea/base/file.h"
#include "fovea/model/hf/folder.h"
#include "fovea/model/optimizer.h"

#include <math.h>

static fv_comm *world;

enum { ALL = -1 };
static const fv_optimizer_settings adamw = {0.9f, 0.999f, 1e-3f, 0.01f, 1.0f};
static const char vl[] = "tiny-vl";

/* A model whose training state the ranks of data share. */
typedef struct learner {
    model_case c;
    fv_optimizer optimizer;
} learner;

static void learner_open(learner *l, fv_comm *data, const char *model, const fv_optimizer_settings *settings)
{
    fv_backend *backend;
    assert_ok(fv_backend_cpu_create(NULL, 1, &backend));
    case_open_shared(&l->c, backend, case_self, data->size, temp_path(model));
    assert_ok(fv_optimizer_init(&l->optimizer, l->c.model, data, settings));
}

static void learner_close(learner *l)
{
    fv_optimizer_fini(&l->optimizer);
    case_close(&l->c);
}

/* The gradient of the case: of every row (ALL), or of those rows that are this rank's of n_ranks. */
static void find_gradient(learner *l, int rank, int n_ranks)
{
    float weights[CASE_ROWS], logprobs[CASE_ROWS];
    case_row_weights(weights);
    for (int i = 0; i < CASE_ROWS && rank != ALL; i++)
        weights[i] *= i % n_ranks == rank;
    assert_ok(fv_fill(l->c.backend, &(fv_fill_args){.x = l->c.grads.flat}));
    case_forward(&l->c, logprobs, NULL);
    case_backward(&l->c, weights, 0.01f / (float)n_ranks);
}

/* n elements of a tensor; to be freed. */
static void *numbers_of(const learner *l, fv_tensor t, int64_t n)
{
    void *numbers = malloc((size_t)n * fv_dtype_bytes(t.dtype));
    assert_non_null(numbers);
    assert_ok(fv_download_now(l->c.backend, fv_tensor_rows(t, 0, n), numbers));
    return numbers;
}

static float *weights_of(const learner *l)
{
    return numbers_of(l, fv_model_weights(l->c.model)->flat, fv_model_layout(l->c.model)->n_elements);
}

static double step(learner *l)
{
    double norm;
    assert_ok(fv_optimizer_step(&l->optimizer, &l->c.grads, 1e-3f, &norm));
    return norm;
}

/* Two ranks round the sum of a gradient otherwise than one. */
static void test_every_rank_has_some_rows(void **state)
{
    (void)state;
    learner one, shared;
    learner_open(&one, case_self, vl, &adamw);
    learner_open(&shared, world, vl, &adamw);
    find_gradient(&one, ALL, 1);
    find_gradient(&shared, world->rank, world->size);
    double norm = step(&one);
    assert_true(fabs(step(&shared) - norm) <= 1e-5 * norm);
    float *a = weights_of(&one), *b = weights_of(&shared);
    double difference = 0, size = 0;
    for (int64_t i = 0; i < fv_model_layout(one.c.model)->n_elements; i++) {
        difference = fmax(difference, fabs((double)a[i] - b[i]));
        size = fmax(size, fabs((double)a[i]));
    }
    assert_true(difference <= 1e-5 * size);
    free(a);
    free(b);
    learner_close(&one);
    learner_close(&shared);
}

/* one has the share of shared, and perhaps more. */
static void check_state(const learner *one, const learner *shared)
{
    const fv_optimizer *o = &shared->optimizer, *whole = &one->optimizer;
    int64_t at = o->first - whole->first;
    float *a = malloc((size_t)o->held * sizeof *a), *b = malloc((size_t)o->held * sizeof *b);
    for (fv_state_part part = FV_STATE_M; part <= FV_STATE_V; part++) {
        assert_ok(fv_optimizer_read_moment(whole, part, at, o->held, a));
        assert_ok(fv_optimizer_read_moment(o, part, 0, o->held, b));
        assert_memory_equal(a, b, (size_t)o->held * fv_dtype_bytes(fv_optimizer_dtype(o, part)));
    }
    assert_ok(fv_optimizer_read_master(whole, at, o->held, a));
    assert_ok(fv_optimizer_read_master(o, 0, o->held, b));
    assert_memory_equal(a, b, (size_t)o->held * sizeof *a);
    free(a);
    free(b);
}

static void check_weights(const learner *one, const learner *shared)
{
    fv_tensor a = fv_model_weights(one->c.model)->flat, b = fv_model_weights(shared->c.model)->flat;
    int64_t n = fv_model_layout(one->c.model)->n_elements;
    void *of_one = numbers_of(one, a, n), *of_shared = numbers_of(shared, b, n);
    assert_int_equal(a.dtype, b.dtype);
    assert_memory_equal(of_one, of_shared, (size_t)n * fv_dtype_bytes(a.dtype));
    free(of_one);
    free(of_shared);
}

/* How the state is kept. */
static const struct {
    int is_bf16; /* weights */
    fv_master_form master;
    fv_moments_form moments;
} forms[] = {{0, FV_MASTER_WHOLE, FV_MOMENTS_FP32},
             {0, FV_MASTER_WHOLE, FV_MOMENTS_BF16},
             {1, FV_MASTER_WHOLE, FV_MOMENTS_FP32},
             {1, FV_MASTER_SPLIT, FV_MOMENTS_BF16}};
enum { N_FORMS = sizeof forms / sizeof *forms };

static fv_optimizer_settings settings_of(int form)
{
    fv_optimizer_settings settings = adamw;
    settings.master = forms[form].master;
    settings.moments = forms[form].moments;
    assert_int_equal(forms[form].is_bf16 ? case_use_bf16(NULL) : case_use_fp32(NULL), 0);
    return settings;
}

/* Three steps of the same gradient; shared: rank (step) has all of it, the others zeros. */
static void take_steps(learner *one, learner *shared)
{
    for (int i = 0; i < 3; i++) {
        find_gradient(one, ALL, 1);
        if (i % world->size == world->rank)
            find_gradient(shared, ALL, 1);
        else
            assert_ok(fv_fill(shared->c.backend, &(fv_fill_args){.x = shared->c.grads.flat}));
        double norm = step(one);
        assert_true(norm > (double)adamw.clip && fabs(step(shared) - norm) <= 1e-14 * norm);
    }
}

/* Sums with zeros are exact: where one rank has all of the gradient, three steps are the same bits, draws for
 * the rounding of moments included. */
static void test_bits_of_one_rank(void **state)
{
    (void)state;
    for (int form = 0; form < N_FORMS; form++) {
        learner one, shared;
        fv_optimizer_settings settings = settings_of(form);
        learner_open(&one, case_self, vl, &settings);
        learner_open(&shared, world, vl, &settings);
        take_steps(&one, &shared);
        check_state(&one, &shared);
        check_weights(&one, &shared);
        learner_close(&one);
        learner_close(&shared);
    }
    assert_int_equal(case_use_fp32(NULL), 0);
}

/* The weights are the masters, rounded to nearest even. */
static void check_rounded(const learner *l)
{
    const fv_optimizer *o = &l->optimizer;
    float *master = malloc((size_t)o->held * sizeof *master);
    uint16_t *rounded = malloc((size_t)o->held * sizeof *rounded),
             *weights = numbers_of(l, fv_tensor_rows(fv_model_weights(l->c.model)->flat, o->first, o->held),
                                   o->held);
    assert_ok(fv_optimizer_read_master(o, 0, o->held, master));
    fv_dtype_encode(FV_BF16, master, o->held, rounded);
    assert_memory_equal(weights, rounded, (size_t)o->held * sizeof *rounded);
    free(master);
    free(rounded);
    free(weights);
}

/* Masters that are the missing bits of bf16 weights are those of a tensor of their own; both begin as the
 * fp32 numbers of the folder. */
static void test_split_masters_are_whole_ones(void **state)
{
    (void)state;
    learner exact, whole, split;
    fv_optimizer_settings settings = adamw;
    assert_int_equal(case_use_fp32(NULL), 0);
    learner_open(&exact, world, vl, &settings);
    assert_int_equal(case_use_bf16(NULL), 0);
    learner_open(&whole, world, vl, &settings);
    settings.master = FV_MASTER_SPLIT;
    learner_open(&split, world, vl, &settings);
    assert_ok(fv_optimizer_load(&whole.optimizer, temp_path(vl)));
    assert_ok(fv_optimizer_load(&split.optimizer, temp_path(vl)));
    check_state(&split, &whole);
    check_rounded(&split);
    int64_t n = exact.optimizer.held, n_finer = 0;
    float *a = malloc((size_t)n * sizeof *a), *b = malloc((size_t)n * sizeof *b);
    assert_ok(fv_optimizer_read_master(&exact.optimizer, 0, n, a));
    assert_ok(fv_optimizer_read_master(&split.optimizer, 0, n, b));
    for (int64_t i = 0; i < n; i++) {
        uint32_t x, y;
        memcpy(&x, &a[i], sizeof x);
        memcpy(&y, &b[i], sizeof y);
        assert_int_equal(y, x + ((x & 0x1ffffu) == 0x18000u));
        n_finer += (x & 0xffffu) != 0;
    }
    assert_true(n_finer > n / 2);
    for (int i = 0; i < 3; i++) {
        find_gradient(&whole, world->rank, world->size);
        find_gradient(&split, world->rank, world->size);
        assert_true(step(&whole) == step(&split));
    }
    check_state(&split, &whole);
    check_weights(&split, &whole);
    check_rounded(&split);
    free(a);
    free(b);
    learner_close(&exact);
    learner_close(&whole);
    learner_close(&split);
    assert_int_equal(case_use_fp32(NULL), 0);
}

/* State that waits on the host, and goes through the back end piece by piece, is the same bits: at the start,
 * after steps, after one that moves nothing, and as it is written and read. */
static void check_on_host(fv_optimizer_settings settings)
{
    learner here, away;
    learner_open(&here, world, vl, &settings);
    settings.on_host = settings.master == FV_MASTER_WHOLE ? FV_ON_HOST_ALL : FV_ON_HOST_MOMENTS;
    learner_open(&away, world, vl, &settings);
    assert_ok(fv_optimizer_load(&here.optimizer, temp_path(vl)));
    assert_ok(fv_optimizer_load(&away.optimizer, temp_path(vl)));
    check_state(&here, &away);
    assert_true(away.optimizer.m.data == NULL && away.optimizer.memory.bytes < here.optimizer.memory.bytes);
    for (int i = 0; i < 3; i++) {
        find_gradient(&here, world->rank, world->size);
        find_gradient(&away, world->rank, world->size);
        assert_true(step(&here) == step(&away));
    }
    check_state(&here, &away);
    check_weights(&here, &away);
    int64_t n = here.optimizer.held;
    float *numbers = malloc((size_t)n * sizeof *numbers);
    for (fv_state_part part = FV_STATE_M; part <= FV_STATE_V; part++) {
        assert_ok(fv_optimizer_read_moment(&here.optimizer, part, 0, n, numbers));
        assert_ok(fv_optimizer_write_moment(&away.optimizer, part, 7, n - 7, numbers));
        assert_ok(fv_optimizer_write_moment(&here.optimizer, part, 7, n - 7, numbers));
    }
    assert_ok(fv_optimizer_read_master(&here.optimizer, 0, n, numbers));
    assert_ok(fv_optimizer_write_master(&here.optimizer, 5, n - 5, numbers));
    assert_ok(fv_optimizer_write_master(&away.optimizer, 5, n - 5, numbers));
    check_state(&here, &away);
    assert_ok(fv_optimizer_publish(&here.optimizer));
    assert_ok(fv_optimizer_publish(&away.optimizer));
    check_weights(&here, &away);
    free(numbers);
    learner_close(&here);
    learner_close(&away);
}

static void test_state_on_host(void **state)
{
    (void)state;
    for (int form = 0; form < N_FORMS; form++)
        check_on_host(settings_of(form));
    assert_int_equal(case_use_fp32(NULL), 0);
}

static void test_what_waits_on_the_host_is_whole(void **state)
{
    (void)state;
    fv_optimizer optimizer;
    fv_backend *backend;
    model_case c;
    fv_optimizer_settings settings = adamw;
    settings.master = FV_MASTER_SPLIT;
    settings.on_host = FV_ON_HOST_ALL;
    assert_int_equal(case_use_bf16(NULL), 0);
    assert_ok(fv_backend_cpu_create(NULL, 1, &backend));
    case_open(&c, backend, case_self, temp_path(vl));
    assert_fails(fv_optimizer_init(&optimizer, c.model, case_self, &settings), FV_ERR_ARGUMENT,
                 "optimizer.on_host: all is of whole masters");
    case_close(&c);
    assert_int_equal(case_use_fp32(NULL), 0);
}

static void test_fp32_weights_have_no_split_masters(void **state)
{
    (void)state;
    fv_optimizer optimizer;
    fv_backend *backend;
    model_case c;
    fv_optimizer_settings settings = adamw;
    settings.master = FV_MASTER_SPLIT;
    assert_ok(fv_backend_cpu_create(NULL, 1, &backend));
    case_open(&c, backend, case_self, temp_path(vl));
    assert_fails(fv_optimizer_init(&optimizer, c.model, case_self, &settings), FV_ERR_ARGUMENT,
                 "optimizer.master: split is of bf16 weights");
    case_close(&c);
}

/* A gradient that is not finite on one rank moves nothing on any; the step after it is as if it had not been.
 */
static void test_not_finite(void **state)
{
    (void)state;
    learner one, shared;
    learner_open(&one, case_self, vl, &adamw);
    learner_open(&shared, world, vl, &adamw);
    float *before = weights_of(&shared);
    double norm;
    find_gradient(&shared, world->rank, world->size);
    if (world->rank == world->size - 1) {
        const float bad = world->size % 2 ? INFINITY : NAN;
        assert_ok(fv_upload_array(shared.c.backend, fv_tensor_rows(shared.c.grads.flat, 100, 1), &bad));
    }
    assert_fails(fv_optimizer_step(&shared.optimizer, &shared.c.grads, 1e-3f, &norm), FV_ERR_NUMERIC,
                 "the norm of the gradient is");
    float *after = weights_of(&shared);
    assert_memory_equal(before, after, (size_t)fv_model_layout(one.c.model)->n_elements * sizeof *after);
    assert_int_equal(shared.optimizer.step, 0);
    free(before);
    free(after);
    find_gradient(&one, world->rank, world->size);
    find_gradient(&shared, world->rank, world->size);
    assert_ok(fv_all_reduce(one.c.backend, &(fv_all_reduce_args){world, one.c.grads.flat}));
    step(&one);
    step(&shared);
    before = weights_of(&one);
    after = weights_of(&shared);
    assert_memory_equal(before, after, (size_t)fv_model_layout(one.c.model)->n_elements * sizeof *after);
    free(before);
    free(after);
    learner_close(&one);
    learner_close(&shared);
}

static int is_matrix_of_a_map(const char *name)
{
    static const char *const others[] = {"norm", "ln_q", "bias", "embed_tokens"};
    for (int i = 0; i < 4; i++)
        if (strstr(name, others[i]))
            return 0;
    return 1;
}

static void check_moved(const fv_layout *layout, const float *before, const float *after, int decay_all)
{
    int n_still = 0;
    for (int i = 0; i < layout->params.n; i++) {
        const fv_param *param = &layout->params.items[i];
        int decays = decay_all || is_matrix_of_a_map(param->name);
        n_still += !decays;
        for (int64_t e = layout->offset[i]; e < layout->offset[i] + param->rows * param->cols; e++)
            if (after[e] != before[e] - (decays ? 0.25f * before[e] : 0))
                fail_msg("%s, %s: %g after %g", param->name, decays ? "decays" : "stays", (double)after[e],
                         (double)before[e]);
    }
    assert_true(decay_all ? n_still == 0 : n_still > 5);
}

/* Without a gradient, decay is all that moves a parameter: decay of some, or of all. */
static void test_what_decays(void **state)
{
    (void)state;
    for (int i = 0; i < 2 * CASE_MODELS; i++) {
        learner l;
        double norm;
        const fv_optimizer_settings settings = {0.9f, 0.999f, 1e-3f, 0.25f, 1.0f, i % 2};
        learner_open(&l, world, case_models[i / 2], &settings);
        float *before = weights_of(&l);
        assert_ok(fv_optimizer_step(&l.optimizer, &l.c.grads, 1, &norm));
        assert_true(norm == 0);
        float *after = weights_of(&l);
        check_moved(fv_model_layout(l.c.model), before, after, i % 2);
        free(before);
        free(after);
        learner_close(&l);
    }
}

static void check_saved(const char *model, const char *path)
{
    fv_folder from, to;
    assert_ok(fv_folder_open(temp_path(model), &from));
    assert_ok(fv_folder_open(path, &to));
    for (int i = 0; i < from.params.n; i++)
        assert_memory_equal(from.tensors[i]->data, to.tensors[i]->data, from.tensors[i]->bytes);
    fv_folder_close(&from);
    fv_folder_close(&to);
    assert_ok(fv_file_remove_tree(path));
}

/* What was not trained is written as it was read, whether the ranks share the state or the model. */
static void test_saving(void **state)
{
    (void)state;
    for (int i = 0; i < 2 * CASE_MODELS; i++) {
        model_case c;
        fv_backend *backend;
        fv_optimizer optimizer;
        const char *model = case_models[i / 2];
        fv_comm *data = i % 2 ? world : case_self, *tensor = i % 2 ? case_self : world;
        assert_ok(fv_backend_cpu_create(NULL, 1, &backend));
        case_open_shared(&c, backend, tensor, data->size, temp_path(model));
        assert_ok(fv_optimizer_init(&optimizer, c.model, data, &adamw));
        assert_ok(fv_optimizer_save(&optimizer, temp_path(model), temp_path("saved"), FV_F32));
        if (world->rank == 0)
            check_saved(model, temp_path("saved"));
        fv_optimizer_fini(&optimizer);
        case_close(&c);
    }
}

int main(void)
{
    if (fv_comm_world(&world) != FV_OK)
        return 1;
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_rank_has_some_rows),
                                       cmocka_unit_test(test_bits_of_one_rank),
                                       cmocka_unit_test(test_split_masters_are_whole_ones),
                                       cmocka_unit_test(test_state_on_host),
                                       cmocka_unit_test(test_what_waits_on_the_host_is_whole),
                                       cmocka_unit_test(test_fp32_weights_have_no_split_masters),
                                       cmocka_unit_test(test_not_finite),
                                       cmocka_unit_test(test_saving),
                                       cmocka_unit_test(test_what_decays)};
    int failed = cmocka_run_group_tests(tests, case_setup, case_teardown);
    fv_comm_destroy(world);
    return failed;
}
