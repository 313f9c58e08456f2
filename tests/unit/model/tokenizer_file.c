/* The byte-level tokenizer that is written, its file changed in all the wrong ways, and the flags of added
 * tokens. Expected ids are the reference's for the same file; ids below 256 are bytes. */
#include "test.h"

#include "fovea/base/file.h"
#include "fovea/base/rng.h"
#include "fovea/model/tokenizer/tokenizer.h"
#include "fovea/base/text/utf8.h"

#include <stdlib.h>
#include <unistd.h>

static char folder[64];
static fv_buffer file; /* the tokenizer.json written */

static int write_folder(void **state)
{
    (void)state;
    static const fv_added_token special[] = {{"<|im_end|>", 300},   {"<a>", 301},         {"<b>", 302},
                                             {"<w>", 303},          {"<n\xC3\xA9>", 400}, {"<a><b>", 401},
                                             {"<|endoftext|>", 299}};
    char path[128];
    fv_file_map map;
    strcpy(folder, "/tmp/fovea_tokenizer_XXXXXX");
    if (!mkdtemp(folder) || fv_tokenizer_write_bytes(folder, special, 7) != FV_OK)
        return -1;
    snprintf(path, sizeof path, "%s/tokenizer.json", folder);
    if (fv_file_open_map(path, &map) != FV_OK || fv_buffer_append(&file, map.data, map.size) != FV_OK)
        return -1;
    fv_file_close_map(&map);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    static const char *const names[] = {"tokenizer.json", "tokenizer_config.json"};
    char path[128];
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    fv_buffer_fini(&file);
    return rmdir(folder);
}

/* Replace the first `from` after `anchor` in text. */
static void replace(fv_buffer *text, const char *anchor, const char *from, const char *to)
{
    char *at = strstr(text->data, anchor);
    at = at ? strstr(at, from) : NULL;
    if (!at)
        fail_msg("no %s after %s", from, anchor);
    fv_buffer out = {0};
    assert_ok(fv_buffer_append(&out, text->data, (size_t)(at - text->data)));
    assert_ok(fv_buffer_print(&out, "%s%s", to, at + strlen(from)));
    fv_buffer_fini(text);
    *text = out;
}

static fv_buffer copy_of_file(void)
{
    fv_buffer text = {0};
    assert_ok(fv_buffer_append(&text, file.data, file.size));
    return text;
}

static void test_bytes_are_their_own_ids(void **state)
{
    (void)state;
    fv_tokenizer *t;
    fv_tokens tokens = {0};
    assert_ok(fv_tokenizer_load(folder, &t));
    assert_ok(fv_tokenizer_encode(t, "\xC3\xA9 <|im_end|>", 13, FV_TOKENIZE_MARKUP, &tokens));
    assert_int_equal(tokens.n, 4);
    static const int32_t expected[] = {0xC3, 0xA9, ' ', 300};
    assert_memory_equal(tokens.ids, expected, sizeof expected);
    tokens.n = 0;
    assert_ok(fv_tokenizer_encode(t, "<|im_end|>", 10, FV_TOKENIZE_PLAIN, &tokens));
    assert_int_equal(tokens.n, 10);
    assert_int_equal(fv_tokenizer_size(t), 402);
    assert_null(fv_tokenizer_text(t, 399));
    fv_tokens_fini(&tokens);
    fv_tokenizer_destroy(t);
}

/* Random bytes, many of them parts of code points, one a token. */
static void check_stream(const fv_tokenizer *t, uint32_t round)
{
    static const uint8_t some[] = {'a', ' ', 0x80, 0x9F, 0xA9, 0xBF, 0xC3, 0xE2, 0xED, 0xF0, 0xF4, 0xFF};
    fv_token_stream stream;
    fv_buffer bytes = {0}, expected = {0}, out = {0};
    fv_rng_key key = {.seed = 3, .step = round};
    fv_token_stream_init(&stream, t, 0);
    for (uint32_t i = 0; i < 12; i++) {
        uint8_t byte = some[(int)(fv_rng_uniform(key, i) * (float)sizeof some)];
        assert_ok(fv_buffer_append(&bytes, &byte, 1));
        assert_ok(fv_token_stream_push(&stream, byte, &out));
        expected.size = 0;
        assert_ok(fv_buffer_append_valid(&expected, bytes.data, bytes.size - (size_t)stream.n_held));
        assert_int_equal(out.size, expected.size);
        if (out.size)
            assert_memory_equal(out.data, expected.data, out.size);
    }
    assert_ok(fv_token_stream_flush(&stream, &out));
    expected.size = 0;
    assert_ok(fv_buffer_append_valid(&expected, bytes.data, bytes.size));
    assert_string_equal(out.data, expected.data);
    fv_buffer_fini(&bytes);
    fv_buffer_fini(&expected);
    fv_buffer_fini(&out);
}

