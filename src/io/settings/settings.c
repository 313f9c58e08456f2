#include "io/settings/settings_internal.h"

#include <stdlib.h>
#include <string.h>

void fv_setting_name(const fv_settings_section *section, const fv_setting *field, char out[FV_SETTING_NAME])
{
    snprintf(out, FV_SETTING_NAME, "%s%s%s", section->key, *section->key && field ? "." : "",
             field ? field->key : "");
}

/* Finding. */

static const fv_setting *find_field(const fv_settings_section *section, const char *key)
{
    for (const fv_setting *field = section->fields; field->key; field++)
        if (strcmp(field->key, key) == 0)
            return field;
    return NULL;
}

static const fv_settings_section *find_section(const fv_settings *settings, const char *key, size_t size)
{
    for (const fv_settings_section *section = settings->sections; section->key; section++)
        if (size > 0 && strlen(section->key) == size && strncmp(section->key, key, size) == 0)
            return section;
    return NULL;
}

/* The struct's texts. */

static fv_err copy_defaults(const fv_settings *settings, void *out)
{
    int is_there = 1;
    memcpy(out, settings->defaults, settings->size);
    for (const fv_settings_section *section = settings->sections; section->key; section++)
        for (const fv_setting *field = section->fields; field->key; field++) {
            if (!fv_setting_is_text(field))
                continue;
            char **text = fv_setting_member(section, field, out);
            *text = strdup(*text ? *text : "");
            is_there &= *text != NULL;
        }
    FV_CHECK(is_there, FV_ERR_MEMORY, "no memory for settings");
    return FV_OK;
}

void fv_settings_fini(const fv_settings *settings, void *values)
{
    for (const fv_settings_section *section = settings->sections; section->key; section++)
        for (const fv_setting *field = section->fields; field->key; field++)
            if (fv_setting_is_text(field))
                free(*(char **)fv_setting_member(section, field, values));
    memset(values, 0, settings->size);
}

/* The file. */

typedef struct reader {
    const fv_settings *settings;
    const fv_yaml *yaml;
    const char *path;
    void *out;
} reader;

static int is_object(const fv_json *value)
{
    return value && fv_json_kind_of(value) == FV_JSON_OBJECT;
}

static fv_err refuse_keys(const char *what, const fv_json *value)
{
    fv_buffer found = {0};
    fv_err err = fv_settings_print_found(value, &found);
    if (err == FV_OK)
        err = FV_FAIL(FV_ERR_FORMAT, "\"%s\" is %s, expected keys with values", what, found.data);
    fv_buffer_fini(&found);
    return err;
}

/* A key that holds no section. */
static fv_err read_key(const reader *in, const fv_settings_section *section, const char *key,
                       const fv_json *value)
{
    char name[FV_SETTING_NAME];
    const fv_setting *field = find_field(section, key);
    snprintf(name, sizeof name, "%s%s%s", section->key, *section->key ? "." : "", key);
    if (field)
        return fv_setting_set(field, name, value, fv_setting_member(section, field, in->out));
    const fv_settings_section *sub = *section->key ? NULL : find_section(in->settings, key, strlen(key));
    if (sub && sub->plain)
        return read_key(in, sub, sub->plain, value);
    if (sub)
        return refuse_keys(name, value);
    return fv_settings_unknown(in->settings, section, name);
}

static fv_err read_keys(const reader *in, const fv_settings_section *section, const fv_json *object)
{
    for (void *i = fv_json_first(object); i; i = fv_json_next(object, i)) {
        const char *key = fv_json_key(i);
        const fv_json *value = fv_json_member(i);
        const fv_settings_section *sub = *section->key ? NULL : find_section(in->settings, key, strlen(key));
        if (sub && is_object(value)) {
            FV_TRY(read_keys(in, sub, value));
            continue;
        }
        fv_err err = read_key(in, section, key, value);
        if (err != FV_OK)
            return fv_error_prefix(err, "%s:%d", in->path, fv_yaml_line(in->yaml, object, key, 0));
    }
    return FV_OK;
}

