#include "fovea/base/error.h"

#include "fovea/base/text/shown.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local fv_error_kept record;

enum { TEXT_BYTES = sizeof record.text };

const char *fv_err_name(fv_err code)
{
    switch (code) {
#define X(name, value, text) \
    case name:               \
        return text;
        FV_ERR_LIST(X)
#undef X
    }
    return "unknown error";
}

/* A sentence is one line, whatever a name or a model put into it. Arguments may be of the record itself. */
static void print_text(const char *format, va_list args)
{
    char raw[TEXT_BYTES];
    vsnprintf(raw, sizeof raw, format, args);
    fv_shown_line(raw, record.text, sizeof record.text);
}

void fv_error_set(const char *function, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    print_text(format, args);
    va_end(args);
    snprintf(record.trace, sizeof record.trace, "%s", function);
    record.scope = FV_ERROR_OWN;
}

fv_err fv_error_pass(fv_err code, const char *function)
{
    size_t used = strlen(record.trace);
    snprintf(record.trace + used, sizeof record.trace - used, " < %s", function);
    return code;
}

fv_err fv_error_prefix(fv_err code, const char *format, ...)
{
    char sentence[TEXT_BYTES];
    memcpy(sentence, record.text, sizeof sentence);
    va_list args;
    va_start(args, format);
    print_text(format, args);
    va_end(args);
    size_t used = strlen(record.text);
    if (used < TEXT_BYTES - 3)
        snprintf(record.text + used, sizeof record.text - used, ": %.*s", TEXT_BYTES - 3 - (int)used,
                 sentence);
    return code;
}

fv_error_scope fv_error_scope_get(void)
{
    return record.scope;
}

void fv_error_scope_set(fv_error_scope scope)
{
    record.scope = scope;
}

void fv_error_keep(fv_error_kept *out)
{
    *out = record;
}

void fv_error_restore(const fv_error_kept *kept)
{
    record = *kept;
}

const char *fv_error_text(void)
{
    return record.text;
}

const char *fv_error_trace(void)
{
    return record.trace;
}
