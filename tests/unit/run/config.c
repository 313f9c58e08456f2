/* The configuration of training: its defaults, files, checks with arithmetic, and learning rates. */
#include "temp_folder.h"

#include "fovea/run/config.h"

#include <math.h>

#define REQUIRED "model: m\nout: o\nprompts: p\nsteps: 10\ndata: {train: t}\n"

static fv_err read_train(const char *override, fv_train_config *out)
{
    temp_write("c.yaml", REQUIRED);
    return fv_settings_read(&fv_train_settings, temp_path("c.yaml"), &override, override ? 1 : 0, out);
}

static void test_defaults(void **state)
{
    (void)state;
    fv_train_config c;
    assert_ok(read_train(NULL, &c));
    assert_ok(fv_train_config_check(&c, 1));
    assert_int_equal(c.rollout.prompts, 512);
    assert_int_equal(c.rollout.samples, 16);
    assert_int_equal(c.update.groups, 32);
    assert_int_equal(c.update.partial, FV_PARTIAL_SPREAD);
    assert_int_equal(c.reward.tool_penalty.kind, FV_TOOL_PENALTY_PAPER);
    assert_true(c.reward.tool_penalty.theta == 0.2);
    assert_true(c.reward.weights.format == 0.5);
    assert_int_equal(c.reward.format.product, FV_PRODUCT_EFFICIENT);
    assert_int_equal(c.loss.kl, FV_KL_LOW_VAR);
    assert_true(c.loss.kl_weight == 0.001);
    assert_true(c.optimizer.rate == 1e-6);
    assert_true(c.optimizer.adamw.beta2 == 0.999F);
    assert_true(!c.optimizer.adamw.decay_all && c.loss.dual_clip == 0);
    assert_int_equal(c.views.bounds.max_pixels, 4194304);
    fv_settings_fini(&fv_train_settings, &c);
}

/* Every field has the size that its kind says, and no two share a place: written numbers come back. */
static void check_table(const fv_settings *settings)
{
    uint8_t *used = calloc(1, settings->size);
    assert_non_null(used);
    for (const fv_settings_section *section = settings->sections; section->key; section++)
        for (const fv_setting *field = section->fields; field->key; field++) {
            size_t first = section->offset + field->offset;
            int is_text = field->kind == FV_SETTING_TEXT || field->kind == FV_SETTING_PATH ||
                          field->kind == FV_SETTING_LIST;
            int is_number = field->kind == FV_SETTING_INTEGER || field->kind == FV_SETTING_REAL;
            assert_true(first + field->size <= settings->size);
            assert_true(field->size == (is_text ? sizeof(char *) : sizeof(int)) ||
                        (is_number && field->size == sizeof(int64_t)));
            assert_true((field->kind == FV_SETTING_CHOICE) == (field->names != NULL));
            assert_true(strlen(field->help) > 0 && strlen(field->help) < 60);
            for (size_t i = first; i < first + field->size; i++)
                assert_false(used[i]++);
        }
    free(used);
}

static void test_tables(void **state)
{
    (void)state;
    check_table(&fv_train_settings);
}

