/* Tokens that not tokenizer.json but other files of a folder name. Expected ids are those of
 * transformers 5.24 for the same files; ids below 256 are bytes. */
#include "temp_folder.h"

#include "fovea/io/json.h"
#include "fovea/model/tokenizer/tokenizer.h"

#define TOKEN(content, more)                                                                          \
    "{\"content\": \"" content "\", \"lstrip\": " more ", \"normalized\": false, \"rstrip\": false, " \
    "\"single_word\": false, \"special\": true}"

/* What a folder's files hold; NULL: none. */
typedef struct files {
    const char *config, *map, *added;
} files;

static const char *const names[] = {"tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"};

/* A folder whose tokenizer.json ends with <|endoftext|> 256, <|im_end|> 257. */
static void write_folder(const files *with)
{
    static const fv_added_token special[] = {{"<|endoftext|>", 256}, {"<|im_end|>", 257}};
    const char *const texts[] = {with->config, with->map, with->added};
    temp_folder("t");
    assert_ok(fv_tokenizer_write_bytes(temp_path("t"), special, 2));
    for (int i = 0; i < 3; i++) {
        char name[64];
        snprintf(name, sizeof name, "t/%s", names[i]);
        unlink(temp_path(name));
        if (texts[i])
            temp_write(name, texts[i]);
    }
}

static void check_ids(const char *text, const int32_t *ids, size_t n)
{
    fv_tokenizer *t;
    fv_tokens tokens = {0};
    assert_ok(fv_tokenizer_load(temp_path("t"), &t));
    assert_ok(fv_tokenizer_encode(t, text, strlen(text), FV_TOKENIZE_MARKUP, &tokens));
    assert_int_equal(tokens.n, n);
    assert_memory_equal(tokens.ids, ids, n * sizeof *ids);
    fv_tokens_fini(&tokens);
    fv_tokenizer_destroy(t);
}

/* Ids of "a<z>b<p>": -1 where the token is not known. */
static void check_tokens(int32_t z, int32_t p)
{
    int32_t ids[16];
    size_t n = 0;
    ids[n++] = 'a';
    for (const char *c = "<z>"; z < 0 && *c; c++)
        ids[n++] = *c;
    if (z >= 0)
        ids[n++] = z;
    ids[n++] = 'b';
    for (const char *c = "<p>"; p < 0 && *c; c++)
        ids[n++] = *c;
    if (p >= 0)
        ids[n++] = p;
    check_ids("a<z>b<p>", ids, n);
}

static void test_tokens_get_the_ids_of_the_reference(void **state)
{
    (void)state;
    static const struct {
        files with;
        int32_t z, p;
    } cases[] = {
        {{NULL, NULL, NULL}, -1, -1},
        {{"{\"model_max_length\": 1000000000000000019884624838656, \"sep_token\": \"<z>\"}", NULL, NULL},
         258,
         -1},
        {{"{\"additional_special_tokens\": [\"<z>\", \"<p>\"]}", NULL, NULL}, 258, 259},
        {{"{\"additional_special_tokens\": [" TOKEN("<z>", "false") "]}", NULL, NULL}, 258, -1},
        {{"{\"extra_special_tokens\": [\"<z>\"], \"additional_special_tokens\": [\"<p>\"]}", NULL, NULL},
         258,
         -1},
        {{"{\"extra_special_tokens\": {\"zoom\": \"<z>\"}}", NULL, NULL}, 258, -1},
        {{"{\"model_specific_special_tokens\": {\"zoom_token\": \"<z>\"}}", NULL, NULL}, 258, -1},
        {{"{\"cls_token\": \"<p>\", \"sep_token\": \"<z>\", \"eos_token\": null}", NULL, NULL}, 258, 259},
        {{"{\"zoom_token\": \"<z>\", \"unk_token\": \"<p>\"}", NULL, NULL}, 259, 258},
        {{"{\"added_tokens_decoder\": {\"259\": " TOKEN("<z>", "false") ", \"256\": " TOKEN(
              "<|endoftext|>", "false") ", \"258\": " TOKEN("<p>", "false") "}}",
          NULL, NULL},
         259,
         258},
        {{NULL, NULL, "{\"<p>\": 259, \"<z>\": 258}"}, 258, 259},
        {{"{\"added_tokens_decoder\": {}}", "{\"sep_token\": \"<p>\"}", "{\"<z>\": 258}"}, -1, -1},
        {{"{\"sep_token\": \"<z>\"}", "{\"sep_token\": \"<p>\"}", NULL}, -1, 258},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_folder(&cases[i].with);
        check_tokens(cases[i].z, cases[i].p);
    }
}

