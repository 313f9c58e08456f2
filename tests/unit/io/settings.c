/* Settings: every kind of value read, refused, overridden, written and read again. */
#include "temp_folder.h"

#include "fovea/io/settings/settings.h"

#include <limits.h>
#include <math.h>

typedef enum colour { RED, GREEN, BLUE } colour;

typedef struct inner {
    int count;
    double share;
    colour colour;
    int is_on;
} inner;

typedef struct outer {
    char *name, *folder;
    int64_t seed;
    float rate;
    int steps;
    inner paint;
} outer;

static const char *const colours[] = {"red", "green", "blue", NULL};

#define OUTER(member) FV_SETTING_AT(outer, member)
static const fv_setting outer_fields[] = {
    {"name", FV_SETTING_TEXT, OUTER(name), "a name", {0, 20}},
    {"folder", FV_SETTING_PATH, OUTER(folder), "where it is", {1, INFINITY}},
    {"seed", FV_SETTING_INTEGER, OUTER(seed), "of draws", {-INFINITY, INFINITY}},
    {"rate", FV_SETTING_REAL, OUTER(rate), "of change", {0, INFINITY, .above_min = 1}},
    {"steps", FV_SETTING_INTEGER, OUTER(steps), "how many", {1, INFINITY}},
    {0},
};

#define INNER(member) FV_SETTING_AT(inner, member)
static const fv_setting inner_fields[] = {
    {"count", FV_SETTING_INTEGER, INNER(count), "of pots", {2, 8}},
    {"share", FV_SETTING_REAL, INNER(share), "of water", {-0.5, 1, .below_max = 1}},
    {"colour", FV_SETTING_CHOICE, INNER(colour), "of paint", .names = colours},
    {"is_on", FV_SETTING_SWITCH, INNER(is_on), "whether it is used"},
    {0},
};

static const fv_settings_section sections[] = {
    {"", 0, outer_fields}, {"paint", offsetof(outer, paint), inner_fields}, {0}};
static const outer defaults = {
    .name = "it's", .seed = -3, .rate = 0.1F, .paint = {.count = 4, .share = 0.25, .colour = BLUE}};
static const fv_settings settings = {sizeof(outer), &defaults, sections};

#define REQUIRED "folder: /f\nsteps: 3\n"

static fv_err read_with(const char *text, const char *override, outer *out)
{
    temp_write("s.yaml", text);
    return fv_settings_read(&settings, temp_path("s.yaml"), &override, override ? 1 : 0, out);
}

static void test_defaults_stay(void **state)
{
    (void)state;
    outer o;
    assert_ok(read_with(REQUIRED, NULL, &o));
    assert_string_equal(o.name, "it's");
    assert_string_equal(o.folder, "/f");
    assert_int_equal(o.seed, -3);
    assert_true(o.rate == 0.1F);
    assert_int_equal(o.steps, 3);
    assert_int_equal(o.paint.count, 4);
    assert_true(o.paint.share == 0.25);
    assert_int_equal(o.paint.colour, BLUE);
    assert_int_equal(o.paint.is_on, 0);
    fv_settings_fini(&settings, &o);
    assert_null(o.name);
}

static void test_file_is_read(void **state)
{
    (void)state;
    outer o;
    assert_ok(read_with("paint:\n  is_on: true\n  colour: green\n  share: -0.5\n  count: 8\n"
                        "steps: 2147483647\nrate: 3\nseed: -9223372036854775808\nfolder: 'x y'\nname: ''\n",
                        NULL, &o));
    assert_string_equal(o.name, "");
    assert_string_equal(o.folder, "x y");
    assert_true(o.seed == INT64_MIN);
    assert_true(o.rate == 3);
    assert_int_equal(o.steps, INT_MAX);
    assert_int_equal(o.paint.count, 8);
    assert_true(o.paint.share == -0.5);
    assert_int_equal(o.paint.colour, GREEN);
    assert_int_equal(o.paint.is_on, 1);
    fv_settings_fini(&settings, &o);
}