/* The names of choices stand in the order of their enums. */
static void test_choices(void **state)
{
    (void)state;
    static const struct {
        const char *override;
        size_t offset;
        int value;
    } cases[] = {
        {"views.prompt=high", offsetof(fv_train_config, views.prompt), FV_VIEW_HIGH},
        {"reward.extraction=split", offsetof(fv_train_config, reward.extraction), FV_EXTRACT_SPLIT},
        {"reward.extraction=strict", offsetof(fv_train_config, reward.extraction), FV_EXTRACT_STRICT},
        {"reward.extraction=none", offsetof(fv_train_config, reward.extraction), FV_EXTRACT_NONE},
        {"views.filter=bicubic", offsetof(fv_train_config, views.bounds.filter), FV_VIEW_BICUBIC},
        {"views.filter=lanczos", offsetof(fv_train_config, views.bounds.filter), FV_VIEW_LANCZOS},
        {"views.tool=whole", offsetof(fv_train_config, views.bounds.tool), FV_TOOL_VIEW_WHOLE},
        {"views.tool=twice", offsetof(fv_train_config, views.bounds.tool), FV_TOOL_VIEW_TWICE},
        {"reward.product=general", offsetof(fv_train_config, reward.format.product), FV_PRODUCT_GENERAL},
        {"reward.product=efficient", offsetof(fv_train_config, reward.format.product), FV_PRODUCT_EFFICIENT},
        {"reward.tool_penalty=none", offsetof(fv_train_config, reward.tool_penalty.kind),
         FV_TOOL_PENALTY_NONE},
        {"reward.tool_penalty=paper", offsetof(fv_train_config, reward.tool_penalty.kind),
         FV_TOOL_PENALTY_PAPER},
        {"reward.tool_penalty=code", offsetof(fv_train_config, reward.tool_penalty.kind),
         FV_TOOL_PENALTY_CODE},
        {"loss.ratio=token", offsetof(fv_train_config, loss.ratio), FV_RATIO_TOKEN},
        {"loss.ratio=sequence", offsetof(fv_train_config, loss.ratio), FV_RATIO_SEQUENCE},
        {"loss.ratio=cispo", offsetof(fv_train_config, loss.ratio), FV_RATIO_CISPO},
        {"loss.kl=plain", offsetof(fv_train_config, loss.kl), FV_KL_PLAIN},
        {"loss.kl=abs", offsetof(fv_train_config, loss.kl), FV_KL_ABS},
        {"loss.kl=mse", offsetof(fv_train_config, loss.kl), FV_KL_MSE},
        {"loss.kl=low_var", offsetof(fv_train_config, loss.kl), FV_KL_LOW_VAR},
        {"loss.kl_place=loss", offsetof(fv_train_config, loss.kl_place), FV_KL_IN_LOSS},
        {"loss.kl_place=reward", offsetof(fv_train_config, loss.kl_place), FV_KL_IN_REWARD},
        {"loss.mean=sequence", offsetof(fv_train_config, loss.mean), FV_MEAN_SEQUENCE},
        {"loss.mean=token", offsetof(fv_train_config, loss.mean), FV_MEAN_TOKEN},
        {"loss.mean=constant", offsetof(fv_train_config, loss.mean), FV_MEAN_CONSTANT},
        {"update.partial=keep", offsetof(fv_train_config, update.partial), FV_PARTIAL_KEEP},
        {"update.partial=drop", offsetof(fv_train_config, update.partial), FV_PARTIAL_DROP},
        {"update.partial=spread", offsetof(fv_train_config, update.partial), FV_PARTIAL_SPREAD},
        {"optimizer.schedule=constant", offsetof(fv_train_config, optimizer.schedule), FV_SCHEDULE_CONSTANT},
        {"optimizer.schedule=linear", offsetof(fv_train_config, optimizer.schedule), FV_SCHEDULE_LINEAR},
        {"optimizer.schedule=cosine", offsetof(fv_train_config, optimizer.schedule), FV_SCHEDULE_COSINE},
        {"optimizer.on_host=moments", offsetof(fv_train_config, optimizer.adamw.on_host), FV_ON_HOST_MOMENTS},
        {"optimizer.on_host=all", offsetof(fv_train_config, optimizer.adamw.on_host), FV_ON_HOST_ALL},
        {"optimizer.master=split", offsetof(fv_train_config, optimizer.adamw.master), FV_MASTER_SPLIT},
        {"judge.precision=run", offsetof(fv_train_config, judge.precision), FV_JUDGE_AS_RUN},
        {"judge.precision=fp32", offsetof(fv_train_config, judge.precision), FV_JUDGE_FP32},
        {"judge.precision=bf16", offsetof(fv_train_config, judge.precision), FV_JUDGE_BF16},
        {"optimizer.moments=bf16", offsetof(fv_train_config, optimizer.adamw.moments), FV_MOMENTS_BF16},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fv_train_config c;
        assert_ok(read_train(cases[i].override, &c));
        assert_int_equal(*(int *)((char *)&c + cases[i].offset), cases[i].value);
        fv_settings_fini(&fv_train_settings, &c);
    }
}

