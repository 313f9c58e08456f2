#include "sweep/sweep_internal.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NAME = 200 };

/* Values. */

/* The shortest number that is read as the same, without an exponent where that is usual. */
static fv_err print_real(double value, fv_buffer *out)
{
    char text[40];
    int digits = fabs(value) >= 1 && fabs(value) < 1e15 ? (int)log10(fabs(value)) + 1 : 1;
    do
        snprintf(text, sizeof text, "%.*g", digits, value);
    while (strtod(text, NULL) != value && ++digits <= 17);
    return fv_buffer_append(out, text, strlen(text));
}

fv_err fv_sweep_print_value(const fv_json *value, fv_buffer *out)
{
    const char *text;
    size_t size;
    double real;
    if (!value)
        return FV_OK;
    if (fv_json_kind_of(value) == FV_JSON_STRING) {
        FV_TRY(fv_json_to_string(value, "a setting", &text, &size));
        return fv_buffer_append(out, text, size);
    }
    if (fv_json_kind_of(value) != FV_JSON_REAL)
        return fv_json_print(value, 0, out);
    FV_TRY(fv_json_to_real(value, "a setting", &real));
    return print_real(real, out);
}

static int is_equal(const fv_json *a, const fv_json *b)
{
    fv_buffer texts[2] = {{0}, {0}};
    int same = a && b && fv_sweep_print_value(a, &texts[0]) == FV_OK &&
               fv_sweep_print_value(b, &texts[1]) == FV_OK && texts[0].size == texts[1].size &&
               (texts[0].size == 0 || memcmp(texts[0].data, texts[1].data, texts[0].size) == 0);
    fv_buffer_fini(&texts[0]);
    fv_buffer_fini(&texts[1]);
    return same;
}

/* Whether object has all the values of pattern. */
static int is_like(const fv_json *object, const fv_json *pattern)
{
    for (void *i = fv_json_first(pattern); i; i = fv_json_next(pattern, i))
        if (!is_equal(fv_json_get(object, fv_json_key(i)), fv_json_member(i)))
            return 0;
    return 1;
}

/* Names. */

static const char *last_part(const char *key)
{
    const char *dot = strrchr(key, '.');
    return dot ? dot + 1 : key;
}

/* "rate" for "optimizer.rate", if no other key of the sweep is called so. */
static const char *short_key(const fv_sweep *sweep, const char *key)
{
    for (int i = 0; i < sweep->n_keys; i++)
        if (strcmp(sweep->keys[i], key) != 0 && strcmp(last_part(sweep->keys[i]), last_part(key)) == 0)
            return key;
    return last_part(key);
}

static fv_err print_all_values(const fv_sweep *sweep, const fv_json *values, fv_buffer *out)
{
    for (int i = 0; i < sweep->n_keys; i++) {
        const fv_json *value = fv_json_get(values, sweep->keys[i]);
        if (!value)
            continue;
        FV_TRY(fv_buffer_print(out, "%s%s=", out->size ? "_" : "", short_key(sweep, sweep->keys[i])));
        FV_TRY(fv_sweep_print_value(value, out));
    }
    return FV_OK;
}

/* "{KEY}" is replaced by the run's value of it. */
static fv_err fill_template(const char *name, const fv_json *values, fv_buffer *out)
{
    while (*name) {
        char key[128] = "";
        size_t plain = strcspn(name, "{");
        FV_TRY(fv_buffer_append(out, name, plain));
        name += plain;
        if (!*name)
            break;
        size_t size = strcspn(++name, "}");
        FV_CHECK(name[size] == '}' && size < sizeof key, FV_ERR_FORMAT, "name: a \"{\" has no \"}\"");
        memcpy(key, name, size);
        FV_CHECK(fv_json_get(values, key), FV_ERR_FORMAT, "name: a run has no \"%s\" of its own", key);
        FV_TRY(fv_sweep_print_value(fv_json_get(values, key), out));
        name += size + 1;
    }
    return FV_OK;
}

static fv_err print_name(const fv_sweep *sweep, const fv_json *values, fv_buffer *out)
{
    FV_TRY(sweep->name ? fill_template(sweep->name, values, out) : print_all_values(sweep, values, out));
    FV_CHECK(out->size > 0 && out->size <= MAX_NAME && out->data[0] != '.', FV_ERR_FORMAT,
             "\"%s\" is no name for the folder of a run: set name, e.g. \"rate-{optimizer.rate}\"",
             out->size ? out->data : "");
    for (size_t i = 0; i < out->size; i++)
        if (!isalnum((unsigned char)out->data[i]) && !strchr("._=+-", out->data[i]))
            out->data[i] = '-';
    return FV_OK;
}

/* Runs. */

static int is_excepted(const fv_json *except, const fv_json *values)
{
    for (size_t i = 0; i < fv_json_size(except); i++)
        if (is_like(values, fv_json_at(except, i)))
            return 1;
    return 0;
}

