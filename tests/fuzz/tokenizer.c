/* A tokenizer.json from anywhere, and a text. The first line of the input is the JSON, all after it the text.
 * To keep inputs short, the first '@' of the JSON stands for the members of the 256 bytes' tokens and the
 * first '~' for the split rule. */
#include "fovea/base/text/utf8.h"
#include "model/tokenizer/tokenizer_internal.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(int holds)
{
    if (!holds)
        __builtin_trap();
}

static void append_bytes(fv_buffer *out)
{
    for (int byte = 0; byte < 256; byte++) {
        char text[4];
        int size = fv_utf8_encode(fv_byte_char((uint8_t)byte), text);
        const char *escape = text[0] == '"' || text[0] == '\\' ? "\\" : "";
        expect(fv_buffer_print(out, "%s\"%s%.*s\":%d", byte ? "," : "", escape, size, text, byte) == FV_OK);
    }
}

static void append_split(fv_buffer *out)
{
    fv_json *rule = fv_json_make_string(FV_QWEN2_SPLIT, strlen(FV_QWEN2_SPLIT));
    expect(fv_json_print(rule, 0, out) == FV_OK);
    fv_json_destroy(rule);
}

static fv_buffer expand(const char *line, size_t size)
{
    fv_buffer out = {0};
    const char *bytes = memchr(line, '@', size), *split = memchr(line, '~', size);
    for (const char *at = line; at < line + size; at++) {
        if (at == bytes)
            append_bytes(&out);
        else if (at == split)
            append_split(&out);
        else
            expect(fv_buffer_append(&out, at, 1) == FV_OK);
    }
    return out;
}

static void expect_same(const fv_buffer *a, const fv_buffer *b)
{
    expect(a->size == b->size && (a->size == 0 || memcmp(a->data, b->data, a->size) == 0));
}

/* Fed one id at a time or all at once, decoding gives the same text, and it is valid. */
static fv_buffer decode(const fv_tokenizer *t, const fv_tokens *tokens, int skip_special)
{
    fv_buffer whole = {0}, valid = {0}, streamed = {0};
    fv_token_stream stream;
    expect(fv_tokenizer_decode(t, tokens->ids, tokens->n, skip_special, &whole) == FV_OK);
    expect(fv_buffer_append_valid(&valid, whole.data, whole.size) == FV_OK);
    expect_same(&whole, &valid);
    fv_token_stream_init(&stream, t, skip_special);
    for (size_t i = 0; i < tokens->n; i++)
        expect(fv_token_stream_push(&stream, tokens->ids[i], &streamed) == FV_OK);
    expect(fv_token_stream_flush(&stream, &streamed) == FV_OK);
    expect_same(&whole, &streamed);
    fv_buffer_fini(&valid);
    fv_buffer_fini(&streamed);
    return whole;
}

/* The ids are those that merging alone makes of each piece. */
static void check_pieces(const fv_tokenizer *t, const fv_buffer *text, const fv_tokens *tokens)
{
    fv_tokens merged = {0};
    for (size_t at = 0, end; at < text->size; at = end) {
        end = fv_split_end(text->data, text->size, at);
        expect(fv_bpe_append(t, text->data + at, end - at, &merged) == FV_OK);
    }
    expect(merged.n == tokens->n);
    for (size_t i = 0; i < merged.n; i++)
        expect(merged.ids[i] == tokens->ids[i]);
    fv_tokens_fini(&merged);
}

/* Plain text gives no added token, and decodes to itself in normalization form C. */
static void check_plain(const fv_tokenizer *t, const char *text, size_t size)
{
    fv_tokens tokens = {0};
    fv_buffer valid = {0}, normal = {0};
    expect(fv_tokenizer_encode(t, text, size, FV_TOKENIZE_PLAIN, &tokens) == FV_OK);
    for (size_t i = 0; i < tokens.n; i++)
        expect(t->tokens[tokens.ids[i]].kind == FV_TOKEN_ORDINARY);
    expect(fv_buffer_append_valid(&valid, text, size) == FV_OK);
    expect(fv_nfc_append(&normal, valid.data, valid.size) == FV_OK);
    check_pieces(t, &normal, &tokens);
    fv_buffer decoded = decode(t, &tokens, 0);
    expect_same(&decoded, &normal);
    fv_buffer_fini(&decoded);
    fv_buffer_fini(&normal);
    fv_buffer_fini(&valid);
    fv_tokens_fini(&tokens);
}

static void check_markup(const fv_tokenizer *t, const char *text, size_t size)
{
    fv_tokens tokens = {0};
    expect(fv_tokenizer_encode(t, text, size, FV_TOKENIZE_MARKUP, &tokens) == FV_OK);
    for (size_t i = 0; i < tokens.n; i++)
        expect(fv_tokenizer_text(t, tokens.ids[i]) != NULL);
    fv_buffer decoded = decode(t, &tokens, 1);
    fv_buffer_fini(&decoded);
    fv_tokens_fini(&tokens);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *line_end = memchr(data, '\n', size);
    size_t line_size = line_end ? (size_t)(line_end - data) : size;
    const char *text = (const char *)data + (line_end ? line_size + 1 : size);
    size_t text_size = size - (size_t)(text - (const char *)data);
    fv_buffer json = expand((const char *)data, line_size);
    fv_tokenizer *t = NULL;
    if (fv_tokenizer_parse(json.data, json.size, "input", &t) == FV_OK) {
        check_plain(t, text, text_size);
        check_markup(t, text, text_size);
    }
    fv_tokenizer_destroy(t);
    fv_buffer_fini(&json);
    return 0;
}