/* The ends of ranges: the last value that is taken and the first that is not. */
static void test_ends_of_ranges(void **state)
{
    (void)state;
    static const struct {
        const char *taken, *refused, *part;
    } cases[] = {
        {"steps=1", "steps=0", "\"steps\" is 0, expected a whole number, 1 or more"},
        {"seed=0", "seed=-1", "0 or more"},
        {"rollout.temperature=1e-3", "rollout.temperature=0", "a number, above 0"},
        {"rollout.top_p=1", "rollout.top_p=1.001", "a number, above 0, at most 1"},
        {"rollout.top_p=0.001", "rollout.top_p=0", "a number, above 0, at most 1"},
        {"rollout.max_turns=8", "rollout.max_turns=9", "a whole number, 1 to 8"},
        {"reward.tool_penalty_theta=1", "reward.tool_penalty_theta=1.1", "a number, 0 to 1"},
        {"loss.clip_low=0", "loss.clip_low=-0.1", "a number, 0 to 1"},
        {"optimizer.rate=0", "optimizer.rate=-1e-9", "a number, 0 or more"},
        {"optimizer.beta1=0.99", "optimizer.beta1=1", "a number, 0 or more, below 1"},
        {"optimizer.final_share=1", "optimizer.final_share=2", "a number, 0 to 1"},
        {"update.skip_limit=0", "update.skip_limit=-1", "0 or more"},
        {"validate.temperature=0", "validate.temperature=-1", "0 or more"},
        {"threads=1024", "threads=1025", "\"threads\" is 1025, expected a whole number, 0 to 1024"},
        {"views.workers=-1", "views.workers=-2",
         "\"views.workers\" is -2, expected a whole number, -1 to 1024"},
        {"views.workers=1024", "views.workers=1025", "a whole number, -1 to 1024"},
        {"views.cache_megabytes=0", "views.cache_megabytes=-1", "0 or more"},
        {"rollout.pass_tokens=16777216", "rollout.pass_tokens=16777217", "a whole number, 2 to 16777216"},
        {"rollout.cache_pages=33554431", "rollout.cache_pages=33554432", "a whole number, 1 to 33554431"},
        {"judge.pass_tokens=16777216", "judge.pass_tokens=16777217", "a whole number, 1 to 16777216"},
        {"judge.cache_pages=33554431", "judge.cache_pages=33554432", "a whole number, 1 to 33554431"},
        {"update.micro_tokens=16777216", "update.micro_tokens=9223372036854775807",
         "a whole number, 1 to 16777216"},
        {"precision=bf16", "precision=fp16", "\"precision\" is \"fp16\", expected fp32 or bf16"},
        {"judge.precision=run", "judge.precision=fp16", "expected run, fp32 or bf16"},
        {"optimizer.master=split", "optimizer.master=half", "expected whole or split"},
        {"optimizer.moments=bf16", "optimizer.moments=fp16", "expected fp32 or bf16"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fv_train_config c;
        assert_ok(read_train(cases[i].taken, &c));
        fv_settings_fini(&fv_train_settings, &c);
        assert_fails(read_train(cases[i].refused, &c), FV_ERR_FORMAT, cases[i].part);
    }
}

static void test_hints(void **state)
{
    (void)state;
    fv_train_config c;
    assert_fails(read_train("loss.k1=mse", &c), FV_ERR_FORMAT, "did you mean \"loss.kl\"?");
    assert_fails(read_train("eps=1", &c), FV_ERR_FORMAT, "did you mean \"advantage.eps\"?");
    assert_fails(read_train("optimiser.rate=1", &c), FV_ERR_FORMAT, "did you mean \"optimizer.rate\"?");
    assert_fails(read_train("learning_rate=1", &c), FV_ERR_FORMAT,
                 "unknown key \"learning_rate\", expected one of model, out, prompts");
}

static void test_checks(void **state)
{
    (void)state;
    static const struct {
        const char *override, *part;
    } cases[] = {
        {"update.groups=48", "update.groups is 48, but rollout.prompts is 512 = 10 x 48 + 32"},
        {"update.groups=513", "update.groups is 513, but rollout.prompts is 512 = 0 x 513 + 512"},
        {"rollout.max_running=15", "rollout.max_running is 15, expected at least rollout.samples, 16"},
        {"rollout.pass_tokens=127",
         "rollout.pass_tokens is 127, expected at least 2 x rollout.max_running = 2 x 64 = 128"},
        {"rollout.cache_pages=512", "rollout.max_tokens = 32768 tokens may take 513 pages of 64 tokens"},
        {"layout.tensor=3", "layout.tensor is 3, but 4 ranks - layout.judge_ranks 0 = 4 = 1 x 3 + 1"},
        {"layout.tensor=8", "layout.tensor is 8, but 4 ranks - layout.judge_ranks 0 = 4 = 0 x 8 + 4"},
        {"layout.judge_ranks=4", "layout.judge_ranks is 4, but there are 4 ranks: none is left to train"},
        {"layout.judge_ranks=3", "layout.judge_ranks is 3, but only with reward.judge local do ranks judge"},
        {"views.min_pixels=4194305", "views.min_pixels is 4194305, more than views.max_pixels, 4194304"},
        {"optimizer.warmup_steps=11", "optimizer.warmup_steps is 11, more than steps, 10"},
        {"reward.verifier=guess", "reward: there is no verifier \"guess\"; there are exact, number"},
        {"reward.overlong_size=1", "reward: over-long responses from 0 tokens; above 0"},
        {"reward.product=general", "reward.product is general, which has 1 turn, but rollout.max_turns is 2"},
        {"advantage.estimator=ppo", "advantage: there is no estimator \"ppo\"; there are grpo"},
        {"rollout.samples=1", "rollout.samples is 1, but advantage.estimator grpo compares the samples"},
        {"views.prompt=high", "views.prompt is high, so the tool has nothing more to show, but"},
        {"loss.dual_clip=1", "loss: a dual clip of 1; above 1, or 0 for none"},
        {"loss.mean=constant", "loss: sums over tokens are divided by 0; above 0"},
    };
    fv_train_config c;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_ok(read_train(cases[i].override, &c));
        assert_fails(fv_train_config_check(&c, 4), FV_ERR_ARGUMENT, cases[i].part);
        fv_settings_fini(&fv_train_settings, &c);
    }
}

