/* The tokenizer against the reference's ids: golden.jsonl and extra.jsonl hold texts, ids and decoded texts.
 */
#include "test.h"

#include "fovea/base/file.h"
#include "fovea/io/json.h"
#include "fovea/base/rng.h"
#include "fovea/model/tokenizer/tokenizer.h"

#include <stdlib.h>

static fv_tokenizer *tokenizer;

static void data_path(char *path, size_t size, const char *name)
{
    snprintf(path, size, "%s/tokenizer%s%s", getenv("TEST_DATA_BINARY"), *name ? "/" : "", name);
}

static int load(void **state)
{
    (void)state;
    char folder[4096];
    data_path(folder, sizeof folder, "");
    return fv_tokenizer_load(folder, &tokenizer);
}

static int unload(void **state)
{
    (void)state;
    fv_tokenizer_destroy(tokenizer);
    return 0;
}

static fv_tokens encode(const char *text, size_t size, fv_tokenize_mode mode)
{
    fv_tokens tokens = {0};
    assert_ok(fv_tokenizer_encode(tokenizer, text, size, mode, &tokens));
    return tokens;
}

static void assert_ids(const fv_tokens *tokens, const fv_json *ids, const char *text)
{
    if (tokens->n != fv_json_size(ids))
        fail_msg("%s: %zu ids, expected %zu", text, tokens->n, fv_json_size(ids));
    for (size_t i = 0; i < tokens->n; i++) {
        int64_t id;
        assert_ok(fv_json_to_integer(fv_json_at(ids, i), "id", &id));
        if (id != tokens->ids[i])
            fail_msg("%s: id %zu is %d, expected %d", text, i, tokens->ids[i], (int)id);
    }
}

/* Fed one id at a time, the stream gives the same text, and only whole code points on the way. */
static void assert_streams(const fv_tokens *tokens, const char *decoded, size_t size)
{
    fv_token_stream stream;
    fv_buffer out = {0};
    fv_token_stream_init(&stream, tokenizer, 0);
    for (size_t i = 0; i < tokens->n; i++) {
        assert_ok(fv_token_stream_push(&stream, tokens->ids[i], &out));
        assert_true(out.size <= size);
        assert_true((decoded[out.size] & 0xC0) != 0x80);
    }
    assert_ok(fv_token_stream_flush(&stream, &out));
    assert_int_equal(out.size, size);
    if (size)
        assert_memory_equal(out.data, decoded, size);
    fv_buffer_fini(&out);
}

static void check_row(const char *line, size_t length)
{
    fv_json *row;
    const char *text, *decoded;
    size_t size, decoded_size;
    fv_buffer out = {0};
    assert_ok(fv_json_parse(line, length, "row", &row));
    assert_ok(fv_json_to_string(fv_json_get(row, "text"), "text", &text, &size));
    assert_ok(fv_json_to_string(fv_json_get(row, "decoded"), "decoded", &decoded, &decoded_size));
    fv_tokens tokens = encode(text, size, FV_TOKENIZE_MARKUP);
    assert_ids(&tokens, fv_json_get(row, "ids"), text);
    assert_ok(fv_tokenizer_decode(tokenizer, tokens.ids, tokens.n, 0, &out));
    assert_int_equal(out.size, decoded_size);
    if (out.size)
        assert_memory_equal(out.data, decoded, out.size);
    assert_streams(&tokens, decoded, decoded_size);
    fv_buffer_fini(&out);
    fv_tokens_fini(&tokens);
    fv_json_destroy(row);
}

static void check_rows(const char *name, int n_expected)
{
    char path[4096];
    fv_file_map map;
    int n_rows = 0;
    data_path(path, sizeof path, name);
    assert_ok(fv_file_open_map(path, &map));
    const char *text = (const char *)map.data, *end = text + map.size;
    for (; text < end; n_rows++) {
        const char *stop = memchr(text, '\n', (size_t)(end - text));
        stop = stop ? stop : end;
        check_row(text, (size_t)(stop - text));
        text = stop + 1;
    }
    fv_file_close_map(&map);
    assert_int_equal(n_rows, n_expected);
}

static void test_golden_rows(void **state)
{
    (void)state;
    check_rows("golden.jsonl", 170);
}

static void test_rows_with_added_tokens_and_marks(void **state)
{
    (void)state;
    check_rows("extra.jsonl", 150);
}

/* A text of random pieces: letters, blanks, marks, emoji, and the texts of special tokens. */
static void random_text(fv_buffer *out, uint32_t index)
{
    static const char *const pieces[] = {"<|im_start|>",
                                         "<|im_end|>",
                                         "<|endoftext|>",
                                         "<|image_pad|>",
                                         "<tool_call>",
                                         "</tool_call>",
                                         "<|",
                                         "|>",
                                         "im_end",
                                         " ",
                                         "\n",
                                         "a",
                                         " the",
                                         "e\xCC\x81",
                                         "\xF0\x9F\x98\x80",
                                         "\xEA\xB0\x80",
                                         "7",
                                         "'s",
                                         "\xC5\xBF",
                                         "<|vision_start|>"};
    enum { N = sizeof pieces / sizeof pieces[0] };
    fv_rng_key key = {.seed = 11, .step = index};
    out->size = 0;
    for (uint32_t i = 0; i < 60; i++) {
        const char *piece = pieces[(int)(fv_rng_uniform(key, i) * N)];
        assert_ok(fv_buffer_append(out, piece, strlen(piece)));
    }
}