/* What a file is told; each ends the file after the required keys, so the line is 3 or later. */
static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *text, *part;
    } cases[] = {
        {"paint: {count: 9}\n", "s.yaml:3: \"paint.count\" is 9, expected a whole number, 2 to 8"},
        {"paint:\n  count: 1\n", "s.yaml:4: \"paint.count\" is 1, expected a whole number, 2 to 8"},
        {"paint: {count: 4.0}\n", "\"paint.count\" is 4.0, expected a whole number"},
        {"paint: {count: '4'}\n", "\"paint.count\" is \"4\", expected a whole number"},
        {"paint: {count: [4]}\n", "\"paint.count\" is [4], expected a whole number"},
        {"paint: {count: }\n", "\"paint.count\" is null, expected a whole number"},
        {"paint: {count: 4294967298}\n", "\"paint.count\" is 4294967298, expected a whole number, 2 to 8"},
        {"paint: {share: 1}\n", "\"paint.share\" is 1, expected a number, -0.5 or more, below 1"},
        {"paint: {share: -0.51}\n", "\"paint.share\" is -0.51, expected a number, -0.5 or more, below 1"},
        {"paint: {share: half}\n", "\"paint.share\" is \"half\", expected a number"},
        {"paint: {share: true}\n", "\"paint.share\" is true, expected a number"},
        {"paint: {colour: pink}\n", "\"paint.colour\" is \"pink\", expected red, green or blue"},
        {"paint: {colour: 1}\n", "\"paint.colour\" is 1, expected red, green or blue"},
        {"paint: {is_on: yes}\n", "\"paint.is_on\" is \"yes\", expected true or false"},
        {"paint: {is_on: 1}\n", "\"paint.is_on\" is 1, expected true or false"},
        {"rate: 0\n", "s.yaml:3: \"rate\" is 0, expected a number, above 0"},
        {"rate: 1e-60\n", "\"rate\" is 1e-60, expected a number, above 0"},
        {"rate: 1e60\n", "\"rate\" is 1e+60, expected a number, above 0"},
        {"name: 5\n", "\"name\" is 5, expected a text"},
        {"name: 123456789012345678901\n", "s.yaml:3:7: the number 123456789012345678901 does not fit"},
        {"name: \"a\\tb\"\n",
         "\"name\" has control characters or invalid UTF-8, expected a text of one line"},
        {"name: |\n  a\n  b\n", "\"name\" has control characters"},
        {"name: \"\\u2028\"\n", "\"name\" has control characters"},
        {"name: \"\\u2029\"\n", "\"name\" has control characters"},
        {"name: \"\\uFEFF\"\n", "\"name\" has control characters"},
        {"paint: 3\n", "s.yaml:3: \"paint\" is 3, expected keys with values"},
        {"paint:\n", "s.yaml:3: \"paint\" is null, expected keys with values"},
        {"seed: {a: 1}\n", "\"seed\" is {\"a\": 1}, expected a whole number"},
        {"paint: {paint: {count: 3}}\n", "s.yaml:3: unknown key \"paint.paint\""},
        {"'': {seed: 3}\n", "s.yaml:3: unknown key \"\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[256];
        outer o;
        snprintf(text, sizeof text, REQUIRED "%s", cases[i].text);
        assert_fails(read_with(text, NULL, &o), FV_ERR_FORMAT, cases[i].part);
    }
}

static void test_refusals_of_whole_files(void **state)
{
    (void)state;
    outer o;
    assert_fails(read_with("[1]\n", NULL, &o), FV_ERR_FORMAT, "s.yaml\" is [1], expected keys with values");
    assert_fails(read_with("steps: 1\n", NULL, &o), FV_ERR_FORMAT,
                 "s.yaml: \"folder\" is missing: where it is (a path, not empty)");
    assert_fails(read_with("folder: x\n", NULL, &o), FV_ERR_FORMAT,
                 "s.yaml: \"steps\" is missing: how many (a whole number, 1 or more)");
    assert_fails(read_with("folder: ''\n", NULL, &o), FV_ERR_FORMAT,
                 "s.yaml:1: \"folder\" is \"\", expected a path, not empty");
    assert_fails(read_with("steps: 2147483648\n", NULL, &o), FV_ERR_FORMAT,
                 "\"steps\" is 2147483648, expected a whole number, 1 to 2147483647");
    assert_fails(read_with("seed: 1\nseed: 2\n", NULL, &o), FV_ERR_FORMAT, "s.yaml:2:1: key \"seed\"");
    assert_fails(fv_settings_read(&settings, temp_path("absent.yaml"), NULL, 0, &o), FV_ERR_IO,
                 "absent.yaml");
}

