/* Images that one pass needs go through the vision tower together, to the bits that each has alone, and as
 * many at a time as there is room for. */
#include "model_case.h"

#include "fovea/engine/engine.h"

enum { N = 3, TEXT = 9, N_NEW = 4, MOST = 800 };

static fv_backend *backend;
static fv_model *model;

typedef struct shown {
    fv_engine_image image;
    fv_picture *picture;
    fv_sequence *sequence;
    int32_t ids[N_NEW];
    float logprobs[N_NEW];
    int n;
} shown;

static int setup(void **state)
{
    if (case_setup(state) != 0 || fv_backend_cpu_create(NULL, 2, &backend) != FV_OK)
        return -1;
    return fv_model_open(&(fv_model_args){backend, case_self, temp_path("tiny-vl")}, &model) != FV_OK;
}

static int teardown(void **state)
{
    fv_model_destroy(model);
    fv_backend_destroy(backend);
    return case_teardown(state);
}

static fv_err look(void *context, fv_engine *engine, fv_engine_image *image)
{
    return fv_engine_see(engine, image, ((shown *)context)->picture);
}

static fv_err receive(void *context, fv_sequence *sequence, int32_t id, float logprob)
{
    shown *s = context;
    s->ids[s->n] = id;
    s->logprobs[s->n++] = logprob;
    if (s->n == N_NEW)
        fv_sequence_end(sequence);
    return FV_OK;
}

/* A prompt that shows an image of its own. */
static void open_one(fv_engine *engine, fv_grid grid, int number, shown *out)
{
    int32_t ids[MOST];
    int64_t n_image = fv_grid_tokens(grid, fv_model_shape_of(model)->vision.merge);
    fv_engine_image *image = &out->image;
    *out = (shown){.image = {.grid = grid, .look = look, .context = out},
                   .picture = case_picture(grid, (uint64_t)number)};
    const fv_sequence_args args = {.owner = {out, receive},
                                   .sampling = {.top_p = 1, .repetition_penalty = 1}};
    for (int64_t i = 0; i < n_image + TEXT; i++)
        ids[i] = i < n_image ? fv_model_shape_of(model)->image_id : 'a' + (int32_t)i % 26;
    assert_ok(fv_sequence_open(engine, &args, &out->sequence));
    assert_ok(fv_sequence_append(out->sequence, ids, n_image + TEXT, &image, 1));
}

static void close_one(fv_engine *engine, shown *one)
{
    fv_sequence_close(one->sequence);
    fv_engine_forget(engine, &one->image);
    fv_picture_release(one->picture);
}

/* Passes of the tower, each of which has one of these. */
static int64_t n_towers(void)
{
    return backend->timer[FV_OP_gelu].n_calls;
}

static void run(fv_engine *engine)
{
    for (int is_idle = 0; !is_idle;)
        assert_ok(fv_engine_pass(engine, &is_idle));
}

static void compare(const fv_grid *grids, int n_expected)
{
    const fv_engine_settings settings = {.name = "images",
                                         .max_running = 2 * N,
                                         .max_tokens = MOST + N_NEW,
                                         .pass_tokens = N * MOST,
                                         .cache_pages = N * 16,
                                         .max_images = 1,
                                         .image = grids[0],
                                         .image_rows = N * MOST};
    fv_engine *engine;
    shown together[N], alone;
    assert_ok(fv_engine_create(model, &settings, &engine));
    for (int i = 0; i < N; i++)
        open_one(engine, grids[i], i, &together[i]);
    int64_t before = n_towers();
    run(engine);
    assert_int_equal(n_towers() - before, n_expected);
    for (int i = 0; i < N; i++) {
        open_one(engine, grids[i], i, &alone);
        run(engine);
        assert_int_equal(alone.n, N_NEW);
        assert_memory_equal(alone.ids, together[i].ids, sizeof alone.ids);
        assert_memory_equal(alone.logprobs, together[i].logprobs, sizeof alone.logprobs);
        close_one(engine, &alone);
    }
    for (int i = 0; i < N; i++)
        close_one(engine, &together[i]);
    fv_engine_destroy(engine);
}

static void test_small_ones_go_together(void **state)
{
    (void)state;
    compare((const fv_grid[]){{1, 6, 8}, {1, 4, 6}, {1, 2, 10}}, 1);
}

/* The first takes most of the room for one pass of the tower. */
static void test_large_ones_do_not(void **state)
{
    (void)state;
    compare((const fv_grid[]){{1, 56, 56}, {1, 24, 56}, {1, 4, 6}}, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_ones_go_together),
        cmocka_unit_test(test_large_ones_do_not),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