static const fv_sweep_run *find(const fv_sweep *sweep, const char *name)
{
    for (int i = 0; i < sweep->n_runs; i++)
        if (strcmp(sweep->runs[i].name, name) == 0)
            return &sweep->runs[i];
    return NULL;
}

static fv_err append(fv_sweep *sweep, char *name, fv_json *values)
{
    fv_sweep_run *grown = realloc(sweep->runs, ((size_t)sweep->n_runs + 1) * sizeof *grown);
    FV_CHECK(grown, FV_ERR_MEMORY, "no memory for %d runs", sweep->n_runs + 1);
    sweep->runs = grown;
    grown[sweep->n_runs++] = (fv_sweep_run){name, values};
    return FV_OK;
}

/* *is_taken 1: name and values are the sweep's now. */
static fv_err add(fv_sweep *sweep, const fv_json *except, fv_buffer *name, fv_json *values, int *is_taken)
{
    FV_CHECK(values, FV_ERR_MEMORY, "no memory for the values of a run");
    if (is_excepted(except, values))
        return FV_OK;
    FV_TRY(print_name(sweep, values, name));
    const fv_sweep_run *there = find(sweep, name->data);
    FV_CHECK(!there || (is_like(values, there->values) && is_like(there->values, values)), FV_ERR_FORMAT,
             "two runs are called \"%s\", and would share a folder: name must tell them apart", name->data);
    if (there)
        return FV_OK;
    FV_TRY(append(sweep, name->data, values));
    *is_taken = 1;
    return FV_OK;
}

fv_err fv_sweep_add(fv_sweep *sweep, const fv_json *except, fv_json *values)
{
    fv_buffer name = {0};
    int is_taken = 0;
    fv_err err = add(sweep, except, &name, values, &is_taken);
    if (!is_taken) {
        fv_buffer_fini(&name);
        fv_json_destroy(values);
    }
    return err;
}

void fv_sweep_fini(fv_sweep *sweep)
{
    for (int i = 0; i < sweep->n_runs; i++) {
        free(sweep->runs[i].name);
        fv_json_destroy(sweep->runs[i].values);
    }
    for (int i = 0; i < sweep->n_keys; i++)
        free(sweep->keys[i]);
    free(sweep->runs);
    free(sweep->keys);
    fv_json_destroy(sweep->common);
    char *const texts[] = {sweep->config, sweep->out, sweep->command, sweep->name, sweep->metric};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        free(texts[i]);
    *sweep = (fv_sweep){0};
}

/* The run as a command. */

static fv_err print_settings(const fv_json *settings, const fv_json *not_those, char end, fv_buffer *out)
{
    for (void *i = fv_json_first(settings); i; i = fv_json_next(settings, i)) {
        if (fv_json_get(not_those, fv_json_key(i)))
            continue;
        FV_TRY(fv_buffer_print(out, "%s=", fv_json_key(i)));
        FV_TRY(fv_sweep_print_value(fv_json_member(i), out));
        FV_TRY(fv_buffer_append(out, &end, 1));
    }
    return FV_OK;
}

fv_err fv_sweep_arguments(const fv_sweep *sweep, const fv_sweep_run *run, char end, fv_buffer *out)
{
    FV_TRY(fv_buffer_print(out, "%s%c%s%cout=%s/%s%c", sweep->command, end, sweep->config, end, sweep->out,
                           run->name, end));
    FV_TRY(print_settings(sweep->common, run->values, end, out));
    return print_settings(run->values, NULL, end, out);
}

/* The arguments cut apart; those from the third on are settings. */
static fv_err read_settings(const fv_sweep *sweep, const fv_buffer *arguments, fv_train_config *out)
{
    const char **list = calloc(arguments->size + 1, sizeof *list);
    int n = 0;
    FV_CHECK(list, FV_ERR_MEMORY, "no memory for the settings of a run");
    for (const char *at = arguments->data; at < arguments->data + arguments->size; at += strlen(at) + 1)
        list[n++] = at;
    fv_err err = fv_settings_read(&fv_train_settings, sweep->config, list + 2, n - 2, out);
    free(list);
    return err;
}

fv_err fv_sweep_settings(const fv_sweep *sweep, const fv_sweep_run *run, fv_train_config *out)
{
    fv_buffer arguments = {0};
    fv_err err = fv_sweep_arguments(sweep, run, '\0', &arguments);
    if (err == FV_OK)
        err = read_settings(sweep, &arguments, out);
    fv_buffer_fini(&arguments);
    return err == FV_OK ? FV_OK : fv_error_prefix(err, "run %s", run->name);
}

fv_err fv_sweep_check(const fv_sweep *sweep)
{
    for (int i = 0; i < sweep->n_runs; i++) {
        fv_train_config config;
        FV_TRY(fv_sweep_settings(sweep, &sweep->runs[i], &config));
        fv_settings_fini(&fv_train_settings, &config);
    }
    return FV_OK;
}
