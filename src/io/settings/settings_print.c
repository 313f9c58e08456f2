#include "io/settings/settings_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What may stand in a field. */

static fv_err describe_range(const fv_setting_range *range, fv_buffer *out)
{
    int has_min = isfinite(range->min), has_max = isfinite(range->max);
    if (has_min && has_max && !range->above_min && !range->below_max)
        return fv_buffer_print(out, ", %.15g to %.15g", range->min, range->max);
    if (has_min)
        FV_TRY(fv_buffer_print(out, range->above_min ? ", above %.15g" : ", %.15g or more", range->min));
    if (has_max)
        FV_TRY(fv_buffer_print(out, range->below_max ? ", below %.15g" : ", at most %.15g", range->max));
    return FV_OK;
}

static fv_err describe_text(const fv_setting *field, fv_buffer *out)
{
    FV_TRY(fv_buffer_print(out, field->kind == FV_SETTING_PATH ? "a path" : "a text"));
    return field->range.min > 0 ? fv_buffer_print(out, ", not empty") : FV_OK;
}

static fv_err describe_choice(const fv_setting *field, fv_buffer *out)
{
    for (int i = 0; field->names[i]; i++)
        FV_TRY(fv_buffer_print(out, "%s%s",
                               i == 0                ? ""
                               : field->names[i + 1] ? ", "
                                                     : " or ",
                               field->names[i]));
    return FV_OK;
}

fv_err fv_setting_describe(const fv_setting *field, fv_buffer *out)
{
    switch (field->kind) {
    case FV_SETTING_TEXT:
    case FV_SETTING_PATH:
        return describe_text(field, out);
    case FV_SETTING_LIST:
        return fv_buffer_print(out, "a list of names");
    case FV_SETTING_INTEGER:
        FV_TRY(fv_buffer_print(out, "a whole number"));
        return describe_range(&field->range, out);
    case FV_SETTING_REAL:
        FV_TRY(fv_buffer_print(out, "a number"));
        return describe_range(&field->range, out);
    case FV_SETTING_SWITCH:
        return fv_buffer_print(out, "true or false");
    case FV_SETTING_CHOICE:
        return describe_choice(field, out);
    }
    return FV_FAIL(FV_ERR_INTERNAL, "the setting \"%s\" is of no kind", field->key);
}

/* Values. */

double fv_setting_number(const fv_setting *field, const void *member)
{
    int integer;
    int64_t wide;
    float real;
    double value;
    if (field->kind == FV_SETTING_REAL && field->size == sizeof value)
        return memcpy(&value, member, sizeof value), value;
    if (field->kind == FV_SETTING_REAL)
        return memcpy(&real, member, sizeof real), (double)real;
    if (field->size == sizeof wide)
        return memcpy(&wide, member, sizeof wide), (double)wide;
    return memcpy(&integer, member, sizeof integer), (double)integer;
}

/* Between single quotes only the quote itself is written otherwise. */
static fv_err print_text(const void *member, fv_buffer *out)
{
    char *text;
    memcpy(&text, member, sizeof text);
    FV_TRY(fv_buffer_append(out, "'", 1));
    for (; text && *text; text++)
        FV_TRY(fv_buffer_append(out, *text == '\'' ? "''" : text, *text == '\'' ? 2 : 1));
    return fv_buffer_append(out, "'", 1);
}

static fv_err print_list(const void *member, fv_buffer *out)
{
    char *names;
    memcpy(&names, member, sizeof names);
    return fv_buffer_print(out, "[%s]", names ? names : "");
}

static fv_err print_integer(const fv_setting *field, const void *member, fv_buffer *out)
{
    int64_t value;
    int narrow;
    if (field->size == sizeof value)
        memcpy(&value, member, sizeof value);
    else
        value = (memcpy(&narrow, member, sizeof narrow), narrow);
    return fv_buffer_print(out, "%lld", (long long)value);
}

fv_err fv_settings_print_real(double value, size_t size, fv_buffer *out)
{
    char text[40];
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        double again = strtod(text, NULL);
        if (again == value || (size == sizeof(float) && (float)again == (float)value))
            break;
    }
    return fv_buffer_print(out, "%s", text);
}

fv_err fv_setting_print(const fv_setting *field, const void *member, fv_buffer *out)
{
    switch (field->kind) {
    case FV_SETTING_TEXT:
    case FV_SETTING_PATH:
        return print_text(member, out);
    case FV_SETTING_LIST:
        return print_list(member, out);
    case FV_SETTING_INTEGER:
        return print_integer(field, member, out);
    case FV_SETTING_REAL:
        return fv_settings_print_real(fv_setting_number(field, member), field->size, out);
    case FV_SETTING_SWITCH:
        return fv_buffer_print(out, fv_setting_number(field, member) != 0 ? "true" : "false");
    case FV_SETTING_CHOICE:
        return fv_buffer_print(out, "%s", field->names[(int)fv_setting_number(field, member)]);
    }
    return FV_FAIL(FV_ERR_INTERNAL, "the setting \"%s\" is of no kind", field->key);
}

/* Whole structs. */

fv_err fv_setting_print_help(const fv_setting *field, fv_buffer *out)
{
    FV_TRY(fv_buffer_print(out, "%s (", field->help));
    FV_TRY(fv_setting_describe(field, out));
    return fv_buffer_append(out, ")", 1);
}

static fv_err print_comment(const fv_setting *field, const void *member, size_t line, fv_buffer *out)
{
    enum { COLUMN = 34 };
    size_t used = out->size - line;
    FV_TRY(fv_buffer_print(out, "%*s# %s", used < COLUMN ? (int)(COLUMN - used) : 1, "",
                           fv_setting_is_set(field, member) ? "" : "required: "));
    return fv_setting_print_help(field, out);
}

static fv_err print_field(const fv_settings_section *section, const fv_setting *field, const void *values,
                          int with_help, fv_buffer *out)
{
    const void *member = fv_setting_member(section, field, values);
    size_t line = out->size;
    FV_TRY(fv_buffer_print(out, "%s%s: ", *section->key ? "  " : "", field->key));
    FV_TRY(fv_setting_print(field, member, out));
    if (with_help)
        FV_TRY(print_comment(field, member, line, out));
    return fv_buffer_append(out, "\n", 1);
}

fv_err fv_settings_print(const fv_settings *settings, const void *values, int with_help, fv_buffer *out)
{
    if (!values)
        values = settings->defaults;
    for (const fv_settings_section *section = settings->sections; section->key; section++) {
        if (*section->key)
            FV_TRY(fv_buffer_print(out, "%s:\n", section->key));
        for (const fv_setting *field = section->fields; field->key; field++)
            FV_TRY(print_field(section, field, values, with_help, out));
    }
    return FV_OK;
}
