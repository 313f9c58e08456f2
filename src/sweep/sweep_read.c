/* A sweep from its file. */
#include "sweep/sweep_internal.h"

#include "fovea/base/rng.h"
#include "fovea/io/yaml.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static fv_err check_keys(const fv_json *object, const char *const *known, const char *what)
{
    for (void *i = fv_json_first(object); i; i = fv_json_next(object, i)) {
        int found = 0;
        for (int k = 0; known[k]; k++)
            found |= strcmp(known[k], fv_json_key(i)) == 0;
        FV_CHECK(found, FV_ERR_FORMAT, "unknown key \"%s\" in %s", fv_json_key(i), what);
    }
    return FV_OK;
}

static fv_err check_kind(const fv_json *value, fv_json_kind kind, const char *what)
{
    static const char *const names[] = {[FV_JSON_ARRAY] = "a list", [FV_JSON_OBJECT] = "keys with values"};
    FV_CHECK(!value || fv_json_kind_of(value) == kind, FV_ERR_FORMAT, "%s is not %s", what, names[kind]);
    return FV_OK;
}

/* Texts. */

static fv_err read_text(const fv_json *root, const char *key, const char *otherwise, char **out)
{
    const char *text = otherwise;
    FV_TRY(fv_json_get_string(root, key, &text));
    if (!text)
        return FV_OK;
    FV_CHECK(*text, FV_ERR_FORMAT, "%s is empty", key);
    *out = strdup(text);
    FV_CHECK(*out, FV_ERR_MEMORY, "no memory for %s", key);
    return FV_OK;
}

static fv_err read_texts(const fv_json *root, fv_sweep *out)
{
    const char *best = "largest";
    FV_TRY(read_text(root, "config", NULL, &out->config));
    FV_TRY(read_text(root, "out", NULL, &out->out));
    FV_CHECK(out->config && out->out, FV_ERR_FORMAT, "config and out are required");
    FV_TRY(read_text(root, "name", NULL, &out->name));
    FV_TRY(read_text(root, "metric", "reward", &out->metric));
    FV_TRY(read_text(root, "command", "train", &out->command));
    FV_CHECK(strcmp(out->command, "train") == 0 || strcmp(out->command, "sft") == 0, FV_ERR_FORMAT,
             "command is \"%s\", expected train or sft", out->command);
    FV_TRY(fv_json_get_string(root, "best", &best));
    out->is_least_best = strcmp(best, "smallest") == 0;
    FV_CHECK(out->is_least_best || strcmp(best, "largest") == 0, FV_ERR_FORMAT,
             "best is \"%s\", expected largest or smallest", best);
    return FV_OK;
}

static fv_err add_made(fv_sweep *out, const fv_json *except, fv_json *values, fv_err made)
{
    if (made == FV_OK)
        return fv_sweep_add(out, except, values);
    fv_json_destroy(values);
    return made;
}

/* Keys that differ, which name runs and are the columns of tables. */

static fv_err add_key(fv_sweep *out, const char *key)
{
    FV_CHECK(strcmp(key, "out") != 0, FV_ERR_FORMAT, "out is set by the sweep, a folder for every run");
    for (int i = 0; i < out->n_keys; i++)
        if (strcmp(out->keys[i], key) == 0)
            return FV_OK;
    char **grown = realloc(out->keys, ((size_t)out->n_keys + 1) * sizeof *grown);
    FV_CHECK(grown, FV_ERR_MEMORY, "no memory for a list of keys");
    out->keys = grown;
    grown[out->n_keys] = strdup(key);
    FV_CHECK(grown[out->n_keys], FV_ERR_MEMORY, "no memory for a list of keys");
    out->n_keys++;
    return FV_OK;
}

static fv_err add_keys(fv_sweep *out, const fv_json *object)
{
    for (void *i = fv_json_first(object); i; i = fv_json_next(object, i))
        FV_TRY(add_key(out, fv_json_key(i)));
    return FV_OK;
}

