/* Texts of a row, and what a benchmark puts around its question. */
#include "data/row_internal.h"
#include "fovea/io/settings/settings.h"

#include <stdlib.h>
#include <string.h>

static const char white[] = " \t\r\n";

/* As few digits as bring the number back. */
static void print_real(double value, char *out, size_t size)
{
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(out, size, "%.*g", digits, value);
        if (strtod(out, NULL) == value)
            return;
    }
}

fv_err fv_row_copy_text(const fv_json *value, const char *name, char **out)
{
    char number[40] = "";
    const char *text = number;
    size_t size;
    double real;
    if (fv_json_kind_of(value) == FV_JSON_REAL) {
        FV_TRY(fv_json_to_real(value, name, &real));
        print_real(real, number, sizeof number);
    } else if (fv_json_kind_of(value) == FV_JSON_INTEGER) {
        int64_t integer;
        FV_TRY(fv_json_to_integer(value, name, &integer));
        snprintf(number, sizeof number, "%lld", (long long)integer);
    } else {
        FV_TRY(fv_json_to_string(value, name, &text, &size));
        FV_CHECK(strlen(text) == size, FV_ERR_FORMAT, "\"%s\" holds a NUL", name);
    }
    *out = strdup(text);
    FV_CHECK(*out, FV_ERR_MEMORY, "no memory for \"%s\"", name);
    return FV_OK;
}

/* Append the text of a field, with a line feed before or behind it; nothing if there is none. */
static fv_err append_line(const fv_json *value, const char *name, const char *before, const char *behind,
                          fv_buffer *out)
{
    char *text;
    if (!value || fv_json_kind_of(value) == FV_JSON_NULL)
        return FV_OK;
    FV_TRY(fv_row_copy_text(value, name, &text));
    int is_none = !text[strspn(text, white)] || strcmp(text, "nan") == 0;
    fv_err err = is_none ? FV_OK : fv_buffer_print(out, "%s%s%s", before, text, behind);
    free(text);
    return err;
}

static fv_err append_option(const fv_json *value, const char *name, int *n, fv_buffer *out)
{
    char label[8];
    size_t size = out->size;
    FV_CHECK(*n < 26, FV_ERR_FORMAT, "\"%s\" is more than the 26th option", name);
    snprintf(label, sizeof label, "\n%c. ", 'A' + *n);
    FV_TRY(append_line(value, name, label, "", out));
    *n += out->size > size;
    return FV_OK;
}

static fv_err append_options(const fv_json *object, const char *names, fv_buffer *out)
{
    char name[256];
    int n = 0;
    while (fv_settings_next_name(&names, name, sizeof name)) {
        const fv_json *value = fv_json_get(object, name);
        if (value && fv_json_kind_of(value) == FV_JSON_ARRAY)
            for (size_t i = 0; i < fv_json_size(value); i++)
                FV_TRY(append_option(fv_json_at(value, i), name, &n, out));
        else
            FV_TRY(append_option(value, name, &n, out));
    }
    return FV_OK;
}

fv_err fv_row_surround(const fv_json *object, const fv_row_fields *fields, char **question)
{
    const char *hint = fields->hint_name ? fields->hint_name : "";
    fv_buffer text = {0};
    fv_err err = append_line(fv_json_get(object, hint), hint, "", "\n", &text);
    if (err == FV_OK)
        err = fv_buffer_print(&text, "%s", *question);
    if (err == FV_OK && fields->option_names)
        err = append_options(object, fields->option_names, &text);
    if (err == FV_OK && fields->ask && fields->ask[0])
        err = fv_buffer_print(&text, "\n%s", fields->ask);
    if (err != FV_OK) {
        fv_buffer_fini(&text);
        return err;
    }
    free(*question);
    *question = text.data;
    return FV_OK;
}
