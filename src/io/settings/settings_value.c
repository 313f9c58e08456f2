#include "io/settings/settings_internal.h"

#include "fovea/base/text/utf8.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int in_range(const fv_setting *field, double value)
{
    const fv_setting_range *range = &field->range;
    int from = range->above_min ? value > range->min : value >= range->min;
    int to = range->below_max ? value < range->max : value <= range->max;
    return from && to;
}

int fv_setting_is_set(const fv_setting *field, const void *member)
{
    char *text;
    if (field->kind == FV_SETTING_SWITCH || field->kind == FV_SETTING_CHOICE)
        return 1;
    if (!fv_setting_is_text(field))
        return in_range(field, fv_setting_number(field, member));
    memcpy(&text, member, sizeof text);
    return in_range(field, text ? (double)strlen(text) : 0);
}

/* Refusals. */

fv_err fv_settings_print_found(const fv_json *value, fv_buffer *out)
{
    enum { LONGEST = 80 };
    size_t start = out->size;
    double number;
    if (fv_json_kind_of(value) == FV_JSON_REAL) {
        FV_TRY(fv_json_to_real(value, "a number", &number));
        FV_TRY(fv_settings_print_real(number, sizeof number, out));
        return strpbrk(out->data + start, ".e") ? FV_OK : fv_buffer_append(out, ".0", 2);
    }
    FV_TRY(fv_json_print(value, 0, out));
    if (out->size - start <= LONGEST)
        return FV_OK;
    size_t end = start + LONGEST;
    while (((unsigned char)out->data[end] & 0xC0) == 0x80) /* not within a character */
        end--;
    out->size = end;
    return fv_buffer_print(out, "...");
}

/* The end of an int is told only to numbers that are beyond it. */
static fv_err describe_for(const fv_setting *field, const fv_json *value, fv_buffer *out)
{
    fv_setting narrow = *field;
    int64_t number = 0;
    if (fv_json_kind_of(value) == FV_JSON_INTEGER)
        FV_TRY(fv_json_to_integer(value, field->key, &number));
    if (field->kind == FV_SETTING_INTEGER && field->size == sizeof(int) && number > INT_MAX)
        narrow.range.max = fmin(narrow.range.max, INT_MAX);
    return fv_setting_describe(&narrow, out);
}

static fv_err refuse(const fv_setting *field, const char *name, const fv_json *value)
{
    fv_buffer found = {0}, expected = {0};
    fv_err err = FV_OK;
    FV_TRY_DONE(fv_settings_print_found(value, &found));
    FV_TRY_DONE(describe_for(field, value, &expected));
    err = FV_FAIL(FV_ERR_FORMAT, "\"%s\" is %s, expected %s", name, found.data, expected.data);
done:
    fv_buffer_fini(&found);
    fv_buffer_fini(&expected);
    return err;
}

/* Storing: 1 if the value fits. */

static int take_integer(const fv_setting *field, const fv_json *value, void *member)
{
    int64_t number;
    if (fv_json_kind_of(value) != FV_JSON_INTEGER ||
        fv_json_to_integer(value, field->key, &number) != FV_OK || !in_range(field, (double)number))
        return 0;
    if (field->size == sizeof number) {
        memcpy(member, &number, sizeof number);
        return 1;
    }
    int narrow = (int)number;
    memcpy(member, &narrow, sizeof narrow);
    return narrow == number;
}

/* The range is that of the number as it is stored. Zero has no sign, which YAML's 0 could not keep. */
static int take_real(const fv_setting *field, const fv_json *value, void *member)
{
    fv_json_kind kind = fv_json_kind_of(value);
    double number;
    if ((kind != FV_JSON_INTEGER && kind != FV_JSON_REAL) ||
        fv_json_to_real(value, field->key, &number) != FV_OK)
        return 0;
    number = number == 0 ? 0 : number;
    float narrow = (float)number;
    if (field->size == sizeof narrow)
        number = narrow;
    if (!isfinite(number) || !in_range(field, number))
        return 0;
    if (field->size == sizeof narrow)
        memcpy(member, &narrow, sizeof narrow);
    else
        memcpy(member, &number, sizeof number);
    return 1;
}

static int take_switch(const fv_setting *field, const fv_json *value, void *member)
{
    int is_on;
    if (fv_json_kind_of(value) != FV_JSON_BOOL || fv_json_to_bool(value, field->key, &is_on) != FV_OK)
        return 0;
    memcpy(member, &is_on, sizeof is_on);
    return 1;
}

static int take_choice(const fv_setting *field, const fv_json *value, void *member)
{
    const char *name;
    if (fv_json_kind_of(value) != FV_JSON_STRING ||
        fv_json_to_string(value, field->key, &name, NULL) != FV_OK)
        return 0;
    for (int i = 0; field->names[i]; i++)
        if (strcmp(field->names[i], name) == 0) {
            memcpy(member, &i, sizeof i);
            return 1;
        }
    return 0;
}

