#include "jobs/option.h"

#include "jobs/runtime.h"

#include <stdint.h>
#include <stdio.h>

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
