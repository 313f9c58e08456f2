#include "fovea/reward/judge/judge_prompt.h"

#include "fovea/reward/truths.h"
#include "fovea/base/text/utf8.h"
#include "fovea/io/yaml.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum { MAX_KEYS = 3, TRUTH = 2 /* among the placeholders */ };

static const char *const placeholders[FV_JUDGE_PLACES] = {"{question}", "{answer}", "{truth}"};
static const char between[] = "\" or \""; /* two accepted answers */

struct fv_judge_prompt {
    fv_yaml *yaml;
    fv_slice system;
    fv_slice texts[FV_JUDGE_PLACES + 1]; /* between the placeholders of user */
    int places[FV_JUDGE_PLACES];         /* which one follows a text */
    fv_grammar grammar;
};

/* Data. */

/* Escaped: what ends the string, a line, or a reader's attention, and what special tokens start with. */
static int is_plain(uint32_t code, uint32_t next)
{
    if (code == '"' || code == '\\' || code == '<' || code == '>')
        return 0;
    if (code == '[')
        return next != '/' && !(next < 0x80 && ((next | 0x20) >= 'a' && (next | 0x20) <= 'z'));
    utf8proc_category_t c = utf8proc_category((utf8proc_int32_t)code);
    return c != UTF8PROC_CATEGORY_CN && c < UTF8PROC_CATEGORY_ZL;
}

static fv_err append_escaped(uint32_t code, fv_buffer *out)
{
    switch (code) {
    case '"':
    case '\\':
        return fv_buffer_print(out, "\\%c", (char)code);
    case '\n':
        return fv_buffer_append(out, "\\n", 2);
    case '\t':
        return fv_buffer_append(out, "\\t", 2);
    default:
        if (code < 0x10000)
            return fv_buffer_print(out, "\\u%04x", (unsigned)code);
        code -= 0x10000;
        return fv_buffer_print(out, "\\u%04x\\u%04x", 0xd800 + (unsigned)(code >> 10),
                               0xdc00 + (unsigned)(code & 0x3ff));
    }
}

static fv_err append_valid_data(fv_slice text, fv_buffer *out)
{
    for (size_t at = 0; at < text.size;) {
        uint32_t code, next = 0;
        size_t n = (size_t)fv_utf8_decode(text.data + at, text.size - at, &code);
        if (at + n < text.size)
            next = (unsigned char)text.data[at + n];
        if (is_plain(code, next))
            FV_TRY(fv_buffer_append(out, text.data + at, n));
        else
            FV_TRY(append_escaped(code, out));
        at += n;
    }
    return FV_OK;
}

static fv_err append_data(fv_slice text, fv_buffer *out)
{
    fv_buffer valid = {0};
    fv_err err = FV_OK;
    FV_TRY_DONE(fv_buffer_append_valid(&valid, text.data, text.size));
    FV_TRY_DONE(append_valid_data((fv_slice){valid.data, valid.size}, out));
done:
    fv_buffer_fini(&valid);
    return err;
}

fv_err fv_judge_prompt_data(const fv_judge_prompt *prompt, const fv_case *asked, int place, fv_buffer *out)
{
    const fv_slice all[FV_JUDGE_PLACES] = {asked->question, asked->answer, asked->truth};
    int which = prompt->places[place];
    fv_slice truths = asked->truth, truth;
    if (which != TRUTH)
        return append_data(all[which], out);
    for (int n = 0; fv_truths_next(&truths, &truth); n++) {
        FV_TRY(fv_buffer_append(out, between, n > 0 ? strlen(between) : 0));
        FV_TRY(append_data(truth, out));
    }
    return FV_OK;
}

fv_err fv_judge_prompt_fixed(const fv_judge_prompt *prompt, int place, fv_buffer *out)
{
    const char *before = place > 0 ? "\"" : "", *after = place < FV_JUDGE_PLACES ? "\"" : "";
    FV_TRY(fv_buffer_append(out, before, strlen(before)));
    FV_TRY(fv_buffer_append(out, prompt->texts[place].data, prompt->texts[place].size));
    return fv_buffer_append(out, after, strlen(after));
}

fv_err fv_judge_prompt_user(const fv_judge_prompt *prompt, const fv_case *asked, fv_buffer *out)
{
    for (int place = 0; place < FV_JUDGE_PLACES; place++) {
        FV_TRY(fv_judge_prompt_fixed(prompt, place, out));
        FV_TRY(fv_judge_prompt_data(prompt, asked, place, out));
    }
    return fv_judge_prompt_fixed(prompt, FV_JUDGE_PLACES, out);
}

