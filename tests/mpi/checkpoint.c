/* A model in training is saved by all ranks and read by other layouts: the same bits of weights and moments.
 */
#include "model_case.h"

#include "fovea/model/checkpoint/checkpoint.h"
#include "fovea/comm/mesh.h"
#include "fovea/model/optimizer.h"
#include "fovea/ops/staging.h"

static fv_comm *world;
static char shared[64]; /* the folder of rank 0 */

static int setup(void **state)
{
    if (case_setup(state) != 0)
        return -1;
    memcpy(shared, temp_root, sizeof shared);
    return fv_comm_broadcast(world, shared, sizeof shared, 0) == FV_OK ? 0 : -1;
}

/* Nobody removes its folder before all have read. */
static int teardown(void **state)
{
    return fv_comm_barrier(world) == FV_OK ? case_teardown(state) : -1;
}

/* A model of which every rank has its part, after two steps. */
typedef struct training {
    fv_mesh mesh;
    model_case c;
    fv_optimizer optimizer;
} training;

/* How the state is kept. */
typedef struct form {
    int is_bf16; /* weights */
    fv_master_form master;
    fv_moments_form moments;
} form;
static const form forms[] = {{0, FV_MASTER_WHOLE, FV_MOMENTS_FP32},
                             {1, FV_MASTER_WHOLE, FV_MOMENTS_BF16},
                             {1, FV_MASTER_SPLIT, FV_MOMENTS_FP32}};
enum { N_FORMS = sizeof forms / sizeof *forms };

static void train(training *t, int tensor, const form *f)
{
    const fv_optimizer_settings settings = {
        0.9f, 0.999f, 1e-3f, 0.01f, 1.0f, .master = f->master, .moments = f->moments};
    float weights[CASE_ROWS], logprobs[CASE_ROWS];
    double norm;
    fv_backend *backend;
    assert_ok(fv_backend_cpu_create(NULL, 1, &backend));
    assert_ok(fv_mesh_init(&t->mesh, world, tensor));
    assert_int_equal(f->is_bf16 ? case_use_bf16(NULL) : case_use_fp32(NULL), 0);
    case_open_shared(&t->c, backend, t->mesh.tensor, t->mesh.data->size, temp_path("tiny-vl"));
    case_row_weights(weights);
    assert_ok(fv_optimizer_init(&t->optimizer, t->c.model, t->mesh.data, &settings));
    for (int step = 0; step < 2; step++) {
        case_forward(&t->c, logprobs, NULL);
        case_backward(&t->c, weights, 0.01f);
        assert_ok(fv_optimizer_step(&t->optimizer, &t->c.grads, 1e-3f, &norm));
    }
}

static void end_training(training *t)
{
    fv_optimizer_fini(&t->optimizer);
    case_close(&t->c);
    fv_mesh_fini(&t->mesh);
}

/* This rank's share of a set, (held), as it is kept. */
static void *download(const training *t, fv_checkpoint_set set)
{
    const fv_optimizer *o = &t->optimizer;
    const fv_tensor moment = set == FV_CHECKPOINT_EXP_AVG ? o->m : o->v;
    void *numbers = malloc((size_t)o->held * sizeof(float));
    assert_non_null(numbers);
    if (set == FV_CHECKPOINT_WEIGHTS)
        assert_ok(fv_optimizer_read_master(o, 0, o->held, numbers));
    else
        assert_ok(fv_download_now(t->c.backend, fv_tensor_rows(moment, 0, o->held), numbers));
    return numbers;
}

/* ... as fp32. */
static float *download_wide(const training *t, fv_checkpoint_set set)
{
    const fv_optimizer *o = &t->optimizer;
    void *numbers = download(t, set);
    if (set == FV_CHECKPOINT_WEIGHTS || o->m.dtype == FV_F32)
        return numbers;
    float *wide = malloc((size_t)o->held * sizeof *wide);
    fv_dtype_decode(o->m.dtype, numbers, o->held, wide);
    free(numbers);
    return wide;
}

