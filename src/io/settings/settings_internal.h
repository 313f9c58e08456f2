/* What the files of settings share: one value, and keys that were probably meant. Local. */
#ifndef FOVEA_SRC_IO_SETTINGS_SETTINGS_INTERNAL_H
#define FOVEA_SRC_IO_SETTINGS_SETTINGS_INTERNAL_H

#include "fovea/io/settings/settings.h"
#include "fovea/base/text/slice.h"
#include "fovea/io/yaml.h"

enum { FV_SETTING_NAME = 128 /* bytes of "SECTION.KEY" */ };

/* The name of a field for people; of a section if field is NULL. */
void fv_setting_name(const fv_settings_section *section, const fv_setting *field, char out[FV_SETTING_NAME]);

/* Where a field is in a struct. */
static inline void *fv_setting_member(const fv_settings_section *section, const fv_setting *field,
                                      const void *values)
{
    return (char *)values + section->offset + field->offset;
}

/* A list is kept as one. */
static inline int fv_setting_is_text(const fv_setting *field)
{
    return field->kind == FV_SETTING_TEXT || field->kind == FV_SETTING_PATH || field->kind == FV_SETTING_LIST;
}

/* Check and store. name is for messages. An older text is freed. */
fv_err fv_setting_set(const fv_setting *field, const char *name, const fv_json *value, void *member);
fv_err fv_setting_set_text(const fv_setting *field, const char *name, fv_slice text, void *member);

/* Whether the stored value is in its range: a required field that nobody set is not. */
int fv_setting_is_set(const fv_setting *field, const void *member);

/* The stored number, switch or choice. */
double fv_setting_number(const fv_setting *field, const void *member);

/* "a whole number, 1 or more". */
fv_err fv_setting_describe(const fv_setting *field, fv_buffer *out);

/* What it is for, and in brackets what may stand there. */
fv_err fv_setting_print_help(const fv_setting *field, fv_buffer *out);

/* The value as YAML. */
fv_err fv_setting_print(const fv_setting *field, const void *member, fv_buffer *out);

/* Fail because of a key that is not there: with the one that was probably meant, else with all of section. */
fv_err fv_settings_unknown(const fv_settings *settings, const fv_settings_section *section, const char *name);

/* The fewest digits that are read as the same number of this size: a float's or a double's. */
fv_err fv_settings_print_real(double value, size_t size, fv_buffer *out);

/* What was found, shortened if it is long. */
fv_err fv_settings_print_found(const fv_json *value, fv_buffer *out);

#endif
