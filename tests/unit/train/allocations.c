/* Steps of training allocate nothing from the back end, an update nothing from the heap, and a whole step as
 * much as the one before, or a little more: with images that grow from step to step, answers of any length,
 * micro-batches of several trees, and the reference policy. */
#include "heap.h"
#include "rollout_case.h"

#include "fovea/train/step/step.h"

#include <stdlib.h>

enum { ROWS = 3, STEPS = 20, FIRST = 3, PROMPTS = 3, MICRO = 600, ROOM = 900 };

static fv_dataset *set;
static fv_processor processor;
static fv_view_cache *views;

static void draw(fv_row_image *image, int side)
{
    fv_image pixels;
    assert_ok(fv_image_init(&pixels, "test", side, side, FV_IMAGE_MAX_PIXELS));
    memset(pixels.rgb, side, (size_t)side * (size_t)side * 3);
    assert_ok(fv_image_encode_png(&pixels, &image->file));
    fv_image_fini(&pixels);
    image->width = image->height = side;
}

/* Every row's image is larger than the one before. */
static void write_rows(void)
{
    fv_dataset_writer *writer;
    fv_dataset_totals totals;
    assert_ok(fv_dataset_create(temp_path("set.h5"), &writer));
    for (int i = 0; i < ROWS; i++) {
        fv_row row = {.question = strdup("Which digit?"),
                      .answer = strdup("7"),
                      .source = strdup(""),
                      .extra = strdup("{}"),
                      .images = calloc(1, sizeof *row.images),
                      .n_images = 1};
        draw(&row.images[0], 112 + 56 * i);
        assert_ok(fv_dataset_append(writer, &row));
    }
    assert_ok(fv_dataset_commit(writer, &totals));
    assert_ok(fv_dataset_open(temp_path("set.h5"), &set));
}

static int setup(void **state)
{
    if (rollout_setup(state) != 0)
        return -1;
    rollout_use("talker");
    write_rows();
    fv_processor_init(&processor);
    const fv_view_cache_settings settings = {.processor = &processor, .max_bytes = 1 << 24};
    assert_ok(fv_view_cache_create(&settings, &views));
    return 0;
}

static int teardown(void **state)
{
    fv_view_cache_destroy(views);
    fv_dataset_close(set);
    return rollout_teardown(state);
}

static uint64_t row_of(const void *context, int64_t prompt_index)
{
    (void)context;
    return (uint64_t)(prompt_index / PROMPTS < ROWS ? prompt_index / PROMPTS : prompt_index % ROWS);
}

/* What a run is made of. */
typedef struct run {
    fv_mesh mesh;
    fv_prompt_builder builder;
    rollout_plan plan;
    fv_score_settings score;
    fv_collector collector;
    fv_policy *policy;
    fv_optimizer optimizer;
    fv_reference reference;
    fv_updater *updater;
    fv_trainer trainer;
} run;

static void open_rollout(run *r)
{
    const fv_verifier *verifier;
    r->builder = (fv_prompt_builder){.dataset = set,
                                     .processor = &processor,
                                     .prompts = rollout.prompts,
                                     .chat = &rollout.chat,
                                     .cache = views,
                                     .views = {.min_pixels = 3136, .max_pixels = 1 << 20}};
    r->plan = rollout_settings(12, 256, 200);
    fv_rollout_show(&r->plan.engine, (fv_grid){1, 16, 16}, 2);
    r->score = (fv_score_settings){.format = {.product = FV_PRODUCT_EFFICIENT},
                                   .extraction = FV_EXTRACT_SPLIT,
                                   .tool_penalty = FV_TOOL_PENALTY_DEFAULT,
                                   .accuracy_weight = 1,
                                   .overlong = FV_OVERLONG_DEFAULT};
    assert_ok(fv_mesh_init(&r->mesh, case_self, 1));
    r->collector = (fv_collector){.mesh = &r->mesh, .score = &r->score};
    assert_ok(fv_engine_create(rollout.model, &r->plan.engine, &r->collector.engine));
    assert_ok(fv_verifier_find("containment", &verifier));
    assert_ok(fv_judge_verifier_create(verifier, &r->collector.judge));
}

/* The largest micro-batch: trees of the largest row. */
static void reserve(run *r, fv_save save)
{
    const fv_packed_size size = {PROMPTS * ANSWERS, PROMPTS * ANSWERS, ROOM, ROOM};
    fv_grid grids[2 * PROMPTS];
    for (int i = 0; i < 2 * PROMPTS; i++)
        grids[i] = i % 2 ? (fv_grid){1, 16, 16} : (fv_grid){1, 8, 8};
    const fv_packed largest = {
        .run = {.n = ROOM, .n_segments = ROOM, .n_spans = 2 * ROOM, .n_features = ROOM},
        .grids = grids,
        .n_views = 2 * PROMPTS,
        .n_features = PROMPTS * (64 + 16),
        .n_logprobs = ROOM};
    assert_ok(fv_policy_reserve(r->policy, &largest, save));
    assert_ok(fv_updater_reserve(r->updater, &size, PROMPTS * ANSWERS));
}