static void save(const training *t, const char *path)
{
    void *sets[FV_CHECKPOINT_N_SETS];
    const fv_shard shard = {t->mesh.tensor->rank, t->mesh.tensor->size, t->optimizer.first, t->optimizer.held,
                            t->optimizer.m.dtype};
    const fv_checkpoint_args args = {.shape = fv_model_shape_of(t->c.model),
                                     .n_shards = world->size,
                                     .step = 2,
                                     .source = temp_path("tiny-vl")};
    for (fv_checkpoint_set s = 0; s < FV_CHECKPOINT_N_SETS; s++)
        sets[s] = download(t, s);
    assert_ok(fv_comm_agree(world, world->rank == 0 ? fv_file_make_folder(path) : FV_OK));
    assert_ok(fv_shard_write(path, world->rank, &shard, (const void *const *)sets));
    assert_ok(fv_comm_barrier(world));
    assert_ok(fv_comm_agree(world, world->rank == 0 ? fv_checkpoint_finish(path, &args) : FV_OK));
    for (int s = 0; s < FV_CHECKPOINT_N_SETS; s++)
        free(sets[s]);
}

/* What a checkpoint holds for the layout at hand is what this rank has. */
static void check_own(const training *t, const fv_checkpoint *checkpoint)
{
    for (fv_checkpoint_set s = 0; s < FV_CHECKPOINT_N_SETS; s++) {
        float *expected = download_wide(t, s), *found = malloc((size_t)t->optimizer.n * sizeof *found);
        assert_ok(fv_checkpoint_read(checkpoint, s, fv_model_layout(t->c.model), t->optimizer.first,
                                     t->optimizer.held, found));
        assert_memory_equal(found, expected, (size_t)t->optimizer.held * sizeof *found);
        free(expected);
        free(found);
    }
}

/* The folder that all ranks write together has the numbers of a checkpoint that one opens alone. */
static void check_whole(training *t, const char *path)
{
    fv_folder saved, checkpoint;
    char gathered[80];
    snprintf(gathered, sizeof gathered, "%s/gathered", shared);
    assert_ok(fv_optimizer_save(&t->optimizer, temp_path("tiny-vl"), gathered, FV_F32));
    assert_ok(fv_folder_open(gathered, &saved));
    assert_ok(fv_folder_open(path, &checkpoint));
    for (int i = 0; i < saved.params.n; i++) {
        size_t n = saved.tensors[i]->bytes / sizeof(float);
        float *numbers = malloc(n * sizeof *numbers);
        assert_ok(fv_folder_read_rows(&checkpoint, i, 0, saved.params.items[i].rows, numbers));
        assert_memory_equal(numbers, saved.tensors[i]->data, n * sizeof *numbers);
        free(numbers);
    }
    fv_folder_close(&saved);
    fv_folder_close(&checkpoint);
    assert_ok(fv_comm_barrier(world));
    assert_ok(fv_comm_agree(world, world->rank == 0 ? fv_file_remove_tree(gathered) : FV_OK));
}

/* The layout of the run that goes on differs from the one that saved: a save by it holds the same numbers. */
static void check_saved_again(const char *first, const char *again, const fv_layout *layout)
{
    fv_checkpoint *a, *b;
    float *numbers[2];
    assert_ok(fv_checkpoint_open(first, &a));
    assert_ok(fv_checkpoint_open(again, &b));
    for (fv_checkpoint_set s = 0; s < FV_CHECKPOINT_N_SETS; s++) {
        for (int i = 0; i < 2; i++) {
            numbers[i] = malloc((size_t)layout->n_elements * sizeof *numbers[i]);
            assert_ok(fv_checkpoint_read(i ? b : a, s, layout, 0, layout->n_elements, numbers[i]));
        }
        assert_memory_equal(numbers[0], numbers[1], (size_t)layout->n_elements * sizeof *numbers[0]);
        free(numbers[0]);
        free(numbers[1]);
    }
    fv_checkpoint_close(a);
    fv_checkpoint_close(b);
}

