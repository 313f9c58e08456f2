/* judge.headers: what else a request says to a gateway. */
#include "reward/judge/judge_api_internal.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static int is_of_name(char c)
{
    return isalnum((unsigned char)c) || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c));
}

static size_t name_length(const char *text)
{
    size_t n = 0;
    while (is_of_name(text[n]))
        n++;
    return n;
}

/* A semicolon parts headers only where another name follows: values may hold some. */
static size_t header_length(const char *text)
{
    for (size_t n = 0;; n++) {
        if (text[n] == '\0')
            return n;
        const char *next = text + n + 1 + strspn(text + n + 1, " ");
        size_t name = name_length(next);
        if (text[n] == ';' && (*next == '\0' || (name > 0 && next[name] == ':')))
            return n;
    }
}

/* Refusals, which show no value. */

static int sounds_secret(const char *name)
{
    static const char *const parts[] = {"auth",   "key",      "token",      "secret",
                                        "cookie", "password", "credential", NULL};
    for (const char *const *part = parts; *part; part++)
        if (strcasestr(name, *part))
            return 1;
    return 0;
}

static int looks_secret(const char *name, const char *value)
{
    return sounds_secret(name) || strncasecmp(value, "bearer ", 7) == 0 ||
           strncasecmp(value, "basic ", 6) == 0 || strncmp(value, "sk-", 3) == 0;
}

static fv_err check(const char *name, const char *value, int is_literal)
{
    static const char *const ours[] = {"Content-Length", "Content-Type", "Transfer-Encoding", "Host", NULL};
    for (const char *const *own = ours; *own; own++)
        FV_CHECK(strcasecmp(name, *own) != 0, FV_ERR_ARGUMENT,
                 "judge.headers names %s, which is the request's own", name);
    FV_CHECK(
        !is_literal || !looks_secret(name, value), FV_ERR_ARGUMENT,
        "judge.headers holds the value of %s, which may be a key and would be written into the folder of the "
        "run: put it into the environment and write %s: $NAME",
        name, name);
    for (const char *c = value; *c; c++)
        FV_CHECK((unsigned char)*c >= ' ' && *c != 0x7f, FV_ERR_ARGUMENT,
                 "judge.headers: the value of %s holds a control character", name);
    return FV_OK;
}

/* Values. */

/* The length of "$NAME" or "${NAME}" at the start of text, and the name; 0: there is none. */
static size_t variable_length(const char *text, char name[128])
{
    size_t open = text[0] == '$' && text[1] == '{' ? 2 : 1, n = 0;
    if (text[0] != '$' || isdigit((unsigned char)text[open]))
        return 0;
    while (isalnum((unsigned char)text[open + n]) || text[open + n] == '_')
        n++;
    if (n == 0 || n >= 128 || (open == 2 && text[open + n] != '}'))
        return 0;
    snprintf(name, 128, "%.*s", (int)n, text + open);
    return open + n + (open == 2);
}

static fv_err expand(fv_api_access *access, const char *value, int *is_literal, fv_buffer *out)
{
    char name[128];
    *is_literal = 1;
    FV_TRY(fv_buffer_append(out, "", 0)); /* an empty value is a text, too */
    for (size_t n; *value; value += n) {
        n = variable_length(value, name);
        if (n == 0) {
            FV_TRY(fv_buffer_append(out, value, n = 1));
            continue;
        }
        const char *found = fv_api_variable((const char *const[]){name, NULL});
        FV_CHECK(found, FV_ERR_ARGUMENT, "judge.headers wants $%s, which is not set in the environment",
                 name);
        FV_TRY(fv_api_access_hide(access, found));
        FV_TRY(fv_buffer_append(out, found, strlen(found)));
        *is_literal = 0;
    }
    return FV_OK;
}

/* text: one header, "Name: value". */
static fv_err add_header(fv_api_access *access, char *text)
{
    char *value = text + name_length(text);
    fv_buffer expanded = {0}, line = {0};
    fv_err err = FV_OK;
    int is_literal;
    FV_CHECK(value > text && *value == ':', FV_ERR_ARGUMENT,
             "judge.headers: expected \"Name: value; Name: value\", found none in part %d",
             access->n_headers + 1);
    *value++ = '\0';
    value += strspn(value, " ");
    FV_TRY_DONE(expand(access, value, &is_literal, &expanded));
    FV_TRY_DONE(check(text, expanded.data, is_literal));
    FV_TRY_DONE(fv_buffer_print(&line, "%s: %s", text, expanded.data));
    FV_TRY_DONE(fv_api_access_add(access, line.data));
done:
    for (fv_buffer *b = &line; b; b = b == &line ? &expanded : NULL) {
        if (b->data)
            explicit_bzero(b->data, b->capacity);
        fv_buffer_fini(b);
    }
    return err;
}

fv_err fv_api_headers_add(fv_api_access *access, const char *setting)
{
    fv_err err = FV_OK;
    for (const char *at = setting + strspn(setting, " ;"); *at && err == FV_OK; at += strspn(at, " ;")) {
        size_t n = header_length(at);
        char *text = strndup(at, n);
        FV_CHECK(text, FV_ERR_MEMORY, "no memory for judge.headers");
        err = add_header(access, text);
        free(text);
        at += n;
    }
    return err;
}
