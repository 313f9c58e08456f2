#include "test.h"

#include "fovea/io/yaml.h"

static fv_err parse(const char *text, fv_yaml **out)
{
    return fv_yaml_parse(text, strlen(text), "t.yaml", out);
}

static void check_json(const char *text, const char *expected)
{
    fv_yaml *yaml = NULL;
    fv_buffer json = {0};
    assert_ok(parse(text, &yaml));
    assert_ok(fv_json_print(fv_yaml_root(yaml), 0, &json));
    assert_string_equal(json.data, expected);
    fv_buffer_fini(&json);
    fv_yaml_destroy(yaml);
}

static void test_scalars_have_core_schema_types(void **state)
{
    (void)state;
    check_json("[1, -2, +3, 0o17, 0xff, 25e-2, .5, 3., -1.5E+2]",
               "[1, -2, 3, 15, 255, 0.25, 0.5, 3.0, -150.0]");
    check_json("[true, False, ~, null, '']", "[true, false, null, null, \"\"]");
    check_json("[yes, no, on, 1_000, 1e, '1', \"true\", 2026-01-02, 1.2.3]",
               "[\"yes\", \"no\", \"on\", \"1_000\", \"1e\", \"1\", \"true\", \"2026-01-02\", \"1.2.3\"]");
    check_json("a: |\n  two\n  lines\nb: >-\n  one\n  line\nc:\n",
               "{\"a\": \"two\\nlines\\n\", \"b\": \"one line\", \"c\": null}");
    check_json("", "null");
    check_json("# only a comment\n", "null");
    check_json("{a: {b: [1, {c: 2}]}}", "{\"a\": {\"b\": [1, {\"c\": 2}]}}");
}

static void test_lines(void **state)
{
    (void)state;
    fv_yaml *yaml = NULL;
    assert_ok(parse("a: 1\nb:\n  c: true\n  d:\n    - x\n    - y\n", &yaml));
    const fv_json *root = fv_yaml_root(yaml), *b = fv_json_get(root, "b");
    assert_int_equal(fv_yaml_line(yaml, root, "a", 0), 1);
    assert_int_equal(fv_yaml_line(yaml, root, "b", 0), 2);
    assert_int_equal(fv_yaml_line(yaml, b, "c", 0), 3);
    assert_int_equal(fv_yaml_line(yaml, fv_json_get(b, "d"), NULL, 1), 6);
    assert_int_equal(fv_yaml_line(yaml, b, "none", 0), 0);
    fv_yaml_destroy(yaml);
}

static void test_refusals_have_a_place(void **state)
{
    (void)state;
    static const struct {
        const char *text, *part;
    } cases[] = {
        {"a: 1\na: 2\n", "t.yaml:2:1: key \"a\" is there twice"},
        {"a: &x 1\n", "t.yaml:1:4: anchors and tags"},
        {"a: &x [1]\nb: *x\n", "t.yaml:1:4: anchors and tags"},
        {"a: *x\n", "t.yaml:1:4: aliases"},
        {"a: !!str 1\n", "anchors and tags"},
        {"a: 1\n---\nb: 2\n", "t.yaml:2:1: a second document begins"},
        {"? [1]\n: 2\n", "a key must be one word"},
        {"a:\n\t- 1\n", "t.yaml:2:1: not valid YAML"},
        {"a: [1, 2\n", "not valid YAML"},
        {"a: .nan\n", ".nan is not a finite number"},
        {"a: 1e999\n", "1e999 is too large"},
        {"a: 9223372036854775808\n", "does not fit 64 bits"},
        {"a: \xff\n", "not valid YAML"},
        {"\"a\\0b\": 1\n", "a key holds a NUL"},
    };
    fv_yaml *yaml = NULL;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_fails(parse(cases[i].text, &yaml), FV_ERR_FORMAT, cases[i].part);
        assert_null(yaml);
    }
}

static void test_deep_nesting_is_refused(void **state)
{
    (void)state;
    char text[200];
    fv_yaml *yaml = NULL;
    memset(text, '[', 64);
    memset(text + 64, ']', 64);
    text[128] = '\0';
    assert_ok(parse(text, &yaml));
    fv_yaml_destroy(yaml);
    memset(text, '[', 65);
    memset(text + 65, ']', 65);
    text[130] = '\0';
    assert_fails(parse(text, &yaml), FV_ERR_FORMAT, "nested more than 64 levels");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scalars_have_core_schema_types),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_refusals_have_a_place),
        cmocka_unit_test(test_deep_nesting_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