static void test_stream_of_single_bytes_gives_what_decode_gives(void **state)
{
    (void)state;
    fv_tokenizer *t;
    assert_ok(fv_tokenizer_load(folder, &t));
    for (uint32_t round = 0; round < 3000; round++)
        check_stream(t, round);
    fv_tokenizer_destroy(t);
}

static void check_ids(const fv_tokenizer *t, const char *text, const char *expected)
{
    fv_tokens tokens = {0};
    fv_buffer shown = {0};
    assert_ok(fv_tokenizer_encode(t, text, strlen(text), FV_TOKENIZE_MARKUP, &tokens));
    for (size_t i = 0; i < tokens.n; i++)
        assert_ok(fv_buffer_print(&shown, i ? " %d" : "%d", tokens.ids[i]));
    assert_string_equal(shown.data, expected);
    fv_buffer_fini(&shown);
    fv_tokens_fini(&tokens);
}

static void test_flags_of_added_tokens(void **state)
{
    (void)state;
    fv_tokenizer *t;
    fv_buffer text = copy_of_file();
    replace(&text, "\"content\": \"<a>\"", "\"lstrip\": false", "\"lstrip\": true");
    replace(&text, "\"content\": \"<b>\"", "\"rstrip\": false", "\"rstrip\": true");
    replace(&text, "\"content\": \"<w>\"", "\"single_word\": false", "\"single_word\": true");
    replace(&text, "\"content\": \"<n\xC3\xA9>\"", "\"normalized\": false", "\"normalized\": true");
    assert_ok(fv_tokenizer_parse(text.data, text.size, "test", &t));
    check_ids(t, "x \n<a> y", "120 301 32 121");
    check_ids(t, "x <b> \n\xC2\xA0y", "120 32 302 121");
    check_ids(t, "<b> <a> ", "302 301 32");
    check_ids(t, "<w>x <w> y<w>", "60 119 62 120 32 303 32 121 60 119 62");
    check_ids(t, "\xC3\xA9<w>_ <w>", "195 169 60 119 62 95 32 303");
    check_ids(t, "<ne\xCC\x81><n\xC3\xA9>", "400 400");
    check_ids(t, "<a><b>", "401");
    check_ids(t, "<<a><b", "60 301 60 98");
    fv_tokenizer_destroy(t);
    fv_buffer_fini(&text);
}

typedef struct change {
    const char *anchor, *from, *to;
    fv_err code;
    const char *sentence;
} change;