static void test_plain_text_never_gives_an_added_token(void **state)
{
    (void)state;
    fv_buffer text = {0}, back = {0};
    for (uint32_t round = 0; round < 300; round++) {
        random_text(&text, round);
        fv_tokens tokens = encode(text.data, text.size, FV_TOKENIZE_PLAIN);
        for (size_t i = 0; i < tokens.n; i++)
            assert_true(tokens.ids[i] < 151643); /* the ids of added tokens start here */
        back.size = 0;
        assert_ok(fv_tokenizer_decode(tokenizer, tokens.ids, tokens.n, 1, &back));
        fv_tokens again = encode(back.data, back.size, FV_TOKENIZE_PLAIN); /* the text is in form C now */
        assert_int_equal(again.n, tokens.n);
        assert_memory_equal(again.ids, tokens.ids, tokens.n * sizeof *tokens.ids);
        fv_tokens_fini(&again);
        fv_tokens_fini(&tokens);
    }
    fv_buffer_fini(&text);
    fv_buffer_fini(&back);
}

static void test_decoding_what_was_encoded_gives_form_c(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"e\xCC\x81 caf\xC3\xA9", "\xC3\xA9 caf\xC3\xA9"},                /* joined */
        {"\xE2\x84\xAB", "\xC3\x85"},                                     /* Angstrom sign */
        {"\xE1\x84\x80\xE1\x85\xA1\xE1\x86\xA8", "\xEA\xB0\x81"},         /* Hangul letters */
        {"q\xCC\x87\xCC\xA3", "q\xCC\xA3\xCC\x87"},                       /* marks in order */
        {"a\xFFz\xE2\x82", "a\xEF\xBF\xBDz\xEF\xBF\xBD"},                 /* not UTF-8 */
        {"\xE0\xA2\x98\xCC\x81\xCC\xB4", "\xE0\xA2\x98\xCC\xB4\xCC\x81"}, /* a mark of Unicode 14 stays */
        {"", ""}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        fv_buffer out = {0};
        fv_tokens tokens = encode(pairs[i][0], strlen(pairs[i][0]), FV_TOKENIZE_MARKUP);
        assert_ok(fv_tokenizer_decode(tokenizer, tokens.ids, tokens.n, 0, &out));
        assert_string_equal(out.data ? out.data : "", pairs[i][1]);
        fv_buffer_fini(&out);
        fv_tokens_fini(&tokens);
    }
}

static void test_parts_are_one_text(void **state)
{
    (void)state;
    static const fv_text_part parts[] = {{"It'", 3, FV_TOKENIZE_MARKUP},
                                         {"s e", 3, FV_TOKENIZE_PLAIN},
                                         {"\xCC\x81<|im_", 7, FV_TOKENIZE_MARKUP},
                                         {"end|>", 5, FV_TOKENIZE_MARKUP}};
    fv_tokens tokens = {0}, whole = encode("It's \xC3\xA9<|im_end|>", 17, FV_TOKENIZE_PLAIN);
    assert_ok(fv_tokenizer_encode_parts(tokenizer, parts, 4, &tokens));
    assert_int_equal(tokens.n, whole.n);
    assert_memory_equal(tokens.ids, whole.ids, whole.n * sizeof *whole.ids);
    fv_tokens_fini(&tokens);
    fv_tokens_fini(&whole);
}

static void test_tokens_are_known_by_text_and_id(void **state)
{
    (void)state;
    assert_int_equal(fv_tokenizer_size(tokenizer), 151665);
    assert_int_equal(fv_tokenizer_id(tokenizer, "<|im_end|>"), 151645);
    assert_int_equal(fv_tokenizer_id(tokenizer, "no such token"), -1);
    assert_string_equal(fv_tokenizer_text(tokenizer, 82639), "\xC4\xA0<|");
    assert_null(fv_tokenizer_text(tokenizer, 151665));
    assert_null(fv_tokenizer_text(tokenizer, -1));
    assert_true(fv_tokenizer_is_special(tokenizer, 151645));
    assert_false(fv_tokenizer_is_special(tokenizer, 151657)); /* <tool_call> */
    fv_buffer out = {0};
    const int32_t ids[] = {14990, 151645, 151657, 151999, -5};
    assert_ok(fv_tokenizer_decode(tokenizer, ids, 5, 1, &out));
    assert_string_equal(out.data, "hello<tool_call>");
    fv_buffer_fini(&out);
}

/* Runs without a break: were the time to grow with the square, each would take minutes. */
static void check_hostile(const char *unit, size_t size)
{
    size_t length = strlen(unit);
    char *text = malloc(size);
    assert_non_null(text);
    for (size_t i = 0; i < size; i++)
        text[i] = unit[i % length];
    fv_tokens tokens = encode(text, size, FV_TOKENIZE_MARKUP);
    assert_true(tokens.n > 0);
    fv_tokens_fini(&tokens);
    free(text);
}

static void test_long_runs_take_linear_time(void **state)
{
    (void)state;
    static const char *const units[] = {"a",
                                        " ",
                                        "\n ",
                                        "!",
                                        "<",
                                        "<|im_start|",
                                        "ab",
                                        "e\xCC\x81",
                                        "\x80",
                                        "\xCD\x85\xCC\xB4",
                                        "\xE4\xB8\x80",
                                        "\xCC\x81",
                                        "\t\xC2\xA0"};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        check_hostile(units[i], 1200000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_rows),
        cmocka_unit_test(test_rows_with_added_tokens_and_marks),
        cmocka_unit_test(test_plain_text_never_gives_an_added_token),
        cmocka_unit_test(test_decoding_what_was_encoded_gives_form_c),
        cmocka_unit_test(test_parts_are_one_text),
        cmocka_unit_test(test_tokens_are_known_by_text_and_id),
        cmocka_unit_test(test_long_runs_take_linear_time),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
