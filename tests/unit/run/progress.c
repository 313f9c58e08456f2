/* The back end of a run that goes on: another one is told, and the step under way begins anew. */
#include "test.h"

#include "fovea/run/progress.h"

#include <stdlib.h>

static fv_progress progress_of(char *config)
{
    return (fv_progress){.next_prompt = 6, .sampling_round = 1, .config = config};
}

/* What is told of going on, and what is idle. */
static void check(const char *accept, const char *told, const char *not_needed)
{
    fv_buffer accepted = {0}, idle = {0};
    const fv_progress saved = progress_of("seed: 1\nbackend: cpu\nsave:\n  every: 1\n"),
                      now = progress_of("seed: 1\nbackend: cuda\nsave:\n  every: 1\n");
    assert_ok(fv_progress_check(&saved, &now, accept, &accepted, &idle));
    assert_string_equal(accepted.size ? accepted.data : "", told);
    assert_string_equal(idle.size ? idle.data : "", not_needed);
    fv_buffer_fini(&accepted);
    fv_buffer_fini(&idle);
}

static void test_told(void **state)
{
    (void)state;
    check("", "backend is cuda, was cpu", "");
    check("backend", "backend is cuda, was cpu", "");
    check("seed", "backend is cuda, was cpu", "seed");
}

static void test_begun_anew(void **state)
{
    (void)state;
    fv_progress saved = progress_of("seed: 1\nbackend: cuda\n"),
                same = progress_of("seed: 1\nbackend: cuda\n"),
                other = progress_of("seed: 1\nbackend: cpu\n");
    assert_ok(fv_progress_adopt(&saved, &same, ""));
    assert_int_equal(saved.sampling_round, 1);
    assert_ok(fv_progress_adopt(&saved, &other, ""));
    assert_int_equal(saved.sampling_round, 0);
}

static void test_others_are_refused(void **state)
{
    (void)state;
    fv_buffer accepted = {0}, idle = {0};
    const fv_progress saved = progress_of("seed: 1\nbackend: cpu\n"),
                      now = progress_of("seed: 2\nbackend: cuda\n");
    assert_fails(fv_progress_check(&saved, &now, "", &accepted, &idle), FV_ERR_ARGUMENT,
                 "other settings: seed is 2, was 1; go on");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_told), cmocka_unit_test(test_begun_anew),
                                       cmocka_unit_test(test_others_are_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
