#include "fovea/io/settings/settings.h"

#include "fovea/base/text/slice.h"

#include <string.h>

enum { KEY_BYTES = 128 };

/* A text of settings, line by line. */
typedef struct reader {
    const char *at;
    fv_slice section;
    char key[KEY_BYTES]; /* of the line, with its section */
    fv_slice value;
} reader;

/* The next field; 0 at the end. */
static int next(reader *r)
{
    while (*r->at) {
        const char *line = r->at, *end = line + strcspn(line, "\n"),
                   *colon = memchr(line, ':', (size_t)(end - line));
        int is_inside = *line == ' ';
        r->at = *end ? end + 1 : end;
        if (!colon)
            continue;
        if (colon + 1 == end) {
            r->section = (fv_slice){line, (size_t)(colon - line)};
            continue;
        }
        line += strspn(line, " ");
        snprintf(r->key, sizeof r->key, "%.*s%s%.*s", is_inside ? (int)r->section.size : 0, r->section.data,
                 is_inside ? "." : "", (int)(colon - line), line);
        r->value = (fv_slice){colon + 2, (size_t)(end - colon - 2)};
        return 1;
    }
    return 0;
}

static int find(const char *text, const char *key, fv_slice *value)
{
    reader r = {.at = text, .section = {"", 0}};
    while (next(&r))
        if (strcmp(r.key, key) == 0) {
            *value = r.value;
            return 1;
        }
    return 0;
}

fv_err fv_settings_compare(const char *before, const char *now,
                           int (*is_meant)(const void *context, const char *key), const void *context,
                           fv_buffer *out)
{
    reader r = {.at = now, .section = {"", 0}};
    fv_slice was;
    while (next(&r)) {
        if (!is_meant(context, r.key) || !find(before, r.key, &was))
            continue;
        if (was.size != r.value.size || memcmp(was.data, r.value.data, was.size) != 0)
            FV_TRY(fv_buffer_print(out, "%s%s is %.*s, was %.*s", out->size ? ", " : "", r.key,
                                   (int)r.value.size, r.value.data, (int)was.size, was.data));
    }
    return FV_OK;
}