static void test_long_values_are_cut(void **state)
{
    (void)state;
    outer o;
    char text[400] = "seed: '";
    for (int i = 0; i < 100; i++)
        strcat(text, "\xc3\xa9");
    strcat(text, "'\n");
    assert_fails(read_with(text, NULL, &o), FV_ERR_FORMAT, "\xc3\xa9..., expected a whole number");
}

static void test_hints(void **state)
{
    (void)state;
    static const struct {
        const char *text, *part;
    } cases[] = {
        {"sead: 1\n", "s.yaml:1: unknown key \"sead\", did you mean \"seed\"?"},
        {"paint:\n  color: red\n", "s.yaml:2: unknown key \"paint.color\", did you mean \"paint.colour\"?"},
        {"pain: {count: 3}\n", "s.yaml:1: unknown key \"pain\", did you mean \"paint\"?"},
        {"count: 3\n", "s.yaml:1: unknown key \"count\", did you mean \"paint.count\"?"},
        {"paint: {seed: 3}\n", "s.yaml:1: unknown key \"paint.seed\", did you mean \"seed\"?"},
        {"paint: {lacquer: 3}\n",
         "s.yaml:1: unknown key \"paint.lacquer\", expected one of count, share, colour, is_on"},
        {"lacquer: 3\n",
         "s.yaml:1: unknown key \"lacquer\", expected one of name, folder, seed, rate, steps, paint"},
    };
    outer o;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_fails(read_with(cases[i].text, NULL, &o), FV_ERR_FORMAT, cases[i].part);
    char long_key[1200];
    memset(long_key, 'k', 1000);
    strcpy(long_key + 1000, ": 1\n");
    assert_fails(read_with(long_key, NULL, &o), FV_ERR_FORMAT, "expected one of name");
}

static void test_overrides(void **state)
{
    (void)state;
    static const char *const all[] = {"paint.count=2",    "name=07 # a=b",    "folder=/g",     "rate=1e-3",
                                      "paint.is_on=true", "paint.colour=red", "paint.count=3", "steps=9"};
    outer o;
    temp_write("s.yaml", "");
    assert_ok(fv_settings_read(&settings, temp_path("s.yaml"), all, sizeof all / sizeof *all, &o));
    assert_string_equal(o.name, "07 # a=b");
    assert_string_equal(o.folder, "/g");
    assert_true(o.rate == 1e-3F);
    assert_int_equal(o.paint.count, 3);
    assert_int_equal(o.paint.colour, RED);
    assert_int_equal(o.paint.is_on, 1);
    fv_settings_fini(&settings, &o);
    assert_ok(read_with(REQUIRED "name: long\n", "name=", &o));
    assert_string_equal(o.name, "");
    fv_settings_fini(&settings, &o);
}

static void test_refused_overrides(void **state)
{
    (void)state;
    static const struct {
        const char *override, *part;
    } cases[] = {
        {"paint.count=9", "on the command line: \"paint.count\" is 9, expected a whole number, 2 to 8"},
        {"paint.count=", "on the command line: \"paint.count\" is null, expected a whole number"},
        {"paint.count=[3", "on the command line: paint.count:2:1: not valid YAML"},
        {"paint.colour=pink", "on the command line: \"paint.colour\" is \"pink\", expected red"},
        {"paint.color=red",
         "on the command line: unknown key \"paint.color\", did you mean \"paint.colour\"?"},
        {"paint.lacquer=1", "unknown key \"paint.lacquer\", expected one of count, share, colour, is_on"},
        {"paint=1", "\"paint\" is a section, expected one of its keys, such as \"paint.count\""},
        {".seed=1", "unknown key \".seed\""},
        {"=1", "unknown key \"\""},
        {"seed", "on the command line: \"seed\" has no \"=\", expected KEY=VALUE"},
        {"folder=", "\"folder\" is \"\", expected a path, not empty"},
        {"folder=a\xff", "\"folder\" has control characters or invalid UTF-8"},
        {"folder=a\xc3", "\"folder\" has control characters or invalid UTF-8"},
        {"name=123456789012345678901", "\"name\" is \"123456789012345678901\", expected a text"},
    };
    outer o;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_fails(read_with(REQUIRED, cases[i].override, &o), FV_ERR_FORMAT, cases[i].part);
}

