/* What a line about progress says, as far as it is known. */
#include "test.h"

#include "fovea/base/meter.h"

#include <string.h>

static void check(fv_meter meter, const char *expected)
{
    char text[256];
    fv_meter_print(&meter, text, sizeof text);
    assert_string_equal(text, expected);
}

static void test_lines(void **state)
{
    (void)state;
    check((fv_meter){0}, "");
    check((fv_meter){.unit = "step", .total = 140}, "step 0 of 140");
    check((fv_meter){.unit = "step", .total = 140, .phase = "verdicts"}, "step 0 of 140 | verdicts");
    check((fv_meter){.unit = "step",
                     .first = 2,
                     .done = 4,
                     .total = 10,
                     .whole_s = 100,
                     .since_s = 50,
                     .phase = "rollout",
                     .phase_done = 3,
                     .phase_total = 8,
                     .tokens = 1000,
                     .phase_s = 4},
          "step 4 of 10 | rollout 37 % | 250 tokens/s | 4 min 10 s left");
    check((fv_meter){.phase = "rollout", .phase_done = 1, .phase_total = 4, .phase_s = 3.1},
          "rollout 25 % | 9 s left");
    check((fv_meter){.phase = "rows", .phase_done = 12, .phase_s = 3}, "rows 12");
}

static void test_time_left(void **state)
{
    (void)state;
    fv_meter m = {.unit = "row", .done = 1, .total = 2, .whole_s = 7260};
    check(m, "row 1 of 2 | 2 h 1 min left");
    m.whole_s = 2 * 86400 + 3 * 3600 + 100;
    check(m, "row 1 of 2 | 2 d 3 h left");
    m.since_s = 1e9;
    check(m, "row 1 of 2 | 0 s left");
}

static void test_short_of_room(void **state)
{
    (void)state;
    char text[12];
    fv_meter_print(&(fv_meter){.unit = "step", .total = 140, .phase = "rollout", .phase_total = 3}, text,
                   sizeof text);
    assert_string_equal(text, "step 0 of 1");
}

static void check_width(size_t width, const char *expected)
{
    const fv_meter m = {.unit = "step",
                        .done = 4,
                        .total = 1000,
                        .whole_s = 400,
                        .phase = "rollout",
                        .phase_done = 3,
                        .phase_total = 8,
                        .tokens = 14000,
                        .phase_s = 4};
    char text[256];
    fv_meter_print(&m, text, width);
    assert_string_equal(text, expected);
}

/* Whatever the width, the time that is left stays. */
static void test_what_stays(void **state)
{
    (void)state;
    check_width(66, "step 4 of 1000 | rollout 37 % | 3500 tokens/s | 1 d 3 h left");
    check_width(61, "step 4 of 1000 | rollout 37 % | 3500 tokens/s | 1 d 3 h left");
    check_width(60, "step 4 of 1000 | rollout 37 % | 1 d 3 h left");
    check_width(40, "step 4 of 1000 | 1 d 3 h left");
    check_width(30, "step 4 of 1000 | 1 d 3 h left");
    check_width(29, "1 d 3 h left");
    check_width(6, "1 d 3");
    check_width(1, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lines), cmocka_unit_test(test_time_left),
                                       cmocka_unit_test(test_short_of_room),
                                       cmocka_unit_test(test_what_stays)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
