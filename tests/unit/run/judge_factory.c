/* The judge of a configuration: its log has the verdicts of this very judge, back end and precision included.
 */
#include "judge_case.h"
#include "model_case.h"

#include "fovea/run/judge_factory.h"

enum { N = 12 };

static fv_train_config config;
static fv_backend *backend;
static char model[64], prompt[64], logged[64], verifier[] = "exact", program[] = "";

static int setup(void **state)
{
    const fv_added_token special[] = {{"<|endoftext|>", 256}, {"<|im_start|>", 257}, {"<|im_end|>", 258}};
    if (case_setup(state) != 0 || fv_backend_cpu_create(NULL, 2, &backend) != FV_OK)
        return -1;
    snprintf(model, sizeof model, "%s", temp_path("tiny-qwen3"));
    snprintf(prompt, sizeof prompt, "%s", temp_path("judge.yaml"));
    snprintf(logged, sizeof logged, "%s", temp_path("verdicts"));
    temp_write("judge.yaml", "system: Be fair.\nuser: 'Q {question} T {truth} A {answer}'\nverdict: score\n");
    config.reward.verifier = verifier;
    config.judge = (fv_judge_config){.prompt = prompt,
                                     .api = {.model = model, .in_flight = 4},
                                     .local = {.pass_tokens = 256, .cache_pages = 32},
                                     .program = program,
                                     .log = logged,
                                     .log_verdicts = 1000};
    return fv_tokenizer_write_bytes(model, special, 3) != FV_OK;
}

static int teardown(void **state)
{
    fv_backend_destroy(backend);
    return case_teardown(state);
}

/* Of how many cases a run that computes so has a verdict. */
static int n_judged(fv_judge_choice judge, fv_backend_kind kind, fv_precision_choice precision, judged *cases)
{
    static char answers[N][16];
    const fv_judge_asker asker = {.n = 1, .backend = backend};
    fv_judge *made;
    int n = 0;
    config.reward.judge = judge;
    config.run.backend = kind;
    config.run.precision = precision;
    assert_ok(fv_judge_factory_create(&config, &asker, &made));
    for (int i = 0; i < N; i++) {
        snprintf(answers[i], sizeof answers[i], "It is %d.", i * 7919);
        judged_ask(made, &cases[i], answers[i], "7");
    }
    assert_ok(fv_judge_collect(made));
    fv_judge_destroy(made);
    for (int i = 0; i < N; i++)
        n += cases[i].verdict.has_verdict;
    return n;
}

static void test_a_log_is_of_one_judge(void **state)
{
    judged first[N], again[N];
    (void)state;
    assert_int_equal(n_judged(FV_JUDGE_LOCAL, FV_BACKEND_CPU, FV_PRECISION_BF16, first), N);
    assert_int_equal(n_judged(FV_JUDGE_REPLAY, FV_BACKEND_CPU, FV_PRECISION_BF16, again), N);
    for (int i = 0; i < N; i++)
        assert_string_equal(judged_outcome(&again[i]), judged_outcome(&first[i]));
    assert_int_equal(n_judged(FV_JUDGE_REPLAY, FV_BACKEND_CUDA, FV_PRECISION_BF16, again), 0);
    assert_string_equal(judged_outcome(&again[0]), "unknown");
    assert_int_equal(n_judged(FV_JUDGE_REPLAY, FV_BACKEND_CPU, FV_PRECISION_FP32, again), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_log_is_of_one_judge)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