/* An empty file is fine: all may come from the command line. */
static fv_err read_file(const fv_settings *settings, const char *path, void *out)
{
    fv_yaml *yaml;
    FV_TRY(fv_yaml_load(path, &yaml));
    const reader in = {settings, yaml, path, out};
    const fv_json *root = fv_yaml_root(yaml);
    fv_err err = FV_OK;
    if (is_object(root))
        err = read_keys(&in, settings->sections, root);
    else if (fv_json_kind_of(root) != FV_JSON_NULL)
        err = refuse_keys(path, root);
    fv_yaml_destroy(yaml);
    return err;
}

/* The command line. */

static const fv_setting *find_name(const fv_settings *settings, const char *name,
                                   const fv_settings_section **section)
{
    char known[FV_SETTING_NAME];
    for (const fv_settings_section *s = settings->sections; s->key; s++)
        for (const fv_setting *field = s->fields; field->key; field++) {
            fv_setting_name(s, field, known);
            if (strcmp(known, name) == 0)
                return *section = s, field;
        }
    *section = find_section(settings, name, strcspn(name, "."));
    int is_plain = *section && (*section)->plain && strcmp((*section)->key, name) == 0;
    return is_plain ? find_field(*section, (*section)->plain) : NULL;
}

static fv_err set_override(const fv_settings *settings, const char *name, const char *value, void *out)
{
    const fv_settings_section *section;
    const fv_setting *field = find_name(settings, name, &section);
    if (!field)
        return fv_settings_unknown(settings, section ? section : settings->sections, name);
    void *member = fv_setting_member(section, field, out);
    if (fv_setting_is_text(field) && field->kind != FV_SETTING_LIST)
        return fv_setting_set_text(field, name, fv_slice_of(value), member);
    fv_yaml *yaml;
    FV_TRY(fv_yaml_parse(value, strlen(value), name, &yaml));
    fv_err err = fv_setting_set(field, name, fv_yaml_root(yaml), member);
    fv_yaml_destroy(yaml);
    return err;
}

fv_err fv_settings_check_name(const fv_settings *settings, const char *name)
{
    const fv_settings_section *section;
    return find_name(settings, name, &section)
               ? FV_OK
               : fv_settings_unknown(settings, section ? section : settings->sections, name);
}

static fv_err read_override(const fv_settings *settings, const char *text, void *out)
{
    const char *equals = strchr(text, '=');
    FV_CHECK(equals, FV_ERR_FORMAT, "\"%.64s\" has no \"=\", expected KEY=VALUE", text);
    char *name = strndup(text, (size_t)(equals - text));
    FV_CHECK(name, FV_ERR_MEMORY, "no memory for the name of a setting");
    fv_err err = set_override(settings, name, equals + 1, out);
    free(name);
    return err;
}

/* All together. */

static fv_err check_set(const fv_settings_section *section, const fv_setting *field, const void *values)
{
    char name[FV_SETTING_NAME];
    fv_buffer help = {0};
    if (fv_setting_is_set(field, fv_setting_member(section, field, values)))
        return FV_OK;
    fv_setting_name(section, field, name);
    fv_err err = fv_setting_print_help(field, &help);
    if (err == FV_OK)
        err = FV_FAIL(FV_ERR_FORMAT, "\"%s\" is missing: %s", name, help.data);
    fv_buffer_fini(&help);
    return err;
}

static fv_err check_all_set(const fv_settings *settings, const void *values)
{
    for (const fv_settings_section *section = settings->sections; section->key; section++)
        for (const fv_setting *field = section->fields; field->key; field++)
            FV_TRY(check_set(section, field, values));
    return FV_OK;
}

static fv_err read_all(const fv_settings *settings, const char *path, const char *const *overrides,
                       int n_overrides, void *out)
{
    FV_TRY(read_file(settings, path, out));
    for (int i = 0; i < n_overrides; i++) {
        fv_err err = read_override(settings, overrides[i], out);
        if (err != FV_OK)
            return fv_error_prefix(err, "on the command line");
    }
    fv_err err = check_all_set(settings, out);
    return err == FV_OK ? FV_OK : fv_error_prefix(err, "%s", path);
}

fv_err fv_settings_read(const fv_settings *settings, const char *path, const char *const *overrides,
                        int n_overrides, void *out)
{
    fv_err err = copy_defaults(settings, out);
    if (err == FV_OK)
        err = read_all(settings, path, overrides, n_overrides, out);
    if (err != FV_OK)
        fv_settings_fini(settings, out);
    return err;
}
