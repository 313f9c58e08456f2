/* Rows from JSON: which fields are taken, what is kept, and every kind of bad row. */
#include "temp_folder.h"

#include "fovea/data/row.h"

static fv_row_fields fields;

static int setup(void **state)
{
    static char folder[4200];
    snprintf(folder, sizeof folder, "%s/images", getenv("TEST_DATA"));
    fields = (fv_row_fields){.folder = folder};
    return temp_setup(state);
}

static fv_err parse(const char *text, fv_row *row)
{
    return fv_row_parse(text, strlen(text), &fields, row);
}

static void test_columns_of_visionthink(void **state)
{
    (void)state;
    fv_row row;
    assert_ok(parse("{\"problem\": \"<image>\\n What is it? \", \"images\": [\"rgb.jpg\"], \"solution\": "
                    "\"\\\\boxed{4}\","
                    " \"original_answer\": \"4\", \"data_source\": \"charts\", \"index\": 7,"
                    " \"info\": {\"tgt_width\": 280, \"tgt_height\": 140, \"use_tool\": true}}",
                    &row));
    assert_string_equal(row.question, "What is it?");
    assert_string_equal(row.answer, "4");
    assert_string_equal(row.source, "charts");
    assert_string_equal(row.extra,
                        "{\"solution\": \"\\\\boxed{4}\", \"index\": 7, \"info\": {\"tgt_width\": 280, "
                        "\"tgt_height\": 140, \"use_tool\": true}}");
    assert_true(row.target.width == 280 && row.target.height == 140);
    assert_int_equal(row.n_images, 1);
    fv_image image;
    assert_ok(fv_image_load(test_data("images/rgb.jpg"), &image));
    assert_true(row.images[0].width == image.width && row.images[0].height == image.height);
    fv_image_fini(&image);
    fv_file_map map;
    assert_ok(fv_file_open_map(test_data("images/rgb.jpg"), &map));
    assert_int_equal(row.images[0].file.size, map.size);
    assert_memory_equal(row.images[0].file.data, map.data, map.size);
    fv_file_close_map(&map);
    fv_row_fini(&row);
    assert_null(row.question);
}