static void test_flags_of_the_decoder_count(void **state)
{
    (void)state;
    write_folder(
        &(files){.config = "{\"added_tokens_decoder\": {\"257\": " TOKEN("<|im_end|>", "true") "}}"});
    check_ids("a <|im_end|>", (int32_t[]){'a', 257}, 2);
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        files with;
        fv_err code;
        const char *part;
    } cases[] = {
        {{NULL, NULL, "{\"<z>\": 300}"}, FV_ERR_UNSUPPORTED, "\"<z>\" has the id 300, but 258 by the tokens"},
        {{"{\"added_tokens_decoder\": {\"300\": " TOKEN("<|im_end|>", "false") "}}", NULL, NULL},
         FV_ERR_UNSUPPORTED,
         "\"<|im_end|>\" has the id 300, but 257"},
        {{"{\"added_tokens_decoder\": {\"x\": " TOKEN("<z>", "false") "}}", NULL, NULL},
         FV_ERR_FORMAT,
         "added_tokens_decoder has the id \"x\""},
        {{"{\"sep_token\": " TOKEN("<z>", "true") "}", NULL, NULL},
         FV_ERR_UNSUPPORTED,
         "\"lstrip\" of \"sep_token\" is true"},
        {{"{\"sep_token\": 3}", NULL, NULL}, FV_ERR_FORMAT, "\"sep_token\" is an integer"},
        {{"{\"add_bos_token\": true}", NULL, NULL}, FV_ERR_UNSUPPORTED, "\"add_bos_token\" is true"},
        {{"{\"add_prefix_space\": true}", NULL, NULL}, FV_ERR_UNSUPPORTED, "\"add_prefix_space\" is true"},
        {{"[]", NULL, NULL}, FV_ERR_FORMAT, "tokenizer_config.json: not a JSON object"},
        {{NULL, NULL, "{\"<z>\": \"258\"}"}, FV_ERR_FORMAT, "\"<z>\" is a string"},
        {{"{\"sep_token\": \"b\"}", NULL, NULL}, FV_ERR_UNSUPPORTED, "also the token of the byte 0x62"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fv_tokenizer *t;
        write_folder(&cases[i].with);
        assert_fails(fv_tokenizer_load(temp_path("t"), &t), cases[i].code, cases[i].part);
    }
}

/* The vocabulary of the bytes, he 256 and hel 257, as Qwen2's older files have it. */
static void write_bare(const char *merges)
{
    fv_json *root = NULL, *vocab;
    fv_buffer text = {0};
    write_folder(&(files){.config = NULL});
    assert_ok(fv_json_load(temp_path("t/tokenizer.json"), &root));
    vocab = fv_json_get(fv_json_get(root, "model"), "vocab");
    fv_json_remove(vocab, "<|endoftext|>");
    fv_json_remove(vocab, "<|im_end|>");
    assert_ok(fv_json_set(vocab, "he", fv_json_make_integer(256)));
    assert_ok(fv_json_set(vocab, "hel", fv_json_make_integer(257)));
    assert_ok(fv_json_print(vocab, 0, &text));
    temp_write("t/vocab.json", text.data);
    temp_write("t/merges.txt", merges);
    fv_buffer_fini(&text);
    fv_json_destroy(root);
    assert_int_equal(unlink(temp_path("t/tokenizer.json")), 0);
}

static void test_vocab_and_merges(void **state)
{
    (void)state;
    static const int32_t ids[] = {257, 'l', 'o', 258, '<', 'z', '>'};
    fv_tokenizer *t;
    write_bare("#version: 0.2\nh e\nhe l\n");
    check_ids("hello<|endoftext|><z>", ids, 7); /* a default that no file names */
    write_bare("#version: 0.2\r\nh e\r\nhe l\r\n");
    check_ids("hello<|endoftext|><z>", ids, 7);
    temp_write("t/added_tokens.json", "{\"<|endoftext|>\": 258, \"<z>\": 259}");
    check_ids("<z>hel", (int32_t[]){259, 257}, 2);
    temp_write("t/tokenizer_config.json", "{\"eos_token\": \"<|im_end|>\"}");
    unlink(temp_path("t/added_tokens.json"));
    check_ids("<|im_end|><|endoftext|>", (int32_t[]){258, 259}, 2);
    temp_write("t/merges.txt", "h e l\n");
    assert_fails(fv_tokenizer_load(temp_path("t"), &t), FV_ERR_FORMAT, "vocab.json: merges[0]");
    unlink(temp_path("t/merges.txt"));
    assert_fails(fv_tokenizer_load(temp_path("t"), &t), FV_ERR_IO, "merges.txt");
    unlink(temp_path("t/vocab.json"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokens_get_the_ids_of_the_reference),
        cmocka_unit_test(test_flags_of_the_decoder_count),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_vocab_and_merges),
    };
    return cmocka_run_group_tests(tests, temp_setup, temp_teardown);
}