static void upload_moment(const training *t, fv_tensor moment, const float *numbers)
{
    void *kept = malloc((size_t)t->optimizer.held * sizeof *numbers);
    fv_dtype_encode(moment.dtype, numbers, t->optimizer.held, kept);
    assert_ok(fv_upload_array(t->c.backend, fv_tensor_rows(moment, 0, t->optimizer.held), kept));
    free(kept);
}

/* Take up a checkpoint at another layout and save it there; the weights are those of the masters. */
static void take_up(const char *path, const char *again, int tensor, const form *f)
{
    training t;
    fv_checkpoint *checkpoint;
    train(&t, tensor, f);
    const fv_layout *layout = fv_model_layout(t.c.model);
    fv_optimizer *o = &t.optimizer;
    float *numbers = malloc((size_t)layout->n_elements * sizeof *numbers),
          *weights = malloc((size_t)layout->n_elements * sizeof *numbers),
          *rounded = malloc((size_t)layout->n_elements * sizeof *numbers);
    assert_ok(fv_checkpoint_open(path, &checkpoint));
    for (fv_checkpoint_set s = 0; s < FV_CHECKPOINT_N_SETS; s++) {
        assert_ok(fv_checkpoint_read(checkpoint, s, layout, o->first, o->held, numbers));
        if (s == FV_CHECKPOINT_WEIGHTS)
            assert_ok(fv_optimizer_write_master(o, 0, o->held, numbers));
        else
            upload_moment(&t, s == FV_CHECKPOINT_EXP_AVG ? o->m : o->v, numbers);
    }
    assert_ok(fv_optimizer_publish(o));
    assert_ok(fv_checkpoint_read(checkpoint, FV_CHECKPOINT_WEIGHTS, layout, 0, layout->n_elements, numbers));
    fv_checkpoint_close(checkpoint);
    fv_tensor flat = fv_tensor_rows(fv_model_weights(t.c.model)->flat, 0, layout->n_elements);
    assert_ok(fv_download_now(t.c.backend, flat, weights));
    fv_dtype_encode(flat.dtype, numbers, flat.dim[0], rounded);
    assert_memory_equal(rounded, weights, fv_tensor_span_bytes(flat));
    save(&t, again);
    check_saved_again(path, again, layout);
    free(numbers);
    free(weights);
    free(rounded);
    end_training(&t);
}

/* Saved by tensor groups of so many ranks. */
static void check_layout(int tensor, int number)
{
    training t;
    fv_checkpoint *checkpoint;
    char path[80], again[80];
    const form *f = &forms[number];
    snprintf(path, sizeof path, "%s/saved_%d_%d", shared, tensor, number);
    train(&t, tensor, f);
    save(&t, path);
    assert_ok(fv_comm_agree(world, fv_checkpoint_verify(path, world->rank, world->size)));
    assert_ok(fv_checkpoint_open(path, &checkpoint));
    check_own(&t, checkpoint);
    fv_checkpoint_close(checkpoint);
    check_whole(&t, path);
    end_training(&t);
    snprintf(again, sizeof again, "%s/again_%d_%d", shared, tensor, number);
    take_up(path, again, world->size / tensor, f);
}

static void test_all_layouts(void **state)
{
    (void)state;
    for (int tensor = 1; tensor <= world->size; tensor *= 2)
        check_layout(tensor, 0);
    for (int i = 1; i < N_FORMS; i++)
        check_layout(world->size > 1 ? 2 : 1, i);
}

int main(void)
{
    if (fv_comm_world(&world) != FV_OK)
        return 1;
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all_layouts)};
    int failed = cmocka_run_group_tests(tests, setup, teardown);
    fv_comm_destroy(world);
    return failed;
}
