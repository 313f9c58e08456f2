/* A pass of an engine allocates nothing, neither from the back end nor from the heap: with new sequences,
 * forks that write into shared pages, images, and sequences that give up their rows. */
#include "heap.h"
#include "model_case.h"

#include "fovea/engine/engine.h"

#include <stdlib.h>

enum { SAMPLES = 6, PROMPT_TEXT = 90, N_NEW = 60, PASSES = 20 };

static fv_backend *backend;
static fv_model *model;
static fv_picture *picture;

static int setup(void **state)
{
    if (case_setup(state) != 0 || fv_backend_cpu_create(NULL, 2, &backend) != FV_OK)
        return -1;
    picture = case_picture((fv_grid){1, 4, 6}, 1);
    return fv_model_open(&(fv_model_args){backend, case_self, temp_path("tiny-vl")}, &model) != FV_OK;
}

static int teardown(void **state)
{
    fv_picture_release(picture);
    fv_model_destroy(model);
    fv_backend_destroy(backend);
    return case_teardown(state);
}

static fv_err look(void *context, fv_engine *engine, fv_engine_image *image)
{
    (void)context;
    return fv_engine_see(engine, image, picture);
}

static fv_err receive(void *context, fv_sequence *sequence, int32_t id, float logprob)
{
    int *n = context;
    (void)id, (void)logprob;
    if (++*n == N_NEW)
        fv_sequence_end(sequence);
    return FV_OK;
}

/* A prompt with an image, and its forks. */
static void open_group(fv_engine *engine, fv_engine_image *image, int *counts)
{
    int32_t ids[PROMPT_TEXT + 6];
    fv_sequence *prompt, *sample;
    for (int i = 0; i < PROMPT_TEXT + 6; i++)
        ids[i] = i < 6 ? fv_model_shape_of(model)->image_id : 'a' + i % 26;
    assert_ok(fv_sequence_open(engine, &(fv_sequence_args){0}, &prompt));
    assert_ok(fv_sequence_append(prompt, ids, PROMPT_TEXT + 6, &image, 1));
    for (int i = 0; i < SAMPLES; i++) {
        const fv_sequence_args args = {
            .parent = prompt,
            .owner = {&counts[i], receive},
            .sampling = {
                .temperature = 1, .top_p = 1, .repetition_penalty = 1, .key = {.sample = (uint32_t)i}}};
        assert_ok(fv_sequence_open(engine, &args, &sample));
    }
}

static void test_passes(void **state)
{
    (void)state;
    const fv_engine_settings settings = {.name = "allocations",
                                         .max_running = 2 * SAMPLES,
                                         .max_tokens = 200,
                                         .pass_tokens = 48,
                                         .cache_pages = 9,
                                         .max_images = 1,
                                         .image = {1, 4, 6},
                                         .image_rows = 6};
    fv_engine_image images[2] = {{.grid = {1, 4, 6}, .look = look}, {.grid = {1, 4, 6}, .look = look}};
    int counts[2 * SAMPLES] = {0}, is_idle;
    fv_engine *engine;
    assert_ok(fv_engine_create(model, &settings, &engine));
    open_group(engine, &images[0], counts);
    for (int i = 0; i < 2; i++)
        assert_ok(fv_engine_pass(engine, &is_idle));
    open_group(engine, &images[1], counts + SAMPLES);
    int64_t tensors = backend->memory.n_allocs, heap = heap_allocations();
    for (int i = 2; i < PASSES || !is_idle; i++)
        assert_ok(fv_engine_pass(engine, &is_idle));
    assert_int_equal(backend->memory.n_allocs, tensors);
    assert_true(tensors > 0 && (heap > 0) == heap_is_counted());
    if (!getenv("FOVEA_BACKEND_WRAP")) /* the wrappers keep books */
        assert_int_equal(heap_allocations(), heap);
    assert_true(fv_engine_stats_of(engine)->n_evictions > 0);
    for (int i = 0; i < 2 * SAMPLES; i++)
        assert_int_equal(counts[i], N_NEW);
    fv_engine_destroy(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_passes)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
