#include "fovea/base/text/lines.h"

#include "fovea/base/log.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SENTENCE_BYTES = 512 };

typedef struct reading {
    fv_err (*each)(void *context, const fv_line *line);
    void *context;
    int64_t n_bad;
    char first[SENTENCE_BYTES]; /* what is wrong with the first bad line */
} reading;

static fv_err give_line(reading *r, const fv_line *line)
{
    fv_err err = r->each(r->context, line);
    if (err != FV_ERR_FORMAT)
        return err;
    if (r->n_bad++ == 0)
        snprintf(r->first, sizeof r->first, "%s", fv_error_text());
    return FV_OK;
}

static fv_err read_all(reading *r, const char *path, FILE *file)
{
    char *text = NULL, name[PATH_MAX + 32];
    size_t capacity = 0;
    ssize_t n;
    fv_err err = FV_OK;
    fv_line line = {.name = name};
    for (int64_t number = 1; err == FV_OK && (n = getline(&text, &capacity, file)) > 0; number++) {
        if (text[n - 1] != '\n')
            break;
        snprintf(name, sizeof name, "%s:%lld", path, (long long)number);
        line.text = text;
        line.size = (size_t)n - 1;
        line.end += (uint64_t)n;
        err = give_line(r, &line);
    }
    free(text);
    FV_CHECK(!ferror(file), FV_ERR_IO, "cannot read %s: %s", path, strerror(errno));
    return err;
}

fv_err fv_lines_read(const char *path, fv_err (*each)(void *context, const fv_line *line), void *context)
{
    reading r = {.each = each, .context = context};
    FILE *file = fopen(path, "re");
    FV_CHECK(file, FV_ERR_IO, "cannot open %s: %s", path, strerror(errno));
    fv_err err = read_all(&r, path, file);
    fclose(file);
    if (r.n_bad > 0)
        FV_LOG_RANK(WARN, "%s: lines that are passed over: %lld; the first: %s", path, (long long)r.n_bad,
                    r.first);
    return err;
}