/* Reading. */

static size_t find_first(fv_slice text, int *place)
{
    size_t first = FV_SLICE_NONE;
    for (int i = 0; i < FV_JUDGE_PLACES; i++) {
        size_t at = fv_slice_find(text, fv_slice_of(placeholders[i]));
        if (at < first) {
            first = at;
            *place = i;
        }
    }
    return first;
}

static fv_err cut_user(fv_slice text, fv_judge_prompt *out)
{
    int is_there[FV_JUDGE_PLACES] = {0}, place = 0;
    for (int n = 0;; n++) {
        size_t at = find_first(text, &place);
        if (at == FV_SLICE_NONE)
            break;
        FV_CHECK(!is_there[place]++, FV_ERR_FORMAT, "%s is there twice", placeholders[place]);
        out->texts[n] = fv_slice_cut(text, 0, at);
        out->places[n] = place;
        text = fv_slice_cut(text, at + strlen(placeholders[place]), text.size);
    }
    for (int i = 0; i < FV_JUDGE_PLACES; i++)
        FV_CHECK(is_there[i], FV_ERR_FORMAT, "there is no %s in it", placeholders[i]);
    out->texts[FV_JUDGE_PLACES] = text;
    return FV_OK;
}

static fv_err set_grammar(fv_slice name, fv_judge_prompt *out)
{
    int is_score = fv_slice_equal(name, fv_slice_of("score"));
    FV_CHECK(is_score || fv_slice_equal(name, fv_slice_of("words")), FV_ERR_FORMAT,
             "it is neither score nor words");
    out->grammar = is_score ? FV_GRAMMAR_SCORE : FV_GRAMMAR_WORDS;
    return FV_OK;
}

static fv_err read_key(const char *key, const fv_json *value, fv_judge_prompt *out)
{
    fv_slice text;
    FV_TRY(fv_json_to_string(value, key, &text.data, &text.size));
    if (strcmp(key, "user") == 0)
        return cut_user(text, out);
    if (strcmp(key, "verdict") == 0)
        return set_grammar(text, out);
    FV_CHECK(strcmp(key, "system") == 0, FV_ERR_FORMAT, "unknown; there are system, user and verdict");
    out->system = text;
    return FV_OK;
}

static fv_err read_all(fv_judge_prompt *out)
{
    const fv_json *root = fv_yaml_root(out->yaml);
    FV_CHECK(fv_json_kind_of(root) == FV_JSON_OBJECT, FV_ERR_FORMAT, "not a list of keys");
    for (void *i = fv_json_first(root); i; i = fv_json_next(root, i)) {
        const char *key = fv_json_key(i);
        fv_err err = read_key(key, fv_json_member(i), out);
        if (err != FV_OK)
            return fv_error_prefix(err, "line %d: \"%.64s\"", fv_yaml_line(out->yaml, root, key, 0), key);
    }
    FV_CHECK(fv_json_size(root) == MAX_KEYS, FV_ERR_FORMAT,
             "it has %zu keys, expected system, user and verdict", fv_json_size(root));
    return FV_OK;
}

fv_err fv_judge_prompt_load(const char *path, fv_judge_prompt **out)
{
    fv_judge_prompt *prompt = calloc(1, sizeof *prompt);
    *out = NULL;
    FV_CHECK(prompt, FV_ERR_MEMORY, "cannot allocate a judge's prompt");
    fv_err err = fv_yaml_load(path, &prompt->yaml);
    if (err == FV_OK) {
        err = read_all(prompt);
        if (err != FV_OK)
            fv_error_prefix(err, "%s", path);
    }
    if (err != FV_OK)
        fv_judge_prompt_destroy(prompt);
    else
        *out = prompt;
    return err;
}

void fv_judge_prompt_destroy(fv_judge_prompt *prompt)
{
    if (!prompt)
        return;
    fv_yaml_destroy(prompt->yaml);
    free(prompt);
}

fv_grammar fv_judge_prompt_grammar(const fv_judge_prompt *prompt)
{
    return prompt->grammar;
}

fv_slice fv_judge_prompt_system(const fv_judge_prompt *prompt)
{
    return prompt->system;
}
