#include "test.h"

#include "fovea/base/arena.h"
#include "fovea/base/buffer.h"
#include "fovea/base/rng.h"
#include "fovea/base/text/shown.h"
#include "fovea/base/text/utf8.h"

#include <string.h>

static void test_arena_dry_counts_what_the_real_one_takes(void **state)
{
    (void)state;
    fv_arena dry = fv_arena_dry("dry");
    void *out;
    assert_ok(fv_arena_take(&dry, 1, &out));
    assert_non_null(out);
    assert_ok(fv_arena_take(&dry, 300, &out));
    assert_int_equal(dry.used, 768);
    static _Alignas(256) unsigned char memory[768];
    fv_arena real = fv_arena_over("real", memory, sizeof memory);
    assert_ok(fv_arena_take(&real, 1, &out));
    assert_ptr_equal(out, memory);
    size_t mark = fv_arena_mark(&real);
    assert_ok(fv_arena_take(&real, 300, &out));
    assert_fails(fv_arena_take(&real, 1, &out), FV_ERR_MEMORY, "arena real: 1 bytes wanted, 0 of 768 free");
    fv_arena_release(&real, mark);
    assert_ok(fv_arena_take(&real, 1, &out));
    assert_int_equal(real.peak, 768);
}

static void test_rng_draws_differ_by_index_and_by_key(void **state)
{
    (void)state;
    uint32_t a[4], b[4];
    fv_rng_key key = {0};
    fv_rng_words(key, 0, a);
    fv_rng_words(key, 1, b);
    assert_memory_not_equal(a, b, sizeof a);
    key.sample = 1;
    fv_rng_words(key, 0, b);
    assert_memory_not_equal(a, b, sizeof a);
}

static void test_uniform_and_normal_have_the_right_moments(void **state)
{
    (void)state;
    fv_rng_key key = {.seed = 7, .step = 3};
    enum { N = 100000 };
    double sum = 0, normal = 0, square = 0;
    for (uint32_t i = 0; i < N; i++) {
        float u = fv_rng_uniform(key, i);
        assert_true(u >= 0.0f && u < 1.0f);
        float z = fv_rng_normal(key, i);
        sum += u;
        normal += z;
        square += (double)z * z;
    }
    assert_true(sum / N > 0.495 && sum / N < 0.505);
    assert_true(normal / N > -0.02 && normal / N < 0.02);
    assert_true(square / N > 0.98 && square / N < 1.02);
}

static void test_utf8_replaces_each_bad_part_once(void **state)
{
    (void)state;
    fv_buffer out = {0};
    /* Valid, overlong, surrogate (three parts), truncated four-byte form. */
    const char text[] = "a\xC3\xA9|\xC0\x80|\xED\xA0\x80|\xF0\x9F\x98";
    assert_ok(fv_buffer_append_valid(&out, text, sizeof text - 1));
    assert_string_equal(out.data, "a\xC3\xA9|\xEF\xBF\xBD\xEF\xBF\xBD|\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD|"
                                  "\xEF\xBF\xBD");
    fv_buffer_fini(&out);
}

static void test_utf8_round_trip_of_every_scalar_value(void **state)
{
    (void)state;
    for (uint32_t code = 0; code < 0x110000; code++) {
        if (code >= 0xD800 && code < 0xE000)
            continue;
        char bytes[4];
        uint32_t back = 0;
        int length = fv_utf8_encode(code, bytes);
        assert_int_equal(fv_utf8_decode(bytes, (size_t)length, &back), length);
        assert_int_equal(back, code);
        if (length > 1)
            assert_int_equal(fv_utf8_decode(bytes, (size_t)length - 1, NULL), 0);
    }
}

static void test_error_keeps_sentence_and_trace(void **state)
{
    (void)state;
    assert_int_equal(FV_FAIL(FV_ERR_IO, "cannot read %s", "x"), FV_ERR_IO);
    fv_error_pass(FV_ERR_IO, "outer");
    fv_error_prefix(FV_ERR_IO, "file %d", 3);
    assert_string_equal(fv_error_text(), "file 3: cannot read x");
    assert_string_equal(fv_error_trace(), "test_error_keeps_sentence_and_trace < outer");
}

static void check_shown(const char *text, size_t size, const char *expected)
{
    char out[64];
    fv_shown_line(text, out, size);
    assert_string_equal(out, expected);
}

static void test_controls_are_shown(void **state)
{
    (void)state;
    check_shown("a\x1b[31m\r\n\t\x7f\x01", 64, "a\\x1b[31m\\r\\n\\t\\x7f\\x01");
    check_shown("\xC3\xA9 \xE4\xB8\xAD \xF0\x9F\x98\x80 \\", 64, "\xC3\xA9 \xE4\xB8\xAD \xF0\x9F\x98\x80 \\");
    check_shown("\xC2\x9B\xE2\x80\xAE\xE2\x80\xA8\xEF\xBB\xBF\xE2\x81\xA6", 64,
                "\\u009b\\u202e\\u2028\\ufeff\\u2066");
    check_shown("\x9B\xFF\xC3(", 64, "\\x9b\\xff\\xc3(");
    check_shown("cut \xE4\xB8", 64, "cut "); /* the rest of it is not there */
    check_shown("abc\n", 5, "abc");
    check_shown("abc\n", 6, "abc\\n");
    check_shown("", 1, "");
    (void)FV_FAIL(FV_ERR_IO, "%s: \x1b]0;title\x07", "a\nb");
    assert_string_equal(fv_error_text(), "a\\nb: \\x1b]0;title\\x07");
    (void)fv_error_prefix(FV_ERR_IO, "\x1b%s", fv_error_text());
    assert_string_equal(fv_error_text(), "\\x1ba\\nb: \\x1b]0;title\\x07: a\\nb: \\x1b]0;title\\x07");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arena_dry_counts_what_the_real_one_takes),
        cmocka_unit_test(test_rng_draws_differ_by_index_and_by_key),
        cmocka_unit_test(test_uniform_and_normal_have_the_right_moments),
        cmocka_unit_test(test_utf8_replaces_each_bad_part_once),
        cmocka_unit_test(test_utf8_round_trip_of_every_scalar_value),
        cmocka_unit_test(test_error_keeps_sentence_and_trace),
        cmocka_unit_test(test_controls_are_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