/* The grid: the last key turns fastest. */

static fv_err size_of_grid(const fv_json *grid, size_t *n)
{
    *n = 1;
    for (void *i = fv_json_first(grid); i; i = fv_json_next(grid, i)) {
        const fv_json *values = fv_json_member(i);
        FV_CHECK(fv_json_kind_of(values) == FV_JSON_ARRAY && fv_json_size(values) > 0, FV_ERR_FORMAT,
                 "grid: %s is not a list of values", fv_json_key(i));
        *n *= fv_json_size(values);
        FV_CHECK(*n <= 100000, FV_ERR_FORMAT, "the grid has more than 100000 runs");
    }
    return FV_OK;
}

static fv_err point_of_grid(const fv_json *grid, size_t index, size_t n, fv_json *values)
{
    for (void *i = fv_json_first(grid); i; i = fv_json_next(grid, i)) {
        size_t size = fv_json_size(fv_json_member(i));
        n /= size;
        FV_TRY(fv_json_set(values, fv_json_key(i),
                           fv_json_copy(fv_json_at(fv_json_member(i), index / n % size))));
    }
    return FV_OK;
}

static fv_err read_grid(const fv_json *grid, const fv_json *except, fv_sweep *out)
{
    size_t n;
    FV_TRY(check_kind(grid, FV_JSON_OBJECT, "grid"));
    if (!grid || fv_json_size(grid) == 0)
        return FV_OK;
    FV_TRY(size_of_grid(grid, &n));
    for (size_t i = 0; i < n; i++) {
        fv_json *values = fv_json_make_object();
        FV_TRY(add_made(out, except, values, point_of_grid(grid, i, n, values)));
    }
    return FV_OK;
}

static fv_err read_list(const fv_json *list, const fv_json *except, fv_sweep *out)
{
    FV_TRY(check_kind(list, FV_JSON_ARRAY, "list"));
    for (size_t i = 0; i < fv_json_size(list); i++) {
        FV_TRY(check_kind(fv_json_at(list, i), FV_JSON_OBJECT, "an item of list"));
        FV_TRY(fv_sweep_add(out, except, fv_json_copy(fv_json_at(list, i))));
    }
    return FV_OK;
}

/* Draws. */

static double rounded(double value)
{
    char text[32];
    snprintf(text, sizeof text, "%.4g", value);
    return strtod(text, NULL);
}

static fv_err draw_between(const fv_json *range, const char *key, double u, fv_json **out)
{
    static const char *const known[] = {"from", "to", "scale", NULL};
    const char *scale = "linear";
    double from, to;
    FV_TRY(check_keys(range, known, key));
    FV_TRY(fv_json_require_real(range, "from", &from));
    FV_TRY(fv_json_require_real(range, "to", &to));
    FV_TRY(fv_json_get_string(range, "scale", &scale));
    int is_log = strcmp(scale, "log") == 0;
    FV_CHECK(is_log || strcmp(scale, "linear") == 0, FV_ERR_FORMAT,
             "%s: scale is \"%s\", expected log or linear", key, scale);
    FV_CHECK(from <= to && (!is_log || from > 0), FV_ERR_FORMAT, "%s: from %g to %g is no %s range", key,
             from, to, scale);
    int is_whole = fv_json_kind_of(fv_json_get(range, "from")) == FV_JSON_INTEGER &&
                   fv_json_kind_of(fv_json_get(range, "to")) == FV_JSON_INTEGER;
    double end = is_whole ? to + 1 : to;
    double value = is_log ? from * pow(end / from, u) : from + (end - from) * u;
    *out =
        is_whole ? fv_json_make_integer((int64_t)fmin(floor(value), to)) : fv_json_make_real(rounded(value));
    return FV_OK;
}

static fv_err draw(const fv_json *choice, const char *key, double u, fv_json **out)
{
    if (fv_json_kind_of(choice) == FV_JSON_OBJECT)
        return draw_between(choice, key, u, out);
    size_t n = fv_json_size(choice);
    FV_CHECK(n > 0, FV_ERR_FORMAT, "random: %s is neither a list of values nor a range", key);
    *out = fv_json_copy(fv_json_at(choice, (size_t)(u * (double)n)));
    return FV_OK;
}

