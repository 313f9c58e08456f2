#include "jobs/option.h"

#include "fovea/base/dtype.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *fv_parse_path(struct argp_state *state, const char *option, const char *text)
{
    if (!*text)
        argp_error(state, "%s is empty, expected a path", option);
    return text;
}

int fv_parse_choice(struct argp_state *state, const char *option, const char *text, const char *const *names)
{
    char all[256] = "";
    for (int i = 0; names[i]; i++) {
        size_t used = strlen(all);
        if (strcmp(names[i], text) == 0)
            return i;
        const char *between = i == 0 ? "" : names[i + 1] ? ", " : " or ";
        snprintf(all + used, sizeof all - used, "%s%s", between, names[i]);
    }
    argp_error(state, "%s is \"%s\", expected %s", option, text, all);
    return 0;
}

long fv_parse_integer(struct argp_state *state, const char *option, const char *text, long low, long high)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (end == text || *end || errno || value < low || value > high)
        argp_error(state, "%s is \"%s\", expected a whole number from %ld to %ld", option, text, low, high);
    return value;
}

double fv_parse_real(struct argp_state *state, const char *option, const char *text, double low, double high)
{
    char *end;
    errno = 0;
    double value = strtod(text, &end);
    if (end == text || *end || errno || !(value >= low && value <= high))
        argp_error(state, "%s is \"%s\", expected a number from %g to %g", option, text, low, high);
    return value;
}

void fv_parse_shard(struct argp_state *state, const char *text, int *shard, int *n_shards)
{
    int end = 0;
    if (sscanf(text, "%6d/%6d%n", shard, n_shards, &end) != 2 || text[end] || *shard < 1 ||
        *shard > *n_shards)
        argp_error(state, "--shard is \"%s\", expected I/N with I from 1 to N", text);
}

static fv_dtype parse_dtype(struct argp_state *state, const char *name, const char *text)
{
    fv_dtype dtype = FV_F32;
    if (fv_dtype_parse_float(text, &dtype) != FV_OK)
        argp_error(state, "%s: %s", name, fv_error_text());
    return dtype;
}

static void set(const fv_option *option, const char *name, const char *text, struct argp_state *state,
                void *to)
{
    switch (option->kind) {
    case FV_OPTION_FLAG:
        *(int *)to = 1;
        break;
    case FV_OPTION_TEXT:
        *(const char **)to = text;
        break;
    case FV_OPTION_PATH:
        *(const char **)to = fv_parse_path(state, name, text);
        break;
    case FV_OPTION_INT:
        *(int *)to = (int)fv_parse_integer(state, name, text, option->low, option->high);
        break;
    case FV_OPTION_INTEGER:
        *(int64_t *)to = fv_parse_integer(state, name, text, option->low, option->high);
        break;
    case FV_OPTION_LONG:
        *(long *)to = fv_parse_integer(state, name, text, option->low, option->high);
        break;
    case FV_OPTION_REAL:
        *(double *)to = fv_parse_real(state, name, text, option->least, option->most);
        break;
    case FV_OPTION_FLOAT:
        *(float *)to = (float)fv_parse_real(state, name, text, option->least, option->most);
        break;
    case FV_OPTION_CHOICE:
        *(int *)to = (int)option->low + fv_parse_choice(state, name, text, option->names);
        break;
    case FV_OPTION_DTYPE:
        *(fv_dtype *)to = parse_dtype(state, name, text);
        break;
    }
}

error_t fv_option_set(const fv_option *table, const struct argp_option *options, int key, const char *text,
                      struct argp_state *state, void *out)
{
    char name[64];
    while (table->key && table->key != key)
        table++;
    if (!table->key)
        return ARGP_ERR_UNKNOWN;
    while (options->key != key)
        options++;
    snprintf(name, sizeof name, "--%s", options->name);
    set(table, name, text, state, (char *)out + table->at);
    return 0;
}
