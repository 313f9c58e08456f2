/* Lists of texts as Python prints them, ['a', "b's"], in files of other programs. */
#include "fovea/eval/answers.h"

#include "fovea/base/text/utf8.h"

#include <stdlib.h>
#include <string.h>

typedef struct list_reader {
    const char *at, *end;
} list_reader;

static void skip_white(list_reader *r)
{
    while (r->at < r->end && strchr(" \t\r\n", *r->at) && *r->at)
        r->at++;
}

static int skip(list_reader *r, char c)
{
    int is_there = r->at < r->end && *r->at == c;
    r->at += is_there;
    return is_there;
}

/* Digits of \x, \u and \U. */
static fv_err append_code(list_reader *r, int n_digits, fv_buffer *out)
{
    char digits[9] = "", bytes[4], *end;
    FV_CHECK(r->end - r->at >= n_digits, FV_ERR_FORMAT, "an escape is cut off");
    memcpy(digits, r->at, (size_t)n_digits);
    unsigned long code = strtoul(digits, &end, 16);
    FV_CHECK(*end == '\0' && code < 0x110000 && (code < 0xD800 || code > 0xDFFF), FV_ERR_FORMAT,
             "\"\\%s\" is no character", digits);
    r->at += n_digits;
    return fv_buffer_append(out, bytes, (size_t)fv_utf8_encode((uint32_t)code, bytes));
}

static fv_err append_escape(list_reader *r, fv_buffer *out)
{
    static const char letters[] = "ntrabfv", meanings[] = "\n\t\r\a\b\f\v";
    FV_CHECK(r->at < r->end, FV_ERR_FORMAT, "an escape is cut off");
    char c = *r->at++;
    const char *known = c ? strchr(letters, c) : NULL;
    if (known)
        return fv_buffer_append(out, &meanings[known - letters], 1);
    if (c == 'x' || c == 'u' || c == 'U')
        return append_code(r, c == 'x' ? 2 : c == 'u' ? 4 : 8, out);
    if (c == '\\' || c == '\'' || c == '"')
        return fv_buffer_append(out, &c, 1);
    const char both[] = {'\\', c};
    return fv_buffer_append(out, both, 2);
}

static fv_err read_text(list_reader *r, char quote, fv_buffer *out)
{
    while (!skip(r, quote)) {
        FV_CHECK(r->at < r->end, FV_ERR_FORMAT, "a text is not closed");
        if (skip(r, '\\'))
            FV_TRY(append_escape(r, out));
        else
            FV_TRY(fv_buffer_append(out, r->at++, 1));
    }
    return FV_OK;
}

/* A number, True, None: as it is written. */
static fv_err read_word(list_reader *r, fv_buffer *out)
{
    const char *first = r->at;
    while (r->at < r->end && *r->at && !strchr(",[]{}()'\" \n", *r->at))
        r->at++;
    FV_CHECK(r->at > first, FV_ERR_FORMAT, "not a list of texts");
    return fv_buffer_append(out, first, (size_t)(r->at - first));
}

static fv_err read_item(list_reader *r, fv_json *list)
{
    fv_buffer text = {0};
    fv_err err = skip(r, '\'')  ? read_text(r, '\'', &text)
                 : skip(r, '"') ? read_text(r, '"', &text)
                                : read_word(r, &text);
    if (err == FV_OK)
        err = fv_json_append(list, fv_json_make_string(text.data ? text.data : "", text.size));
    fv_buffer_fini(&text);
    return err;
}

static fv_err read_list(list_reader *r, fv_json *list)
{
    FV_CHECK(skip(r, '['), FV_ERR_FORMAT, "not a list");
    for (skip_white(r); !skip(r, ']'); skip_white(r)) {
        FV_TRY(read_item(r, list));
        skip_white(r);
        FV_CHECK(skip(r, ',') || (r->at < r->end && *r->at == ']'), FV_ERR_FORMAT, "not a list of texts");
    }
    skip_white(r);
    FV_CHECK(r->at == r->end, FV_ERR_FORMAT, "text behind a list");
    return FV_OK;
}

fv_err fv_python_list_parse(const char *text, size_t size, fv_json **out)
{
    list_reader r = {text, text + size};
    fv_json *list = fv_json_make_array();
    *out = NULL;
    FV_CHECK(list, FV_ERR_MEMORY, "no memory for a list");
    skip_white(&r);
    fv_err err = read_list(&r, list);
    if (err == FV_OK)
        *out = list;
    else
        fv_json_destroy(list);
    return err;
}