static const change changes[] = {
    {"{", "{", "", FV_ERR_FORMAT, "test:"},
    {"\"model\"", "BPE", "Unigram", FV_ERR_UNSUPPORTED, "the model is Unigram, supported is BPE"},
    {"\"model\"", "\"model\"", "\"other\"", FV_ERR_UNSUPPORTED, "the model is none"},
    {"\"dropout\"", "null", "0.5", FV_ERR_UNSUPPORTED, "dropout is 0.5"},
    {"\"ignore_merges\"", "false", "true", FV_ERR_UNSUPPORTED, "ignore_merges is true"},
    {"\"end_of_word_suffix\"", "\"\"", "\"</w>\"", FV_ERR_UNSUPPORTED, "end_of_word_suffix is \"</w>\""},
    {"\"normalizer\"", "NFC", "NFKC", FV_ERR_UNSUPPORTED, "the normalizer is NFKC, supported is NFC"},
    {"\"pre_tokenizer\"", "Sequence", "Metaspace", FV_ERR_UNSUPPORTED, "the pre_tokenizer is Metaspace"},
    {"\"pattern\"", "(?i:", "(?:", FV_ERR_UNSUPPORTED, "the split rule is the regex (?:'s|'t"},
    {"\"pattern\"", "Regex", "String", FV_ERR_UNSUPPORTED, "the split rule is the regex none"},
    {"\"behavior\"", "Isolated", "Removed", FV_ERR_UNSUPPORTED, "the split behavior is Removed"},
    {"\"invert\"", "false", "true", FV_ERR_UNSUPPORTED, "invert is true"},
    {"\"invert\"", "ByteLevel", "Digits", FV_ERR_UNSUPPORTED, "the second pre-tokenizer is Digits"},
    {"\"invert\"", "\"use_regex\": false", "\"use_regex\": true", FV_ERR_UNSUPPORTED, "use_regex is true"},
    {"\"invert\"", "\"use_regex\": false", "\"x\": 1", FV_ERR_UNSUPPORTED,
     "lacks add_prefix_space or use_regex"},
    {"\"decoder\"", "ByteLevel", "WordPiece", FV_ERR_UNSUPPORTED, "the decoder is WordPiece"},
    {"\"post_processor\"", "ByteLevel", "TemplateProcessing", FV_ERR_UNSUPPORTED,
     "the post_processor adds tokens"},
    {"\"post_processor\"", "ByteLevel", "BertProcessing", FV_ERR_UNSUPPORTED,
     "the post_processor is BertProcessing"},
    {"\"post_processor\"", "\"type\": \"ByteLevel\"",
     "\"type\": \"TemplateProcessing\", \"single\": [{\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}, "
     "{\"SpecialToken\": {\"id\": \"<|im_end|>\", \"type_id\": 0}}]",
     FV_ERR_UNSUPPORTED, "the post_processor adds tokens"},
    {"\"post_processor\"", "\"type\": \"ByteLevel\"",
     "\"type\": \"Sequence\", \"processors\": [{\"type\": \"ByteLevel\"}, {\"type\": \"RobertaProcessing\"}]",
     FV_ERR_UNSUPPORTED, "the post_processor is RobertaProcessing"},
    {"\"vocab\"", "\"vocab\"", "\"words\"", FV_ERR_FORMAT, "the model has no \"vocab\""},
    {"\"merges\"", "\"merges\"", "\"joins\"", FV_ERR_FORMAT, "the model has no \"merges\""},
    {"\"merges\"", "[]", "[\"a b\"]", FV_ERR_FORMAT,
     "merges[0]: the whole, \"ab\", is not in the vocabulary"},
    {"\"merges\"", "[]", "[\"a xyz\"]", FV_ERR_FORMAT, "merges[0]: \"xyz\" is not in the vocabulary"},
    {"\"merges\"", "[]", "[\"ab\"]", FV_ERR_FORMAT, "merges[0]: \"ab\" is not two tokens"},
    {"\"merges\"", "[]", "[\"a b c\"]", FV_ERR_FORMAT, "merges[0]: \"a b c\" is not two tokens"},
    {"\"merges\"", "[]", "[[\"a\"]]", FV_ERR_FORMAT, "merges[0]: 1 strings, expected 2"},
    {"\"merges\"", "[]", "[[\"a\", 5]]", FV_ERR_FORMAT, "\"right half\" is an integer, expected a string"},
    {"\"merges\"", "[]", "[7]", FV_ERR_FORMAT, "\"merge\" is an integer, expected a string"},
    {"\"vocab\"", "\"a\": 97", "\"a\": 98", FV_ERR_FORMAT, "id 98 belongs to both"},
    {"\"vocab\"", "\"a\": 97", "\"aa\": 97", FV_ERR_FORMAT, "no token \"a\" for the byte 0x61"},
    {"\"vocab\"", "\"a\": 97", "\"a\": -1", FV_ERR_FORMAT, "the id of \"a\" is -1, expected 0 to 2097151"},
    {"\"vocab\"", "\"a\": 97", "\"a\": 99999999999", FV_ERR_FORMAT, "the id of \"a\" is 99999999999"},
    {"\"vocab\"", "\"a\": 97", "\"a\": 1e400", FV_ERR_FORMAT, "test:"},
    {"\"vocab\"", "\"a\": 97", "\"a\": \"b\"", FV_ERR_FORMAT, "\"a\" is a string, expected an integer"},
    {"\"vocab\"", "\"a\": 97", "\"b\": 97", FV_ERR_FORMAT, "duplicate"},
    {"\"added_tokens\"", "\"id\": 301", "\"id\": 302", FV_ERR_FORMAT, "\"<a>\" has the id 302, but 301"},
    {"\"added_tokens\"", "\"id\": 301", "\"id\": 2097152", FV_ERR_FORMAT,
     "the id of \"added_tokens[1]\" is 2097152"},
    {"\"added_tokens\"", "\"id\": 301", "\"x\": 301", FV_ERR_FORMAT, "\"added_tokens[1]\" is nothing"},
    {"\"added_tokens\"", "\"<a>\"", "\"\"", FV_ERR_FORMAT, "added_tokens[1]: the content is empty"},
    {"\"added_tokens\"", "\"<a>\"", "\"<q>\"", FV_ERR_FORMAT, "id 301 belongs to both \"<a>\" and \"<q>\""},
    {"\"added_tokens\"", "301,\n      \"content\": \"<a>\"", "302,\n      \"content\": \"<b>\"",
     FV_ERR_FORMAT, "\"<b>\" is given twice"},
    {"\"added_tokens\"", "301,\n      \"content\": \"<a>\"", "97,\n      \"content\": \"a\"",
     FV_ERR_UNSUPPORTED, "the added token \"a\" is also the token of the byte 0x61"},
    {"\"added_tokens\"", "[", "5, \"x\": [", FV_ERR_FORMAT, "\"added_tokens\" is not a list"},
};

