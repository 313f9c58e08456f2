#include "fovea/train/prompt_template.h"

#include "fovea/io/yaml.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_PIECES = 5 /* two placeholders and the text around them */ };

typedef enum piece_kind { TEXT, IMAGE, QUESTION, ERROR, N_KINDS } piece_kind;

static const char *const placeholders[N_KINDS] = {NULL, "{image}", "{question}", "{error}"};

typedef struct piece {
    piece_kind kind;
    fv_text_part text; /* of TEXT; borrowed from the file's tree */
} piece;

typedef struct template
{
    piece pieces[MAX_PIECES];
    size_t n;
}
template;

struct fv_prompts {
    fv_yaml *yaml;
    fv_text_part system;
    template user, tool_result, tool_error;
};

/* Reading. */

/* The first placeholder in [at, end); end if there is none. */
static const char *find_placeholder(const char *at, const char *end, piece_kind *kind)
{
    for (; at < end; at++)
        for (int k = IMAGE; k < N_KINDS; k++)
            if (strncmp(at, placeholders[k], strlen(placeholders[k])) == 0)
                return *kind = (piece_kind)k, at;
    return end;
}

/* Cut text at its placeholders, which must be those of the set wanted (bits 1 << kind), each once. */
static fv_err parse(const char *text, size_t size, unsigned wanted, template *out)
{
    const char *end = text + size;
    for (unsigned left = wanted;;) {
        piece_kind kind = TEXT;
        const char *found = find_placeholder(text, end, &kind);
        if (found > text)
            out->pieces[out->n++] = (piece){TEXT, {text, (size_t)(found - text), FV_TOKENIZE_MARKUP}};
        if (found == end) {
            for (int k = IMAGE; k < N_KINDS; k++)
                FV_CHECK(!(left & 1u << k), FV_ERR_FORMAT, "there is no %s in it", placeholders[k]);
            return FV_OK;
        }
        FV_CHECK(wanted & 1u << kind, FV_ERR_FORMAT, "%s has no place in it", placeholders[kind]);
        FV_CHECK(left & 1u << kind, FV_ERR_FORMAT, "%s is there twice", placeholders[kind]);
        left &= ~(1u << kind);
        out->pieces[out->n++] = (piece){.kind = kind};
        text = found + strlen(placeholders[kind]);
    }
}

typedef struct field {
    const char *key;
    unsigned wanted;
    int is_required;
    template *out;
} field;

static fv_err read_field(const fv_yaml *yaml, const field *f)
{
    const fv_json *root = fv_yaml_root(yaml), *value = fv_json_get(root, f->key);
    const char *text;
    size_t size;
    FV_CHECK(value || !f->is_required, FV_ERR_FORMAT, "there is no \"%s\"", f->key);
    if (!value)
        return FV_OK;
    int line = fv_yaml_line(yaml, root, f->key, 0);
    fv_err err = fv_json_to_string(value, f->key, &text, &size);
    if (err == FV_OK)
        err = strlen(text) == size ? parse(text, size, f->wanted, f->out)
                                   : FV_FAIL(FV_ERR_FORMAT, "it holds a NUL");
    return err == FV_OK ? FV_OK : fv_error_prefix(err, "line %d: \"%s\"", line, f->key);
}

static fv_err check_keys(const fv_yaml *yaml, const field *fields, size_t n)
{
    const fv_json *root = fv_yaml_root(yaml);
    FV_CHECK(fv_json_kind_of(root) == FV_JSON_OBJECT, FV_ERR_FORMAT, "not a list of keys");
    for (void *i = fv_json_first(root); i; i = fv_json_next(root, i)) {
        size_t f = 0;
        while (f < n && strcmp(fields[f].key, fv_json_key(i)) != 0)
            f++;
        FV_CHECK(f < n, FV_ERR_FORMAT, "line %d: unknown key \"%.64s\"",
                 fv_yaml_line(yaml, root, fv_json_key(i), 0), fv_json_key(i));
    }
    return FV_OK;
}