static void check_two(const char *a, const char *b, const char *refusal)
{
    const char *const overrides[] = {a, b};
    fv_train_config c;
    temp_write("c.yaml", REQUIRED);
    assert_ok(fv_settings_read(&fv_train_settings, temp_path("c.yaml"), (const char **)overrides, 2, &c));
    if (refusal)
        assert_fails(fv_train_config_check(&c, 1), FV_ERR_ARGUMENT, refusal);
    else
        assert_ok(fv_train_config_check(&c, 1));
    fv_settings_fini(&fv_train_settings, &c);
}

/* How many samples an estimator needs. */
static void test_answers_of_estimators(void **state)
{
    (void)state;
    const char *const compare[] = {"advantage.estimator=grpo", "advantage.estimator=dr_grpo",
                                   "advantage.estimator=rloo"};
    for (int i = 0; i < 3; i++) {
        check_two(compare[i], "rollout.samples=1", "compares the samples of one prompt: expected at least 2");
        check_two(compare[i], "rollout.samples=2", NULL);
    }
    check_two("advantage.estimator=remax", "rollout.samples=1", NULL);
    check_two("advantage.estimator=remax", "rollout.samples=63", NULL);
    check_two("advantage.estimator=remax", "rollout.samples=64",
              "rollout.max_running is 64, expected at least rollout.samples and a greedy one, 65");
    check_two("advantage.estimator=reinforce_pp", "rollout.samples=1", NULL);
}

/* Printed, read and printed again it is the same text, whose numbers are exact (69_settings). */
static void check_round_trip(const fv_settings *settings, const void *values, void *again)
{
    fv_buffer first = {0}, second = {0};
    assert_ok(fv_settings_print(settings, values, 1, &first));
    temp_write("again.yaml", first.data);
    assert_ok(fv_settings_read(settings, temp_path("again.yaml"), NULL, 0, again));
    assert_ok(fv_settings_print(settings, again, 1, &second));
    assert_string_equal(first.data, second.data);
    fv_settings_fini(settings, again);
    fv_buffer_fini(&first);
    fv_buffer_fini(&second);
}