static void open_updates(run *r)
{
    const fv_policy_settings how = {.temperature = 0.9f, .excluded = rollout_excluded, .n_excluded = 5};
    const fv_optimizer_settings adamw = {0.9f, 0.999f, 1e-3f, 0.01f, 1.0f};
    assert_ok(fv_policy_create(rollout.model, &how, &r->policy));
    assert_ok(fv_optimizer_init(&r->optimizer, rollout.model, case_self, &adamw));
    assert_ok(fv_reference_init(&r->reference, rollout.model, 1));
    const fv_updater_args args = {
        .settings = {.loss = FV_LOSS_DEFAULT, .micro_tokens = MICRO, .save = FV_SAVE_INPUTS},
        .policy = r->policy,
        .optimizer = &r->optimizer,
        .reference = &r->reference,
        .view = fv_prompt_builder_view,
        .want = fv_prompt_builder_want,
        .view_context = &r->builder};
    assert_ok(fv_updater_create(&args, &r->updater));
    reserve(r, FV_SAVE_INPUTS);
}

static void open_run(run *r)
{
    open_rollout(r);
    open_updates(r);
    r->trainer = (fv_trainer){
        .settings = {.plan = {.prompts = PROMPTS, .groups = PROMPTS},
                     .max_unjudged_share = 1,
                     .advantage = {.eps = FV_ADVANTAGE_EPS, .weights = FV_REWARD_WEIGHTS_DEFAULT}},
        .collector = &r->collector,
        .prompts = {.builder = &r->builder,
                    .rollout = &r->plan.rollout,
                    .n_samples = ANSWERS,
                    .keeps_views = 1,
                    .row_of = row_of},
        .updater = r->updater};
    assert_ok(fv_estimator_find("grpo", &r->trainer.settings.advantage.estimator));
}

static void close_run(run *r)
{
    fv_updater_destroy(r->updater);
    fv_reference_fini(&r->reference);
    fv_optimizer_fini(&r->optimizer);
    fv_policy_destroy(r->policy);
    fv_judge_destroy(r->collector.judge);
    fv_engine_destroy(r->collector.engine);
    fv_mesh_fini(&r->mesh);
}

static int n_updates;

static void take_step(run *r)
{
    fv_batch batch;
    fv_step_stats stats;
    assert_ok(fv_step(&r->trainer, 1e-6, &batch, &stats));
    n_updates += stats.n_updates;
    fv_batch_fini(&batch);
}

static void test_steps(void **state)
{
    (void)state;
    run r = {0};
    int64_t tensors = 0, most = 0;
    open_run(&r);
    for (int step = 1; step <= STEPS; step++) {
        int64_t before = heap_allocations();
        take_step(&r);
        int64_t n = heap_allocations() - before;
        if (step == FIRST) {
            tensors = rollout.backend->memory.n_allocs;
            most = 2 * n;
        }
        if (step <= FIRST)
            continue;
        assert_int_equal(rollout.backend->memory.n_allocs, tensors);
        if (getenv("FOVEA_BACKEND_WRAP")) /* the wrappers keep books */
            continue;
        assert_true(n <= most);
    }
    assert_true(n_updates > STEPS / 2 && (most > 0) == heap_is_counted());
    close_run(&r);
}

/* Answers of the largest row after those of the smallest. */
static void test_updates(void **state)
{
    (void)state;
    run r = {0};
    fv_batch begun = {0}, batch;
    fv_collect_stats collected;
    fv_update_stats stats;
    int64_t tokens = 0;
    open_run(&r);
    fv_collect_args args = r.trainer.prompts;
    args.n = PROMPTS * ROWS;
    assert_ok(fv_collect(&r.collector, &args, &begun, &batch, &collected));
    for (int g = 0; g < batch.n; g++)
        for (int a = 0; a < ANSWERS; a++)
            batch.groups[g].responses[a].advantage = a - 1.5;
    assert_ok(fv_update_ask_reference(r.updater, batch.groups, batch.n, &tokens));
    int64_t heap = heap_allocations(), tensors = rollout.backend->memory.n_allocs;
    for (int i = 0; i < ROWS; i++)
        assert_ok(fv_update(r.updater, batch.groups + PROMPTS * i, PROMPTS, 1e-6, &stats));
    assert_int_equal(rollout.backend->memory.n_allocs, tensors);
    if (!getenv("FOVEA_BACKEND_WRAP"))
        assert_int_equal(heap_allocations(), heap);
    fv_prompt_builder_forget_all(&r.builder);
    fv_batch_fini(&batch);
    close_run(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_steps), cmocka_unit_test(test_updates)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