/* All but the texts, which are compared as such. */
static void assert_same(const outer *a, const outer *b)
{
    assert_string_equal(a->name, b->name);
    assert_string_equal(a->folder, b->folder);
    assert_memory_equal(&a->seed, &b->seed, sizeof a->seed);
    assert_memory_equal(&a->rate, &b->rate, sizeof a->rate);
    assert_memory_equal(&a->steps, &b->steps, sizeof a->steps);
    assert_memory_equal(&a->paint, &b->paint, sizeof a->paint);
}

static void check_round_trip(outer *o)
{
    outer again;
    for (int with_help = 0; with_help < 2; with_help++) {
        fv_buffer text = {0};
        assert_ok(fv_settings_print(&settings, o, with_help, &text));
        assert_ok(read_with(text.data, NULL, &again));
        assert_same(o, &again);
        fv_settings_fini(&settings, &again);
        fv_buffer_fini(&text);
    }
}

static void test_round_trip(void **state)
{
    (void)state;
    static const double shares[] = {0.1 + 0.2, 1 / 3.0, 5e-324, 0.99999999999999989, -0.5, 1e-7, 123e-9};
    static const float rates[] = {0.1F, 1 / 3.0F, 1e-45F, 3.40282347e38F, 16777217.0F, 1e10F, 1e-6F};
    static const char *const names[] = {"",     "it''s", " a: b #c ", "\xf0\x9f\x98\x80\xc3\xa9",
                                        "null", "- '",   "{1}"};
    outer o = {.folder = "1e5", .steps = 7, .seed = INT64_MAX, .paint = {.count = 2, .is_on = 1}};
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
        o.paint.share = shares[i];
        o.rate = rates[i];
        o.name = (char *)names[i];
        o.seed = i % 2 ? INT64_MIN + (int64_t)i : INT64_MAX - (int64_t)i;
        check_round_trip(&o);
    }
}

static void test_zero_has_no_sign(void **state)
{
    (void)state;
    outer o;
    assert_ok(read_with(REQUIRED, "paint.share=-0.0", &o));
    assert_false(signbit(o.paint.share));
    fv_settings_fini(&settings, &o);
}

static void test_reference(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "name: 'it''s'                     # a name (a text)\n",
        "folder: ''                        # required: where it is (a path, not empty)\n",
        "seed: -3                          # of draws (a whole number)\n",
        "rate: 0.1                         # of change (a number, above 0)\n",
        "steps: 0                          # required: how many (a whole number, 1 or more)\n",
        "paint:\n",
        "  count: 4                        # of pots (a whole number, 2 to 8)\n",
        "  share: 0.25                     # of water (a number, -0.5 or more, below 1)\n",
        "  colour: blue                    # of paint (red, green or blue)\n",
        "  is_on: false                    # whether it is used (true or false)\n",
    };
    fv_buffer text = {0}, expected = {0};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        assert_ok(fv_buffer_append(&expected, lines[i], strlen(lines[i])));
    assert_ok(fv_settings_print(&settings, NULL, 1, &text));
    assert_string_equal(text.data, expected.data);
    fv_buffer_fini(&text);
    fv_buffer_fini(&expected);
}

static int is_other(const void *context, const char *key)
{
    return strcmp(context, key) != 0;
}

static void test_compare(void **state)
{
    (void)state;
    static const char before[] =
        "model: 'a'\nsteps: 3\nrollout:\n  samples: 4\n  gone: 1\nsave:\n  every: 1\n";
    static const char now[] =
        "model: 'a: b'\nsteps: 9\nrollout:\n  samples: 8\n  come: 2\nsave:\n  every: 2\n";
    fv_buffer out = {0};
    assert_ok(fv_settings_compare(before, now, is_other, "steps", &out));
    assert_string_equal(out.data,
                        "model is 'a: b', was 'a', rollout.samples is 8, was 4, save.every is 2, was 1");
    out.size = 0;
    assert_ok(fv_settings_compare(now, now, is_other, "", &out));
    assert_int_equal(out.size, 0);
    fv_buffer_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compare),
        cmocka_unit_test(test_defaults_stay),
        cmocka_unit_test(test_file_is_read),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_refusals_of_whole_files),
        cmocka_unit_test(test_long_values_are_cut),
        cmocka_unit_test(test_hints),
        cmocka_unit_test(test_overrides),
        cmocka_unit_test(test_refused_overrides),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_zero_has_no_sign),
        cmocka_unit_test(test_reference),
    };
    return cmocka_run_group_tests(tests, temp_setup, temp_teardown);
}