/* "resume: auto" is short for resume.from; names of accept are those of settings. */
static void test_resume(void **state)
{
    (void)state;
    static const struct {
        const char *file, *override, *from, *accept;
    } cases[] = {
        {"", NULL, "auto", ""},
        {"resume: none\n", NULL, "none", ""},
        {"resume: none\n", "resume=runs/a", "runs/a", ""},
        {"resume: {accept: [optimizer.rate, data.train]}\n", NULL, "auto", "optimizer.rate, data.train"},
        {"resume:\n  from: x\n  accept:\n    - seed\n", "resume.from=y", "y", "seed"},
        {"resume: {accept: seed}\n", NULL, "auto", "seed"},
        {"resume: {accept: seed}\n", "resume.accept=[]", "auto", ""},
        {"resume: {accept: seed}\n", "resume.accept=", "auto", ""},
        {"", "resume.accept=[model, prompts]", "auto", "model, prompts"},
        {"", "resume.accept=model,prompts", "auto", "model, prompts"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fv_train_config c, again;
        char text[300];
        snprintf(text, sizeof text, "%s%s", REQUIRED, cases[i].file);
        temp_write("c.yaml", text);
        assert_ok(fv_settings_read(&fv_train_settings, temp_path("c.yaml"), &cases[i].override,
                                   cases[i].override != NULL, &c));
        assert_ok(fv_train_config_check(&c, 1));
        assert_string_equal(c.resume.from, cases[i].from);
        assert_string_equal(c.resume.accept, cases[i].accept);
        check_round_trip(&fv_train_settings, &c, &again);
        fv_settings_fini(&fv_train_settings, &c);
    }
}

static void test_accept_is_refused(void **state)
{
    (void)state;
    fv_train_config c;
    assert_fails(read_train("resume.accept=3", &c), FV_ERR_FORMAT, "\"resume.accept\" is 3, expected a list");
    assert_fails(read_train("resume.accept={a: b}", &c), FV_ERR_FORMAT, "expected a list of names");
    assert_fails(read_train("resume.accept=[seed, [a]]", &c), FV_ERR_FORMAT, "expected a list of names");
    assert_fails(read_train("resume.accept=a;b", &c), FV_ERR_FORMAT, "expected a list of names");
    assert_fails(read_train("resume.acept=seed", &c), FV_ERR_FORMAT, "did you mean \"resume.accept\"?");
    static const char *const unknown[][2] = {
        {"resume.accept=optimizer.rates", "resume.accept: unknown key \"optimizer.rates\", did you mean"},
        {"resume.accept=[seed, rate]", "did you mean \"optimizer.rate\"?"},
        {"resume.accept=data", "resume.accept: \"data\" is a section"},
    };
    for (int i = 0; i < 3; i++) {
        assert_ok(read_train(unknown[i][0], &c));
        assert_fails(fv_train_config_check(&c, 1), FV_ERR_FORMAT, unknown[i][1]);
        assert_fails(fv_sft_config_check(&c, 1), FV_ERR_FORMAT, unknown[i][1]);
        fv_settings_fini(&fv_train_settings, &c);
    }
}

static void test_edges_of_checks(void **state)
{
    (void)state;
    static const char *const cases[] = {"update.groups=512",        "rollout.max_running=16",
                                        "rollout.pass_tokens=128",  "rollout.cache_pages=513",
                                        "layout.tensor=4",          "views.min_pixels=4194304",
                                        "optimizer.warmup_steps=10"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fv_train_config c;
        assert_ok(read_train(cases[i], &c));
        assert_ok(fv_train_config_check(&c, 4));
        fv_settings_fini(&fv_train_settings, &c);
    }
}

static const char *config_path(const char *name)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s/../../configs/train/%s", getenv("TEST_DATA"), name);
    return path;
}

static void read_config(const char *name, int n_ranks, fv_train_config *c)
{
    fv_train_config again;
    assert_ok(fv_settings_read(&fv_train_settings, config_path(name), NULL, 0, c));
    assert_ok(fv_train_config_check(c, n_ranks));
    check_round_trip(&fv_train_settings, c, &again);
}

