#include "jobs/jobs.h"
#include "jobs/option.h"
#include "jobs/terminal.h"

#include "fovea/io/json.h"
#include "fovea/model/tokenizer/tokenizer.h"

#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TEXT = 1 << 30, OPTION_STDIN = 256, OPTION_JSON, OPTION_PLAIN, OPTION_DECODE, OPTION_SKIP };

typedef struct options {
    const char *model;
    int from_stdin, json, plain, decode, skip_special;
} options;

static const struct argp_option option_list[] = {
    {"model", 'm', "DIR", 0, "a Hugging Face folder; its tokenizer.json is read (required)", 0},
    {"stdin", OPTION_STDIN, NULL, 0, "all of standard input is one text", 0},
    {"json", OPTION_JSON, NULL, 0, "print {\"ids\": [...], \"tokens\": [...]} instead of a line of ids", 0},
    {"plain", OPTION_PLAIN, NULL, 0, "recognise no added token: treat \"<|im_end|>\" as ordinary text", 0},
    {"decode", OPTION_DECODE, NULL, 0, "the other way: standard input holds ids, print their text", 0},
    {"skip-special", OPTION_SKIP, NULL, 0, "with --decode: leave special tokens out", 0},
    {NULL, 0, NULL, 0, NULL, 0}};

static const fv_option table[] = {{'m', FV_OPTION_PATH, offsetof(options, model)},
                                  {OPTION_STDIN, FV_OPTION_FLAG, offsetof(options, from_stdin)},
                                  {OPTION_JSON, FV_OPTION_FLAG, offsetof(options, json)},
                                  {OPTION_PLAIN, FV_OPTION_FLAG, offsetof(options, plain)},
                                  {OPTION_DECODE, FV_OPTION_FLAG, offsetof(options, decode)},
                                  {OPTION_SKIP, FV_OPTION_FLAG, offsetof(options, skip_special)},
                                  {0}};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    options *o = state->input;
    switch (key) {
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument \"%s\"; the text is read from standard input", arg);
        return 0;
    case ARGP_KEY_END:
        if (!o->model)
            argp_error(state, "--model DIR is missing");
        if (!o->from_stdin && !o->decode)
            argp_error(state, "--stdin is missing: it says that the text comes from standard input");
        if (o->decode && (o->json || o->plain))
            argp_error(state, "--decode prints text: it goes with neither --json nor --plain");
        return 0;
    default:
        return fv_option_set(table, option_list, key, arg, state, o);
    }
}

static const struct argp parser = {
    option_list,
    parse_option,
    NULL,
    "Turn text into token ids, or ids into text.\n\n"
    "Added tokens in the text are recognised as the reference implementation does, unless --plain is given. "
    "Input that is not UTF-8 is read with U+FFFD in place of each invalid part.",
    NULL,
    NULL,
    NULL};

static fv_err print_ids(const fv_tokens *tokens, fv_buffer *out)
{
    for (size_t i = 0; i < tokens->n; i++)
        FV_TRY(fv_buffer_print(out, i ? " %d" : "%d", tokens->ids[i]));
    return fv_buffer_append(out, "\n", 1);
}

static fv_err fill_json(const fv_tokenizer *t, const fv_tokens *tokens, fv_json *root)
{
    fv_json *ids = fv_json_make_array(), *texts = fv_json_make_array();
    fv_err err = fv_json_set(root, "ids", ids);
    if (!err)
        err = fv_json_set(root, "tokens", texts);
    for (size_t i = 0; i < tokens->n && !err; i++) {
        const char *text = fv_tokenizer_text(t, tokens->ids[i]);
        FV_TRY(fv_json_append(ids, fv_json_make_integer(tokens->ids[i])));
        FV_TRY(fv_json_append(texts, fv_json_make_string(text, strlen(text))));
    }
    return err;
}

static fv_err print_json(const fv_tokenizer *t, const fv_tokens *tokens, fv_buffer *out)
{
    fv_json *root = fv_json_make_object();
    fv_err err = FV_OK;
    FV_TRY_DONE(fill_json(t, tokens, root));
    FV_TRY_DONE(fv_json_print(root, 0, out));
    FV_TRY_DONE(fv_buffer_append(out, "\n", 1));
done:
    fv_json_destroy(root);
    return err;
}

static fv_err encode(const fv_tokenizer *t, const options *o, const fv_buffer *in, fv_buffer *out)
{
    fv_tokens tokens = {0};
    fv_tokenize_mode mode = o->plain ? FV_TOKENIZE_PLAIN : FV_TOKENIZE_MARKUP;
    fv_err err = FV_OK;
    FV_TRY_DONE(fv_tokenizer_encode(t, in->data, in->size, mode, &tokens));
    FV_TRY_DONE(o->json ? print_json(t, &tokens, out) : print_ids(&tokens, out));
done:
    fv_tokens_fini(&tokens);
    return err;
}

static fv_err read_ids(const fv_tokenizer *t, const char *text, fv_tokens *tokens)
{
    static const char between[] = " \t\r\n,";
    for (text += strspn(text, between); *text; text += strspn(text, between)) {
        char *end;
        errno = 0;
        long id = strtol(text, &end, 10);
        int length = (int)strcspn(text, between);
        int is_id = end == text + length && errno == 0 && id >= 0 && id < fv_tokenizer_size(t);
        FV_CHECK(is_id, FV_ERR_ARGUMENT,
                 "standard input: \"%.*s\" is not a token id, expected a number from 0 to %d",
                 length < 40 ? length : 40, text, fv_tokenizer_size(t) - 1);
        FV_TRY(fv_tokens_push(tokens, (int32_t)id));
        text = end;
    }
    return FV_OK;
}

static fv_err decode(const fv_tokenizer *t, const options *o, const fv_buffer *in, fv_buffer *out)
{
    fv_tokens tokens = {0};
    fv_err err = FV_OK;
    FV_CHECK_DONE(strlen(in->data) == in->size, FV_ERR_ARGUMENT,
                  "standard input: a NUL byte at %zu, expected token ids", strlen(in->data));
    FV_TRY_DONE(read_ids(t, in->data, &tokens));
    FV_TRY_DONE(fv_tokenizer_decode(t, tokens.ids, tokens.n, o->skip_special, out));
done:
    fv_tokens_fini(&tokens);
    return err;
}

static fv_err run(const options *o)
{
    fv_tokenizer *t = NULL;
    fv_buffer in = {0}, out = {0};
    fv_err err = FV_OK;
    FV_TRY_DONE(fv_tokenizer_load(o->model, &t));
    FV_TRY_DONE(fv_buffer_read(&in, stdin, "standard input", MAX_TEXT));
    FV_TRY_DONE(o->decode ? decode(t, o, &in, &out) : encode(t, o, &in, &out));
    FV_CHECK_DONE(fwrite(out.data, 1, out.size, stdout) == out.size && fflush(stdout) == 0, FV_ERR_IO,
                  "cannot write to standard output: %s", strerror(errno));
done:
    fv_buffer_fini(&in);
    fv_buffer_fini(&out);
    fv_tokenizer_destroy(t);
    return err;
}

int fv_job_tokenize(int argc, char **argv)
{
    options o = {0};
    if (fv_terminal_parse(&parser, argc, argv, &o))
        return FV_EXIT_USAGE;
    return fv_job_finish(run(&o));
}