static void test_a_wrong_file_is_refused_with_a_sentence(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        fv_tokenizer *t;
        fv_buffer text = copy_of_file();
        replace(&text, changes[i].anchor, changes[i].from, changes[i].to);
        assert_fails(fv_tokenizer_parse(text.data, text.size, "test", &t), changes[i].code,
                     changes[i].sentence);
        assert_null(t);
        fv_buffer_fini(&text);
    }
}

static size_t append_char(char *text, size_t size, uint32_t code)
{
    return size + (size_t)fv_utf8_encode(code, text + size);
}

/* The bytes of a text in form C. */
static void check_normal(const fv_tokenizer *t, const char *text, size_t size, const char *normal, size_t n)
{
    fv_tokens tokens = {0};
    assert_ok(fv_tokenizer_encode(t, text, size, FV_TOKENIZE_PLAIN, &tokens));
    assert_int_equal(tokens.n, n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(tokens.ids[i], (uint8_t)normal[i]);
    fv_tokens_fini(&tokens);
}

/* Every syllable of Hangul from its parts, from its first two, and from the open syllable and the final. T 0
 * is U+11A7, which is no final: it stays. */
static void test_conjoining_jamo(void **state)
{
    (void)state;
    fv_tokenizer *t;
    assert_ok(fv_tokenizer_load(folder, &t));
    for (uint32_t open = 0; open < 19 * 21; open++) {
        for (uint32_t final = 0; final < 28; final++) {
            char parts[16], joined[16], normal[16];
            size_t n_parts = append_char(parts, 0, 0x1100 + open / 21), n_joined = 0, n = 0;
            n_parts = append_char(parts, n_parts, 0x1161 + open % 21);
            n_parts = append_char(parts, n_parts, 0x11A7 + final);
            n_joined = append_char(joined, n_joined, 0xAC00 + 28 * open);
            n_joined = append_char(joined, n_joined, 0x11A7 + final);
            n = append_char(normal, n, 0xAC00 + 28 * open + final);
            n = final ? n : append_char(normal, n, 0x11A7);
            check_normal(t, parts, n_parts, normal, n);
            check_normal(t, joined, n_joined, normal, n);
        }
    }
    fv_tokenizer_destroy(t);
}

static void test_a_merge_must_not_make_an_added_token(void **state)
{
    (void)state;
    fv_tokenizer *t;
    fv_buffer text = copy_of_file();
    replace(&text, "\"vocab\"", "{", "{\"<a\": 500,");
    replace(&text, "\"merges\"", "[]", "[\"< a\", [\"<a\", \">\"]]");
    assert_fails(fv_tokenizer_parse(text.data, text.size, "test", &t), FV_ERR_UNSUPPORTED,
                 "merges[1] makes the added token \"<a>\"");
    fv_buffer_fini(&text);
}

static void test_post_processors_without_effect(void **state)
{
    (void)state;
    static const char *const harmless[] = {
        "\"type\": \"TemplateProcessing\", \"single\": [{\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}]",
        "\"type\": \"Sequence\", \"processors\": [{\"type\": \"ByteLevel\"}]"};
    for (int i = 0; i < 2; i++) {
        fv_tokenizer *t;
        fv_buffer text = copy_of_file();
        replace(&text, "\"post_processor\"", "\"type\": \"ByteLevel\"", harmless[i]);
        assert_ok(fv_tokenizer_parse(text.data, text.size, "test", &t));
        fv_tokenizer_destroy(t);
        fv_buffer_fini(&text);
    }
}

static void test_files_cut_short_are_refused(void **state)
{
    (void)state;
    for (size_t size = 0; size + 2 < file.size; size += 97) {
        fv_tokenizer *t;
        assert_int_not_equal(fv_tokenizer_parse(file.data, size, "test", &t), FV_OK);
        assert_null(t);
    }
    fv_tokenizer *t;
    assert_fails(fv_tokenizer_load("/nowhere", &t), FV_ERR_IO, "/nowhere/tokenizer.json");
    assert_fails(fv_tokenizer_write_bytes(folder, &(fv_added_token){"<x>", 255}, 1), FV_ERR_ARGUMENT,
                 "\"<x>\" has the id 255, expected 256 or more");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_are_their_own_ids),
        cmocka_unit_test(test_stream_of_single_bytes_gives_what_decode_gives),
        cmocka_unit_test(test_flags_of_added_tokens),
        cmocka_unit_test(test_a_wrong_file_is_refused_with_a_sentence),
        cmocka_unit_test(test_a_merge_must_not_make_an_added_token),
        cmocka_unit_test(test_conjoining_jamo),
        cmocka_unit_test(test_post_processors_without_effect),
        cmocka_unit_test(test_files_cut_short_are_refused),
    };
    return cmocka_run_group_tests(tests, write_folder, remove_folder);
}