static void test_files(void **state)
{
    (void)state;
    fv_train_config c;
    read_config("visionthink-efficient.yaml", 32, &c);
    assert_int_equal(c.rollout.max_turns, 2);
    assert_int_equal(c.layout.tensor, 2);
    assert_true(c.optimizer.adamw.decay_all);
    fv_settings_fini(&fv_train_settings, &c);
    read_config("visionthink-general.yaml", 32, &c);
    assert_int_equal(c.rollout.max_turns, 1);
    assert_int_equal(c.views.prompt, FV_VIEW_HIGH);
    assert_int_equal(c.reward.tool_penalty.kind, FV_TOOL_PENALTY_NONE);
    fv_settings_fini(&fv_train_settings, &c);
    read_config("tiny.yaml", 2, &c);
    assert_int_equal(c.run.steps, 20);
    fv_settings_fini(&fv_train_settings, &c);
    read_config("glance.yaml", 2, &c);
    assert_int_equal(c.run.steps, 64);
    fv_settings_fini(&fv_train_settings, &c);
}

static void test_constant_rate(void **state)
{
    (void)state;
    const fv_optimizer_config flat = {.rate = 3e-4, .final_share = 0.1};
    for (int64_t step = 1; step <= 5; step++)
        assert_true(fv_rate_at(&flat, step, 5) == 3e-4);
    const fv_optimizer_config warm = {.rate = 8, .warmup_steps = 4};
    const double expected[] = {2, 4, 6, 8, 8, 8};
    for (int64_t step = 1; step <= 6; step++)
        assert_true(fv_rate_at(&warm, step, 6) == expected[step - 1]);
}

static void test_falling_rates(void **state)
{
    (void)state;
    const fv_optimizer_config line = {.rate = 4, .schedule = FV_SCHEDULE_LINEAR};
    const fv_optimizer_config warm = {
        .rate = 4, .warmup_steps = 2, .schedule = FV_SCHEDULE_LINEAR, .final_share = 0.5};
    const fv_optimizer_config cosine = {
        .rate = 4, .warmup_steps = 2, .schedule = FV_SCHEDULE_COSINE, .final_share = 0.5};
    const double of_line[] = {4, 3, 2, 1}, of_warm[] = {2, 4, 3.5, 3, 2.5};
    for (int64_t step = 1; step <= 4; step++)
        assert_true(fv_rate_at(&line, step, 4) == of_line[step - 1]);
    for (int64_t step = 1; step <= 5; step++) {
        double part = step < 2 ? 0 : (double)(step - 2) / 4;
        assert_true(fv_rate_at(&warm, step, 5) == of_warm[step - 1]);
        double expected = step == 1 ? 2 : 4 * (0.5 + 0.5 * 0.5 * (1 + cos(part * 3.14159265358979)));
        assert_true(fabs(fv_rate_at(&cosine, step, 5) - expected) < 1e-12);
    }
}

static void test_every_step_trains(void **state)
{
    (void)state;
    for (int schedule = FV_SCHEDULE_CONSTANT; schedule <= FV_SCHEDULE_COSINE; schedule++)
        for (int64_t steps = 1; steps <= 8; steps++)
            for (int64_t warmup = 0; warmup <= steps; warmup++)
                for (int64_t step = 1; step <= steps; step++) {
                    fv_optimizer_config c = {
                        .rate = 1e-6, .warmup_steps = warmup, .schedule = (fv_schedule)schedule};
                    assert_true(fv_rate_at(&c, step, steps) > 0);
                    assert_true(fv_rate_at(&c, step, steps) <= 1e-6);
                }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_choices),
        cmocka_unit_test(test_ends_of_ranges),
        cmocka_unit_test(test_hints),
        cmocka_unit_test(test_checks),
        cmocka_unit_test(test_answers_of_estimators),
        cmocka_unit_test(test_edges_of_checks),
        cmocka_unit_test(test_resume),
        cmocka_unit_test(test_accept_is_refused),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_constant_rate),
        cmocka_unit_test(test_falling_rates),
        cmocka_unit_test(test_every_step_trains),
    };
    return cmocka_run_group_tests(tests, temp_setup, temp_teardown);
}
