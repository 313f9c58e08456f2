/* What servers and gateways say in errors: there are as many forms of it as there are services. */
#include "fovea/io/json.h"
#include "reward/judge/judge_api_internal.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 8, N_MESSAGES = 2 };

/* What is found on the way through a body. */
typedef struct gathering {
    fv_api_refusal *out;
    fv_buffer words;
    fv_buffer messages[N_MESSAGES]; /* the first ones that differ */
    fv_buffer parameter;            /* named before the first of them */
} gathering;

static int is_one_of(const char *key, const char *const *list)
{
    for (; *list; list++)
        if (strcmp(key, *list) == 0)
            return 1;
    return 0;
}

static int mentions(const char *words, const char *const *list)
{
    for (; *list; list++)
        if (strstr(words, *list))
            return 1;
    return 0;
}

/* Gathering. */

static fv_err gather(gathering *g, const char *key, const fv_json *value, int depth);

/* A gateway may put what it was told into a text, behind words of its own. */
static int gather_inner(gathering *g, fv_slice text, int depth)
{
    fv_json *inner;
    size_t first = fv_slice_find(text, fv_slice_of("{")), last = fv_slice_find_last(text, fv_slice_of("}"));
    if (first == FV_SLICE_NONE || last == FV_SLICE_NONE || last < first ||
        fv_json_parse_foreign(text.data + first, last + 1 - first, "error", &inner) != FV_OK)
        return 0;
    (void)gather(g, "", inner, depth + 1);
    fv_json_destroy(inner);
    return g->messages[0].size > 0;
}

static fv_err add_message(gathering *g, fv_slice text)
{
    for (int i = 0; i < N_MESSAGES; i++) {
        fv_buffer *message = &g->messages[i];
        if (message->size == 0)
            return fv_buffer_append(message, text.data, text.size);
        if (fv_slice_equal(text, (fv_slice){message->data, message->size}))
            return FV_OK;
    }
    return FV_OK;
}

static fv_err gather_text(gathering *g, const char *key, fv_slice text, int depth)
{
    static const char *const messages[] = {
        "message",           "msg",         "detail", "error",     "errors",  "title",        "reason",
        "error_description", "description", "raw",    "error_msg", "refusal", "errorMessage", NULL};
    static const char *const codes[] = {"code", "type", "status", NULL};
    static const char *const parameters[] = {"param", "loc", NULL};
    text = fv_slice_trim(text);
    if (text.size == 0)
        return FV_OK;
    FV_TRY(fv_buffer_append(&g->words, text.data, text.size));
    FV_TRY(fv_buffer_append(&g->words, "\n", 1));
    if (is_one_of(key, parameters) && g->messages[0].size == 0) {
        g->parameter.size = 0;
        FV_TRY(fv_buffer_append(&g->parameter, text.data, text.size));
    }
    size_t used = strlen(g->out->kind);
    if (is_one_of(key, codes))
        snprintf(g->out->kind + used, sizeof g->out->kind - used, " %.*s", (int)text.size, text.data);
    if (!is_one_of(key, messages) || (depth < MAX_DEPTH && gather_inner(g, text, depth)))
        return FV_OK;
    return add_message(g, text);
}

static fv_err gather_members(gathering *g, const fv_json *object, int depth)
{
    for (void *i = fv_json_first(object); i; i = fv_json_next(object, i))
        if (strcmp(fv_json_key(i), "input") != 0) /* our own words, which FastAPI sends back */
            FV_TRY(gather(g, fv_json_key(i), fv_json_member(i), depth + 1));
    return FV_OK;
}

static fv_err gather(gathering *g, const char *key, const fv_json *value, int depth)
{
    fv_slice text;
    if (depth >= MAX_DEPTH)
        return FV_OK;
    switch (fv_json_kind_of(value)) {
    case FV_JSON_STRING:
        FV_TRY(fv_json_to_string(value, key, &text.data, &text.size));
        return gather_text(g, key, text, depth);
    case FV_JSON_ARRAY:
        for (size_t i = 0; i < fv_json_size(value); i++)
            FV_TRY(gather(g, key, fv_json_at(value, i), depth + 1));
        return FV_OK;
    case FV_JSON_OBJECT:
        return gather_members(g, value, depth);
    default:
        return FV_OK;
    }
}

/* Of a page its title, or its text without tags. */
static fv_err gather_page(gathering *g, fv_slice page)
{
    size_t title = fv_slice_find(page, fv_slice_of("<title>")),
           end = fv_slice_find(page, fv_slice_of("</title>"));
    fv_buffer text = {0};
    fv_err err = FV_OK;
    int in_tag = 0;
    if (title != FV_SLICE_NONE && end != FV_SLICE_NONE && end > title)
        page = fv_slice_cut(page, title, end);
    for (size_t i = 0; i < page.size && err == FV_OK; i++) {
        char c = page.data[i];
        in_tag |= c == '<';
        if (!in_tag || c == '>')
            err = fv_buffer_append(&text, in_tag ? " " : &c, 1);
        in_tag &= c != '>';
    }
    if (err == FV_OK)
        err = gather_text(g, "message", (fv_slice){text.data, text.size}, MAX_DEPTH);
    fv_buffer_fini(&text);
    return err;
}

static fv_err gather_body(gathering *g, fv_slice body)
{
    fv_json *root;
    if (fv_json_parse_foreign(body.data, body.size, "error", &root) != FV_OK)
        return gather_page(g, body);
    fv_err err = gather(g, "error", root, 0);
    fv_json_destroy(root);
    return err;
}

/* Telling. */

