#include "fovea/base/log.h"

#include "fovea/base/text/shown.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { TEXT_BYTES = 2048, EARLY_BYTES = 4 * TEXT_BYTES };

static int log_rank;
static fv_log_level log_level = FV_LOG_INFO;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* of the next four */
static FILE *kept;                                        /* NULL: no file */
static char early[EARLY_BYTES];                           /* what was said before there was one, as lines */
static size_t n_early;
static int keeps_early; /* since fv_log_init */
static atomic_int has_status;

static const char *const level_name[] = {"error", "warning", "info", "debug"};

void fv_log_init(int rank, fv_log_level level)
{
    log_rank = rank;
    log_level = level;
    pthread_mutex_lock(&mutex);
    keeps_early = 1;
    pthread_mutex_unlock(&mutex);
}

int fv_log_rank(void)
{
    return log_rank;
}

fv_err fv_log_keep(const char *path)
{
    FILE *file = fopen(path, "ae");
    FV_CHECK(file, FV_ERR_IO, "cannot open %s: %s", path, strerror(errno));
    pthread_mutex_lock(&mutex);
    if (kept)
        fclose(kept);
    kept = file;
    fwrite(early, 1, n_early, file);
    fflush(file);
    n_early = 0;
    pthread_mutex_unlock(&mutex);
    return FV_OK;
}

void fv_log_status(const char *text)
{
    fprintf(stderr, "\r\033[K%s", text);
    atomic_store(&has_status, 1);
}

void fv_log_status_hide(void)
{
    if (atomic_exchange(&has_status, 0))
        fprintf(stderr, "\r\033[K");
}

int fv_log_has_status(void)
{
    return has_status;
}

/* One call a line, so that lines of several threads or ranks do not mix. */
static void append(const char *line, size_t size)
{
    pthread_mutex_lock(&mutex);
    if (kept) {
        fwrite(line, 1, size, kept);
        fflush(kept);
    } else if (keeps_early && size <= sizeof early - n_early) {
        memcpy(early + n_early, line, size);
        n_early += size;
    }
    pthread_mutex_unlock(&mutex);
}

static void note(fv_log_level level, const char *text)
{
    char date[32], line[TEXT_BYTES + 64];
    struct tm parts;
    time_t now = time(NULL);
    gmtime_r(&now, &parts);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", &parts);
    int n = snprintf(line, sizeof line, "%s %s: %s\n", date, level_name[level], text);
    append(line, (size_t)n);
}

/* One line, whatever a name or a model put into it. */
static void print_text(char text[TEXT_BYTES], const char *format, va_list args)
{
    char raw[TEXT_BYTES];
    vsnprintf(raw, sizeof raw, format, args);
    fv_shown_line(raw, text, TEXT_BYTES);
}

static void write_line(fv_log_level level, const char *format, va_list args)
{
    char text[TEXT_BYTES];
    print_text(text, format, args);
    fv_log_status_hide();
    fprintf(stderr, "fovea[%d] %s: %s\n", log_rank, level_name[level], text);
    note(level, text);
}

void fv_log_note(fv_log_level level, const char *format, ...)
{
    char text[TEXT_BYTES];
    va_list args;
    va_start(args, format);
    print_text(text, format, args);
    va_end(args);
    note(level, text);
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