static void test_other_forms(void **state)
{
    (void)state;
    static const struct {
        const char *text, *answer, *extra;
    } cases[] = {
        {"{\"question\": \"q\", \"image\": \"rgb.jpg\", \"answer\": \" a b\"}", " a b", "{}"},
        {"{\"question\": \"q\", \"image\": \"rgb.jpg\", \"solution\": 12, \"answer\": \"a\"}", "12",
         "{\"answer\": \"a\"}"},
        {"{\"question\": \"q\", \"problem\": \"p\", \"image\": \"rgb.jpg\", \"answer\": 0.1, \"info\": null}",
         "0.1", "{\"question\": \"q\", \"info\": null}"},
        {"{\"problem\": \"text alone\", \"images\": [], \"answer\": \"a\"}", "a", "{}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fv_row row;
        assert_ok(parse(cases[i].text, &row));
        assert_string_equal(row.answer, cases[i].answer);
        assert_string_equal(row.extra, cases[i].extra);
        assert_string_equal(row.source, "");
        assert_int_equal(row.target.width, 0);
        fv_row_fini(&row);
    }
}

/* Accepted answers with a | between them. */
static void test_several_answers(void **state)
{
    (void)state;
    static const struct {
        const char *field, *expected;
    } cases[] = {
        {"\"original_answer\": [\"a\", \"b c\"]", "a|b c"},
        {"\"original_answer\": [\"a\"]", "a"},
        {"\"original_answer\": [2, \"two\", 2.0, 0.5]", "2|two|0.5"},
        {"\"original_answer\": [\"a\", \"b\", \"a\", \"c\"]", "a|b|c"},
        {"\"answer\": [\"x|y\", \" z \"]", "x|y| z "},
        {"\"original_answer\": null, \"solution\": [\"<answer>4</answer>\", \"\\\\boxed{four}\"]", "4|four"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[512];
        fv_row row;
        snprintf(text, sizeof text, "{\"problem\": \"q\", \"image\": \"rgb.jpg\", %s}", cases[i].field);
        assert_ok(parse(text, &row));
        fv_slice truths = fv_row_truths(row.answer, row.more_bytes);
        assert_int_equal(truths.size, strlen(cases[i].expected));
        for (size_t k = 0; k < truths.size; k++)
            assert_int_equal(truths.data[k] ? truths.data[k] : '|', cases[i].expected[k]);
        fv_row_fini(&row);
    }
}

/* What is left of a worked solution. */
static void test_tags_of_solutions(void **state)
{
    (void)state;
    static const struct {
        const char *solution, *expected;
    } cases[] = {
        {"<answer> 4 </answer>", "4"},
        {"<think>2 + 2, or <answer>5</answer>?</think>\\n<answer>4</answer>", "4"},
        {"<think>easy</think> 4 ", "4"},
        {"<answer>4", "4"},
        {"So it is \\\\boxed{\\\\frac{1}{2}}.", "\\frac{1}{2}"},
        {"<answer>\\\\boxed{4}</answer>", "4"},
        {"\\\\boxed{3} then \\\\boxed{4}", "4"},
        {"a <b> c", "a <b> c"},
        {"plain", "plain"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[512];
        fv_row row;
        snprintf(
            text, sizeof text,
            "{\"problem\": \"q\", \"image\": \"rgb.jpg\", \"original_answer\": null, \"solution\": \"%s\"}",
            cases[i].solution);
        assert_ok(parse(text, &row));
        assert_string_equal(row.answer, cases[i].expected);
        fv_row_fini(&row);
    }
}

static void test_named_fields(void **state)
{
    (void)state;
    fv_row row;
    fv_row_fields named = fields;
    const char text[] = "{\"image\": \"rgb.jpg\", \"total\": \"9.00\", \"ask\": \"why\", \"answer\": \"a\"}";
    named.answer_name = "total";
    named.question_name = "ask";
    assert_ok(fv_row_parse(text, strlen(text), &named, &row));
    assert_string_equal(row.question, "why");
    assert_string_equal(row.answer, "9.00");
    assert_string_equal(row.extra, "{\"answer\": \"a\"}");
    fv_row_fini(&row);
    named.question = "What is the total?";
    assert_ok(fv_row_parse(text, strlen(text), &named, &row));
    assert_string_equal(row.question, "What is the total?");
    assert_string_equal(row.extra, "{\"ask\": \"why\", \"answer\": \"a\"}");
    fv_row_fini(&row);
    named.answer_name = "sum";
    assert_fails(fv_row_parse(text, strlen(text), &named, &row), FV_ERR_FORMAT, "there is no \"sum\"");
}

/* Hint, options and what is asked stand around the question; what is empty is left out. */
static void test_what_surrounds_a_question(void **state)
{
    (void)state;
    static const struct {
        const char *options, *members, *question;
    } cases[] = {
        {"A, B, C", "\"A\": \"red\", \"B\": 2.5, \"C\": \"nan\"", "hm\nq\nA. red\nB. 2.5\nPick one."},
        {"all", "\"all\": [\"red\", \"blue\"]", "hm\nq\nA. red\nB. blue\nPick one."},
        {"A, B", "\"A\": null, \"B\": \" \"", "hm\nq\nPick one."},
    };
    fv_row row;
    fv_row_fields named = {
        .folder = fields.folder, .image_name = "pic", .hint_name = "hint", .ask = "Pick one."};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[256];
        named.option_names = cases[i].options;
        snprintf(
            text, sizeof text,
            "{\"pic\": \"rgb.jpg\", \"question\": \"<image>q\", \"answer\": \"A\", \"hint\": \"hm\", %s}",
            cases[i].members);
        assert_ok(fv_row_parse(text, strlen(text), &named, &row));
        assert_string_equal(row.question, cases[i].question);
        fv_row_fini(&row);
    }
    const char bad[] = "{\"pic\": \"rgb.jpg\", \"question\": \"q\", \"answer\": \"A\", \"A\": {}}";
    assert_fails(fv_row_parse(bad, strlen(bad), &named, &row), FV_ERR_FORMAT, "\"A\" is an object");
    named.image_name = "photo";
    assert_fails(fv_row_parse(bad, strlen(bad), &named, &row), FV_ERR_FORMAT, "there is no \"photo\"");
    named.image_name = "A";
    named.option_names = NULL;
    named.is_base64 = 1;
    const char broken[] = "{\"A\": \"rgb.jpg\", \"question\": \"q\", \"answer\": \"A\"}";
    assert_fails(fv_row_parse(broken, strlen(broken), &named, &row), FV_ERR_FORMAT, "base64");
}

#define QA "\"question\": \"q\", \"answer\": \"a\""

static void test_bad_rows(void **state)
{
    (void)state;
    static const struct {
        fv_err err;
        const char *text, *part;
    } cases[] = {
        {FV_ERR_FORMAT, "{\"question\": ", "not valid JSON"},
        {FV_ERR_FORMAT, "[1]", "not a JSON object"},
        {FV_ERR_FORMAT, "{" QA "}", "neither \"images\" nor \"image\""},
        {FV_ERR_FORMAT, "{\"answer\": \"a\", \"image\": \"rgb.jpg\"}", "there is no \"problem\""},
        {FV_ERR_FORMAT, "{\"question\": \"q\", \"image\": \"rgb.jpg\"}", "there is no \"original_answer\""},
        {FV_ERR_FORMAT, "{\"question\": \"q\", \"image\": \"rgb.jpg\", \"answer\": \" \"}",
         "\"answer\" is empty"},
        {FV_ERR_FORMAT, "{\"question\": \"<image> \", \"image\": \"rgb.jpg\", \"answer\": \"a\"}",
         "\"question\" is empty"},
        {FV_ERR_FORMAT, "{\"question\": \"q\", \"image\": \"rgb.jpg\", \"answer\": [[\"a\"]]}",
         "\"answer\" is an array"},
        {FV_ERR_FORMAT, "{\"question\": \"q\", \"image\": \"rgb.jpg\", \"answer\": []}",
         "\"answer\" is an empty list"},
        {FV_ERR_FORMAT, "{\"question\": \"q\", \"image\": \"rgb.jpg\", \"answer\": [\"a\", \"\"]}",
         "\"answer\" is empty"},
        {FV_ERR_FORMAT, "{\"question\": \"q\", \"image\": \"rgb.jpg\", \"answer\": [\"a\", null]}",
         "\"answer\" is null"},
        {FV_ERR_FORMAT, "{\"question\": \"q\", \"image\": \"rgb.jpg\", \"answer\": [\"a\", \"b\\u0000\"]}",
         "holds a NUL"},
        {FV_ERR_FORMAT, "{\"question\": \"q\", \"image\": \"rgb.jpg\", \"solution\": \"<answer> </answer>\"}",
         "\"solution\" is empty without its tags"},
        {FV_ERR_FORMAT, "{\"question\": \"q\", \"image\": \"rgb.jpg\", \"solution\": \"a</think>\"}",
         "\"solution\" is empty without its tags"},
        {FV_ERR_FORMAT, "{\"question\": \"q\", \"image\": \"rgb.jpg\", \"solution\": \"\\\\boxed{}\"}",
         "\"solution\" is empty without its tags"},
        {FV_ERR_FORMAT, "{\"question\": \"q\", \"image\": \"rgb.jpg\", \"solution\": \"<think>I wonder\"}",
         "\"solution\" holds tags that enclose no answer"},
        {FV_ERR_UNSUPPORTED,
         "{\"question\": \"q\", \"answer\": \"a\", \"images\": [\"rgb.jpg\", \"rgb.png\"]}",
         "2 images; a prompt shows one"},
        {FV_ERR_FORMAT,
         "{\"question\": \"q\", \"image\": \"rgb.jpg\", \"answer\": \"a\", \"note\": [{\"b\": 1}, NaN]}",
         "row:1:75: not valid JSON: invalid token near 'NaN', in \"note\""},
        {FV_ERR_FORMAT, "{\"a\": {\"b\": [1, \",\"]}, \"c\": \"x\\\"y\", \"price\": -Infinity}",
         "in \"price\""},
        {FV_ERR_FORMAT, "{\"question\": \"a\\u0000b\", \"image\": \"rgb.jpg\", \"answer\": \"a\"}",
         "holds a NUL"},
        {FV_ERR_FORMAT, "{\"question\": \"<image><image>q\", \"images\": [\"rgb.jpg\"], \"answer\": \"a\"}",
         "\"question\" has 2 <image>, but there are 1 images"},
        {FV_ERR_FORMAT, "{\"question\": \"<image>q\", \"images\": [], \"answer\": \"a\"}",
         "but there are 0 images"},
        {FV_ERR_IO, "{" QA ", \"image\": \"none.jpg\"}", "none.jpg"},
        {FV_ERR_IO, "{" QA ", \"image\": \"\"}", "not a regular file"},
        {FV_ERR_FORMAT, "{" QA ", \"image\": \"expected.json\"}", "expected.json"},
        {FV_ERR_FORMAT, "{" QA ", \"image\": 5}", "\"image\" is an integer"},
        {FV_ERR_FORMAT, "{" QA ", \"image\": {\"base64\": \"AAA\"}}", "multiple of four"},
        {FV_ERR_FORMAT, "{" QA ", \"image\": {\"base64\": \"AAAA\"}}",
         "is not a JPEG, PNG, WebP, GIF, BMP or TIFF image"},
        {FV_ERR_FORMAT, "{" QA ", \"image\": \"rgb.jpg\", \"info\": 1}", "\"info\" is not an object"},
        {FV_ERR_FORMAT, "{" QA ", \"image\": \"rgb.jpg\", \"info\": {\"tgt_width\": 5}}",
         "a target size of 5 x 0"},
        {FV_ERR_FORMAT, "{" QA ", \"image\": \"rgb.jpg\", \"info\": {\"tgt_width\": -5, \"tgt_height\": 5}}",
         "a target size of -5 x 5"},
        {FV_ERR_UNSUPPORTED,
         "{" QA ", \"image\": \"rgb.jpg\", \"info\": {\"tgt_width\": 9000, \"tgt_height\": 9000}}",
         "rgb.jpg: the high-resolution view"},
        {FV_ERR_UNSUPPORTED,
         "{" QA ", \"image\": \"rgb.jpg\", \"info\": {\"tgt_width\": 9000, \"tgt_height\": 28}}", "rgb.jpg"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fv_row row;
        assert_fails(parse(cases[i].text, &row), cases[i].err, cases[i].part);
        assert_null(row.question);
        assert_null(row.images);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_columns_of_visionthink),
        cmocka_unit_test(test_other_forms),
        cmocka_unit_test(test_several_answers),
        cmocka_unit_test(test_tags_of_solutions),
        cmocka_unit_test(test_named_fields),
        cmocka_unit_test(test_what_surrounds_a_question),
        cmocka_unit_test(test_bad_rows),
    };
    return cmocka_run_group_tests(tests, setup, temp_teardown);
}