static fv_err read_all(fv_prompts *p)
{
    enum { N = 4 };
    template system = {0};
    const field fields[N] = {{"system", 0, 1, &system},
                             {"user", 1u << IMAGE | 1u << QUESTION, 1, &p->user},
                             {"tool_result", 1u << IMAGE, 0, &p->tool_result},
                             {"tool_error", 1u << ERROR, 0, &p->tool_error}};
    FV_TRY(check_keys(p->yaml, fields, N));
    for (size_t i = 0; i < N; i++)
        FV_TRY(read_field(p->yaml, &fields[i]));
    FV_CHECK(!p->tool_result.n == !p->tool_error.n, FV_ERR_FORMAT,
             "\"tool_result\" and \"tool_error\" go together: give both or neither");
    if (system.n)
        p->system = system.pieces[0].text;
    return FV_OK;
}

fv_err fv_prompts_load(const char *path, fv_prompts **out)
{
    *out = NULL;
    fv_prompts *p = calloc(1, sizeof *p);
    FV_CHECK(p, FV_ERR_MEMORY, "cannot allocate prompts");
    fv_err err = fv_yaml_load(path, &p->yaml);
    if (err == FV_OK) {
        err = read_all(p);
        if (err != FV_OK)
            fv_error_prefix(err, "%s", path);
    }
    if (err != FV_OK)
        fv_prompts_destroy(p);
    else
        *out = p;
    return err;
}

void fv_prompts_destroy(fv_prompts *prompts)
{
    if (!prompts)
        return;
    fv_yaml_destroy(prompts->yaml);
    free(prompts);
}

int fv_prompts_has_tool(const fv_prompts *prompts)
{
    return prompts->tool_result.n > 0;
}

/* Writing. */

/* What takes the places of a template. */
typedef struct filling {
    fv_text_part question, error;
    int64_t n_image_tokens;
} filling;

/* parts (MAX_PIECES); an image of no tokens is left out. */
static size_t fill_template(const template *t, const filling *with, fv_chat_part *parts)
{
    size_t n = 0;
    for (size_t i = 0; i < t->n; i++) {
        const piece *p = &t->pieces[i];
        if (p->kind == IMAGE && with->n_image_tokens == 0)
            continue;
        parts[n++] = p->kind == IMAGE ? (fv_chat_part){.n_image_tokens = with->n_image_tokens}
                                      : (fv_chat_part){.text = p->kind == QUESTION ? with->question
                                                               : p->kind == ERROR  ? with->error
                                                                                   : p->text};
    }
    return n;
}

fv_err fv_prompts_start(const fv_prompts *prompts, const fv_chat *chat, fv_text_part question,
                        int64_t n_image_tokens, fv_tokens *out)
{
    fv_chat_part system = {.text = prompts->system}, user[MAX_PIECES];
    const filling with = {.question = question, .n_image_tokens = n_image_tokens};
    const fv_chat_message messages[] = {{FV_CHAT_SYSTEM, &system, 1},
                                        {FV_CHAT_USER, user, fill_template(&prompts->user, &with, user)}};
    return fv_chat_encode(chat, messages, 2, FV_CHAT_ANSWER, out);
}

static fv_err append_turn(const fv_chat *chat, const template *t, const filling *with, fv_tokens *out)
{
    fv_chat_part parts[MAX_PIECES];
    FV_CHECK(t->n > 0, FV_ERR_ARGUMENT, "these prompts have no tool");
    const fv_chat_message message = {FV_CHAT_USER, parts, fill_template(t, with, parts)};
    return fv_chat_encode(chat, &message, 1, FV_CHAT_AFTER_TURN | FV_CHAT_ANSWER, out);
}

fv_err fv_prompts_tool_result(const fv_prompts *prompts, const fv_chat *chat, int64_t n_image_tokens,
                              fv_tokens *out)
{
    const filling with = {.n_image_tokens = n_image_tokens};
    return append_turn(chat, &prompts->tool_result, &with, out);
}

fv_err fv_prompts_tool_error(const fv_prompts *prompts, const fv_chat *chat, const char *error,
                             fv_tokens *out)
{
    const filling with = {.error = {error, strlen(error), FV_TOKENIZE_PLAIN}};
    return append_turn(chat, &prompts->tool_error, &with, out);
}