/* What YAML can hold between quotes on one line: no control characters, no breaks of lines, no byte-order
 * marks, no noncharacters. */
static int is_plain(uint32_t code)
{
    int is_control = code < 0x20 || (code >= 0x7F && code < 0xA0);
    int is_break = code == 0x2028 || code == 0x2029;
    return !is_control && !is_break && code != 0xFEFF && code != 0xFFFE && code != 0xFFFF;
}

static int is_plain_text(fv_slice text)
{
    for (size_t i = 0; i < text.size;) {
        uint32_t code;
        int n = fv_utf8_decode(text.data + i, text.size - i, &code);
        if (n <= 0 || !is_plain(code))
            return 0;
        i += (size_t)n;
    }
    return 1;
}

static fv_err refuse_text(const fv_setting *field, const char *name, fv_slice text)
{
    fv_json *value = fv_json_make_string(text.data, text.size);
    FV_CHECK(value, FV_ERR_MEMORY, "no memory for the value of \"%s\"", name);
    fv_err err = is_plain_text(text) ? refuse(field, name, value)
                                     : FV_FAIL(FV_ERR_FORMAT,
                                               "\"%s\" has control characters or invalid UTF-8, expected a "
                                               "text of one line",
                                               name);
    fv_json_destroy(value);
    return err;
}

fv_err fv_setting_set_text(const fv_setting *field, const char *name, fv_slice text, void *member)
{
    char *old;
    if (!is_plain_text(text) || !in_range(field, (double)text.size))
        return refuse_text(field, name, text);
    char *copy = strndup(text.size ? text.data : "", text.size);
    FV_CHECK(copy, FV_ERR_MEMORY, "no memory for the value of \"%s\"", name);
    memcpy(&old, member, sizeof old);
    free(old);
    memcpy(member, &copy, sizeof copy);
    return FV_OK;
}

/* Lists. */

static const char *const name_characters =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

/* Append the names of a text, parted by commas and blanks; *fits becomes 0 if there is anything else. */
static fv_err add_names(fv_slice text, fv_buffer *out, int *fits)
{
    for (size_t i = 0, n; i < text.size; i += n) {
        for (n = 0; i + n < text.size && text.data[i + n] && strchr(name_characters, text.data[i + n]);)
            n++;
        if (n > 0) {
            FV_TRY(fv_buffer_print(out, "%s%.*s", out->size ? ", " : "", (int)n, text.data + i));
            continue;
        }
        *fits &= text.data[i] == ',' || text.data[i] == ' ';
        n = 1;
    }
    return FV_OK;
}

static fv_err add_item(const char *name, const fv_json *value, fv_buffer *out, int *fits)
{
    fv_slice text;
    *fits &= fv_json_kind_of(value) == FV_JSON_STRING;
    if (!*fits)
        return FV_OK;
    FV_TRY(fv_json_to_string(value, name, &text.data, &text.size));
    return add_names(text, out, fits);
}

static fv_err set_list(const fv_setting *field, const char *name, const fv_json *value, void *member)
{
    fv_buffer names = {0};
    int fits = 1;
    fv_err err = FV_OK;
    if (fv_json_kind_of(value) == FV_JSON_ARRAY)
        for (size_t i = 0; i < fv_json_size(value); i++)
            FV_TRY_DONE(add_item(name, fv_json_at(value, i), &names, &fits));
    else if (fv_json_kind_of(value) != FV_JSON_NULL)
        FV_TRY_DONE(add_item(name, value, &names, &fits));
    err = fits ? fv_setting_set_text(field, name, (fv_slice){names.data, names.size}, member)
               : refuse(field, name, value);
done:
    fv_buffer_fini(&names);
    return err;
}

int fv_settings_next_name(const char **at, char *name, size_t size)
{
    *at += strspn(*at, ", ");
    size_t n = strcspn(*at, ", ");
    snprintf(name, size, "%.*s", (int)n, *at);
    *at += n;
    return n > 0;
}

fv_err fv_setting_set(const fv_setting *field, const char *name, const fv_json *value, void *member)
{
    int fits = 0;
    fv_slice text;
    switch (field->kind) {
    case FV_SETTING_TEXT:
    case FV_SETTING_PATH:
        if (fv_json_kind_of(value) != FV_JSON_STRING)
            break;
        FV_TRY(fv_json_to_string(value, name, &text.data, &text.size));
        return fv_setting_set_text(field, name, text, member);
    case FV_SETTING_LIST:
        return set_list(field, name, value, member);
    case FV_SETTING_INTEGER:
        fits = take_integer(field, value, member);
        break;
    case FV_SETTING_REAL:
        fits = take_real(field, value, member);
        break;
    case FV_SETTING_SWITCH:
        fits = take_switch(field, value, member);
        break;
    case FV_SETTING_CHOICE:
        fits = take_choice(field, value, member);
        break;
    }
    return fits ? FV_OK : refuse(field, name, value);
}