/* Secrets first, so that no cut leaves half of one. */
static fv_err hide_secrets(const fv_api_access *access, fv_slice text, fv_buffer *out)
{
    for (size_t i = 0; i < text.size;) {
        fv_slice rest = fv_slice_cut(text, i, text.size);
        const char *const *secret = (const char *const *)access->secrets;
        while (*secret && !fv_slice_starts(rest, fv_slice_of(*secret)))
            secret++;
        FV_TRY(*secret ? fv_buffer_print(out, "[key]") : fv_buffer_append(out, rest.data, 1));
        i += *secret ? strlen(*secret) : 1;
    }
    return FV_OK;
}

/* Bytes up to the first full stop before a blank, the first end of a line, or the bound. */
static size_t sentence_length(const char *text, size_t size, size_t most)
{
    for (size_t i = 0; i < size && i < most; i++) {
        char c = text[i], next = i + 1 < size ? text[i + 1] : ' ';
        if (c == '\n' || c == '\r')
            return i;
        if ((c == '.' || c == '!' || c == '?') && isspace((unsigned char)next))
            return i;
    }
    if (size <= most)
        return size;
    while (most > 0 && ((unsigned char)text[most] & 0xC0) == 0x80) /* not within a character */
        most--;
    return most;
}

static fv_err tell_message(const fv_api_access *access, const fv_buffer *message, fv_api_refusal *out)
{
    fv_buffer shown = {0};
    size_t used = strlen(out->sentence), left = sizeof out->sentence - 1 - used;
    const char *comma = used > 0 ? ": " : "";
    if (message->size == 0 || left < sizeof out->sentence / 4)
        return FV_OK;
    fv_err err = hide_secrets(access, (fv_slice){message->data, message->size}, &shown);
    if (err == FV_OK)
        snprintf(out->sentence + used, left + 1, "%s%.*s", comma,
                 (int)sentence_length(shown.data, shown.size, left - strlen(comma)), shown.data);
    fv_buffer_fini(&shown);
    return err;
}

static fv_err tell(const fv_api_access *access, gathering *g)
{
    fv_api_refusal *out = g->out;
    const fv_buffer *first = &g->messages[0], *parameter = &g->parameter;
    if (first->size > 0 && parameter->size > 0 && !strstr(first->data, parameter->data))
        FV_TRY(tell_message(access, parameter, out));
    for (int i = 0; i < N_MESSAGES; i++)
        FV_TRY(tell_message(access, &g->messages[i], out));
    for (size_t i = 0; i < g->words.size && i + 1 < sizeof out->words; i++)
        out->words[i] = (char)tolower((unsigned char)g->words.data[i]);
    return FV_OK;
}

void fv_api_refusal_read(const fv_api_access *access, int status, fv_slice body, fv_api_refusal *out)
{
    gathering g = {.out = out};
    *out = (fv_api_refusal){.status = status};
    snprintf(out->kind, sizeof out->kind, "%d", status);
    if (gather_body(&g, body) == FV_OK) /* without memory there is less to say, and that is all */
        (void)tell(access, &g);
    fv_buffer_fini(&g.words);
    fv_buffer_fini(&g.parameter);
    for (int i = 0; i < N_MESSAGES; i++)
        fv_buffer_fini(&g.messages[i]);
}

/* Kinds. */

int fv_api_refusal_is_of_quota(const fv_api_refusal *refusal)
{
    static const char *const ways[] = {"insufficient_quota",
                                       "exceeded_current_quota",
                                       "insufficient quota",
                                       "insufficient balance",
                                       "insufficient_balance",
                                       "insufficient credit",
                                       "insufficient funds",
                                       "credit balance is too low",
                                       "billing_hard_limit",
                                       "billing_not_active",
                                       "billing hard limit",
                                       "account_deactivated",
                                       NULL};
    return mentions(refusal->words, ways);
}

int fv_api_refusal_is_of_filter(const fv_api_refusal *refusal)
{
    static const char *const ways[] = {"content_filter",
                                       "content filter",
                                       "contentfilter",
                                       "content_policy",
                                       "content policy",
                                       "contentpolicy",
                                       "content management",
                                       "responsibleai",
                                       "moderation",
                                       "safety system",
                                       "data_inspection",
                                       "content exists risk",
                                       "input was flagged",
                                       "inappropriate content",
                                       "prohibited_content",
                                       "usage policies",
                                       NULL};
    return mentions(refusal->words, ways);
}

int fv_api_refusal_is_of_key(const fv_api_refusal *refusal)
{
    static const char *const ways[] = {"api key not valid",   "invalid api key",     "incorrect api key",
                                       "invalid_api_key",     "api_key_invalid",     "authentication_error",
                                       "authenticationerror", "authentication fail", NULL};
    return mentions(refusal->words, ways);
}

int fv_api_refusal_is_of_model(const fv_api_refusal *refusal)
{
    static const char *const codes[] = {"model_not_found",
                                        "modelnotfound",
                                        "deploymentnotfound",
                                        "invalid_model",
                                        "model_not_supported",
                                        "unknown_model",
                                        NULL};
    static const char *const things[] = {"model", "deployment", "engine", NULL};
    static const char *const ways[] = {"not exist",
                                       "n't exist",
                                       "not found",
                                       "no such",
                                       "unknown model",
                                       "decommissioned",
                                       "no longer",
                                       "model is not supported",
                                       "work with the specified model",
                                       "invalid model",
                                       "not a valid model",
                                       "identifier is invalid",
                                       "not deployed",
                                       "not have access",
                                       "unable to access",
                                       "not provided",
                                       "not supported by any",
                                       "no healthy deployment",
                                       "no deployments",
                                       NULL};
    const char *words = refusal->words;
    return mentions(words, codes) || (mentions(words, things) && mentions(words, ways));
}