static fv_err draw_run(const fv_json *choices, fv_rng_key of, fv_json *values)
{
    uint32_t index = 0;
    for (void *i = fv_json_first(choices); i; i = fv_json_next(choices, i)) {
        fv_json *value = NULL;
        FV_TRY(draw(fv_json_member(i), fv_json_key(i), fv_rng_uniform(of, index++), &value));
        FV_TRY(fv_json_set(values, fv_json_key(i), value));
    }
    return FV_OK;
}

static fv_err read_random(const fv_json *random, const fv_json *except, fv_sweep *out)
{
    static const char *const known[] = {"runs", "seed", "values", NULL};
    int64_t n = 0, seed = 1;
    FV_TRY(check_kind(random, FV_JSON_OBJECT, "random"));
    if (!random)
        return FV_OK;
    const fv_json *choices = fv_json_get(random, "values");
    FV_TRY(check_keys(random, known, "random"));
    FV_TRY(fv_json_require_integer(random, "runs", &n));
    FV_TRY(fv_json_get_integer(random, "seed", &seed));
    FV_CHECK(fv_json_size(choices) > 0, FV_ERR_FORMAT, "random: there are no values");
    for (int64_t i = 0; i < n; i++) {
        const fv_rng_key of = {.seed = (uint64_t)seed, .prompt = (uint64_t)i};
        fv_json *values = fv_json_make_object();
        FV_TRY(add_made(out, except, values, draw_run(choices, of, values)));
    }
    return FV_OK;
}

/* All of it. */

static fv_err read_keys(const fv_json *root, fv_sweep *out)
{
    const fv_json *grid = fv_json_get(root, "grid"), *list = fv_json_get(root, "list"),
                  *choices = fv_json_get(fv_json_get(root, "random"), "values");
    FV_TRY(add_keys(out, grid));
    for (size_t i = 0; i < fv_json_size(list); i++)
        FV_TRY(add_keys(out, fv_json_at(list, i)));
    return add_keys(out, choices);
}

static fv_err read_all(const fv_json *root, fv_sweep *out)
{
    static const char *const known[] = {"config", "out",  "set",  "grid",    "list",   "random",
                                        "except", "name", "best", "command", "metric", NULL};
    const fv_json *common = fv_json_get(root, "set"), *except = fv_json_get(root, "except");
    FV_TRY(check_kind(root, FV_JSON_OBJECT, "the file"));
    FV_TRY(check_keys(root, known, "a sweep"));
    FV_TRY(read_texts(root, out));
    FV_TRY(check_kind(common, FV_JSON_OBJECT, "set"));
    FV_TRY(check_kind(except, FV_JSON_ARRAY, "except"));
    out->common = common ? fv_json_copy(common) : fv_json_make_object();
    FV_CHECK(out->common, FV_ERR_MEMORY, "no memory for a sweep");
    FV_TRY(read_keys(root, out));
    FV_TRY(read_grid(fv_json_get(root, "grid"), except, out));
    FV_TRY(read_list(fv_json_get(root, "list"), except, out));
    FV_TRY(read_random(fv_json_get(root, "random"), except, out));
    FV_CHECK(out->n_runs > 0, FV_ERR_FORMAT, "no run is left: give a grid, a list or random");
    return fv_sweep_check(out);
}

fv_err fv_sweep_load(const char *path, fv_sweep *out)
{
    fv_yaml *yaml;
    *out = (fv_sweep){0};
    FV_TRY(fv_yaml_load(path, &yaml));
    fv_err err = read_all(fv_yaml_root(yaml), out);
    fv_yaml_destroy(yaml);
    if (err == FV_OK)
        return FV_OK;
    fv_sweep_fini(out);
    return fv_error_prefix(err, "%s", path);
}
