#include "io/settings/settings_internal.h"

#include <string.h>

static size_t least(size_t a, size_t b, size_t c)
{
    size_t ab = a < b ? a : b;
    return ab < c ? ab : c;
}

/* Levenshtein's; b is a known name. */
static size_t distance(const char *a, const char *b)
{
    size_t row[FV_SETTING_NAME + 1], n = strlen(b);
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 0; a[i]; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < n; j++) {
            size_t above = row[j + 1];
            row[j + 1] = least(above + 1, row[j] + 1, diagonal + (a[i] != b[j]));
            diagonal = above;
        }
    }
    return row[n];
}

static const char *last_part(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot ? dot + 1 : name;
}

typedef struct near_key {
    const char *unknown;
    char name[FV_SETTING_NAME]; /* the nearest so far */
    size_t distance;            /* only a nearer one counts */
} near_key;

static void consider(near_key *near, const fv_settings_section *section, const fv_setting *field)
{
    char name[FV_SETTING_NAME];
    fv_setting_name(section, field, name);
    int is_misplaced = strcmp(last_part(name), last_part(near->unknown)) == 0;
    size_t d = is_misplaced ? 0 : distance(near->unknown, name);
    if (d < near->distance) {
        near->distance = d;
        memcpy(near->name, name, sizeof name);
    }
}

/* A third of a word may be wrong. */
static void find_near(const fv_settings *settings, near_key *near)
{
    size_t wrong = strlen(last_part(near->unknown)) / 3;
    near->distance = wrong > 0 ? wrong + 1 : 2;
    for (const fv_settings_section *section = settings->sections; section->key; section++) {
        if (*section->key)
            consider(near, section, NULL);
        for (const fv_setting *field = section->fields; field->key; field++)
            consider(near, section, field);
    }
}

static fv_err print_keys(const fv_settings *settings, const fv_settings_section *section, fv_buffer *out)
{
    for (const fv_setting *field = section->fields; field->key; field++)
        FV_TRY(fv_buffer_print(out, "%s%s", field == section->fields ? "" : ", ", field->key));
    for (const fv_settings_section *s = settings->sections; !*section->key && s->key; s++)
        if (*s->key)
            FV_TRY(fv_buffer_print(out, ", %s", s->key));
    return FV_OK;
}

fv_err fv_settings_unknown(const fv_settings *settings, const fv_settings_section *section, const char *name)
{
    FV_CHECK(*section->key == '\0' || strcmp(section->key, name) != 0, FV_ERR_FORMAT,
             "\"%s\" is a section, expected one of its keys, such as \"%s.%s\"", name, name,
             section->fields->key);
    near_key near = {.unknown = name};
    find_near(settings, &near);
    FV_CHECK(!*near.name, FV_ERR_FORMAT, "unknown key \"%s\", did you mean \"%s\"?", name, near.name);
    fv_buffer keys = {0};
    fv_err err = print_keys(settings, section, &keys);
    if (err == FV_OK)
        err = FV_FAIL(FV_ERR_FORMAT, "unknown key \"%.64s\", expected one of %s", name, keys.data);
    fv_buffer_fini(&keys);
    return err;
}
