/* Sweeps: which runs a file means, their names, what grows and what does not, refusals. */
#include "temp_folder.h"
#include "test.h"

#include "fovea/base/file.h"
#include "fovea/sweep/sweep.h"

#include <stdlib.h>

static char path[128], config[128];

static fv_err load(const char *text, fv_sweep *out)
{
    fv_buffer whole = {0};
    assert_ok(fv_buffer_print(&whole, "config: %s\nout: runs/x\n%s", config, text));
    assert_ok(fv_file_write(path, whole.data, whole.size));
    fv_buffer_fini(&whole);
    return fv_sweep_load(path, out);
}

static void assert_runs(const char *text, const char *expected)
{
    fv_sweep sweep;
    fv_buffer names = {0};
    assert_ok(load(text, &sweep));
    for (int i = 0; i < sweep.n_runs; i++)
        assert_ok(fv_buffer_print(&names, "%s ", sweep.runs[i].name));
    assert_string_equal(names.data, expected);
    fv_buffer_fini(&names);
    fv_sweep_fini(&sweep);
}

static void test_runs(void **state)
{
    (void)state;
    assert_runs("grid: {seed: [1, 2], optimizer.rate: [1e-4, 0.5]}\n",
                "seed=1_rate=0.0001 seed=1_rate=0.5 seed=2_rate=0.0001 seed=2_rate=0.5 ");
    assert_runs("grid: {judge.deadline_s: [120.0, 1e6, 2.5, 1e-7]}\n",
                "deadline_s=120 deadline_s=1000000 deadline_s=2.5 deadline_s=1e-07 ");
    assert_runs("grid: {seed: [1, 2]}\nlist: [{seed: 3, steps: 9}, {seed: 2}]\n",
                "seed=1 seed=2 seed=3_steps=9 ");
    assert_runs("grid: {seed: [1, 2], steps: [3, 4]}\nexcept: [{seed: 1, steps: 4}, {seed: 2, steps: 3}]\n",
                "seed=1_steps=3 seed=2_steps=4 ");
    assert_runs("grid: {update.groups: [2], sft.answer: [a/b]}\nname: 'g{update.groups}-{sft.answer}'\n",
                "g2-a-b ");
    assert_runs("grid: {rollout.prompts: [8], sft.plain_prompts: [x]}\n", "prompts=8_plain_prompts=x ");
}

/* Draws do not depend on how many there are; reals have four digits. */
static void test_random(void **state)
{
    fv_sweep few, many;
    (void)state;
    const char *draws =
        "values: {optimizer.rate: {from: 1e-5, to: 1e-3, scale: log}, rollout.samples: [4, 8], "
        "seed: {from: 1, to: 1000}}";
    char text[512];
    snprintf(text, sizeof text, "random: {runs: 5, seed: 7, %s}\n", draws);
    assert_ok(load(text, &few));
    snprintf(text, sizeof text, "random: {runs: 40, seed: 7, %s}\n", draws);
    assert_ok(load(text, &many));
    assert_int_equal(few.n_runs, 5);
    assert_int_equal(many.n_runs, 40);
    int n_low = 0;
    for (int i = 0; i < many.n_runs; i++) {
        double rate;
        assert_ok(fv_json_require_real(many.runs[i].values, "optimizer.rate", &rate));
        assert_true(rate >= 1e-5 && rate <= 1e-3);
        n_low += rate < 1e-4;
        if (i < few.n_runs)
            assert_string_equal(few.runs[i].name, many.runs[i].name);
    }
    assert_in_range(n_low, 10, 30);
    fv_sweep_fini(&few);
    fv_sweep_fini(&many);
}

static void test_arguments(void **state)
{
    fv_sweep sweep;
    fv_buffer text = {0};
    char expected[8192];
    (void)state;
    assert_ok(load("set: {steps: 5, seed: 3}\ngrid: {seed: [1], update.recompute: [true]}\n", &sweep));
    assert_ok(fv_sweep_arguments(&sweep, &sweep.runs[0], '|', &text));
    snprintf(expected, sizeof expected,
             "train|%s|out=runs/x/seed=1_recompute=true|steps=5|seed=1|update.recompute=true|", config);
    assert_string_equal(text.data, expected);
    fv_buffer_fini(&text);
    fv_sweep_fini(&sweep);
}

static void test_refusals(void **state)
{
    static const struct {
        const char *text, *part;
    } cases[] = {{"gird: {seed: [1]}\n", "unknown key \"gird\" in a sweep"},
                 {"grid: {seed: []}\n", "seed is not a list of values"},
                 {"grid: {sede: [1]}\n", "run sede=1: on the command line: unknown key \"sede\""},
                 {"grid: {seed: [a]}\n", "run seed=a: "},
                 {"grid: {out: [a]}\n", "out is set by the sweep"},
                 {"grid: {seed: [1, 2]}\nname: x\n", "two runs are called \"x\""},
                 {"grid: {seed: [1]}\nname: '{steps}'\n", "a run has no \"steps\" of its own"},
                 {"grid: {seed: [1]}\nexcept: [{seed: 1}]\n", "no run is left"},
                 {"grid: {seed: [1]}\nbest: most\n", "best is \"most\", expected largest or smallest"},
                 {"random: {runs: 2, values: {seed: 3}}\n", "seed is neither a list of values nor a range"},
                 {"random: {runs: 2, values: {seed: {from: 3, to: 1}}}\n", "from 3 to 1 is no linear range"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fv_sweep sweep;
        assert_fails(load(cases[i].text, &sweep), FV_ERR_FORMAT, cases[i].part);
        assert_non_null(strstr(fv_error_text(), path));
    }
}

static int set_up(void **state)
{
    static const char text[] = "model: m\nout: o\nprompts: p\nsteps: 1\ndata: {train: t}\n";
    if (temp_setup(state) != 0)
        return -1;
    snprintf(path, sizeof path, "%s/sweep.yaml", temp_root);
    snprintf(config, sizeof config, "%s/config.yaml", temp_root);
    return fv_file_write(config, text, sizeof text - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_runs), cmocka_unit_test(test_random),
                                       cmocka_unit_test(test_arguments), cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, set_up, temp_teardown);
}
