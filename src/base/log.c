#include "fovea/log.h"

#include <stdarg.h>
#include <stdio.h>

static int log_rank;
static fv_log_level log_level = FV_LOG_INFO;

static const char *const level_name[] = {"error", "warning", "info", "debug"};

void fv_log_init(int rank, fv_log_level level)
{
    log_rank = rank;
    log_level = level;
}

static void write_line(fv_log_level level, const char *format, va_list args)
{
    char line[2048];
    int used = snprintf(line, sizeof line, "fovea[%d] %s: ", log_rank, level_name[level]);
    vsnprintf(line + used, sizeof line - (size_t)used, format, args);
    fprintf(stderr, "%s\n", line); /* one call, so that lines of several ranks do not mix */
}

void fv_log(fv_log_level level, const char *format, ...)
{
    if (level > log_level)
        return;
    va_list args;
    va_start(args, format);
    write_line(level, format, args);
    va_end(args);
}

void fv_log_root(fv_log_level level, const char *format, ...)
{
    if (level > log_level || log_rank != 0)
        return;
    va_list args;
    va_start(args, format);
    write_line(level, format, args);
    va_end(args);
}
