/* Typed settings: a C struct filled from a YAML file and from key=value on the command line. Local.
 *
 * A table names every field once: key, place in the struct, range, what it is for. From it come reading with
 * all checks, writing, and the reference of all keys. A file has fields at the top and sections, one level
 * deep; elsewhere a field is called SECTION.KEY:
 *
 *     seed: 1
 *     rollout:
 *       samples: 8         # "rollout.samples"
 *
 * Fields that neither the file nor the command line names keep their defaults. A default outside its own
 * range makes a field required. */
#ifndef FOVEA_IO_SETTINGS_SETTINGS_H
#define FOVEA_IO_SETTINGS_SETTINGS_H

#include "fovea/base/buffer.h"

#include <stddef.h>
#include <stdint.h>

typedef enum fv_setting_kind {
    FV_SETTING_TEXT,    /* char *: one line of UTF-8 without control characters; owned, never NULL */
    FV_SETTING_PATH,    /* the same, of a file or folder; "" = none */
    FV_SETTING_LIST,    /* char *: names of letters, digits, "." "_" "-", with ", " between them; owned, never
                           NULL.    In the file a list, on the command line "a, b" or "[a, b]" */
    FV_SETTING_INTEGER, /* int or int64_t */
    FV_SETTING_REAL,    /* float or double, finite */
    FV_SETTING_SWITCH,  /* int, 0 or 1: false or true in the file */
    FV_SETTING_CHOICE   /* enum whose values count from 0: their names in the file */
} fv_setting_kind;

/* Of a number; of a text: its length in bytes. Infinite ends are open. Not used by switches and choices. */
typedef struct fv_setting_range {
    double min, max;
    int above_min, below_max; /* 1: without this end itself */
} fv_setting_range;

typedef struct fv_setting {
    const char *key;
    fv_setting_kind kind;
    size_t offset, size; /* of the member: FV_SETTING_AT */
    const char *help;    /* one line */
    fv_setting_range range;
    const char *const *names; /* of a choice, ended by NULL */
} fv_setting;
#define FV_SETTING_AT(type, member) offsetof(type, member), sizeof(((type *)0)->member)

typedef struct fv_settings_section {
    const char *key;          /* "": the top of the file */
    size_t offset;            /* of the section's struct */
    const fv_setting *fields; /* ended by a key of NULL */
    const char *plain;        /* key of the field that "SECTION: value" is short for; NULL: none */
} fv_settings_section;

/* What there is to know about one type of struct. */
typedef struct fv_settings {
    size_t size;                         /* of the struct */
    const void *defaults;                /* one of it; a text may be NULL for "" */
    const fv_settings_section *sections; /* the top first; ended by a key of NULL */
} fv_settings;

/* The defaults, then the file, then the n_overrides texts "KEY=VALUE" in their order. The value of a text or
 * path is taken as it stands, others are read as in the file. The caller calls fv_settings_fini.
 * FV_ERR_FORMAT names the file and line, or says "on the command line", the key, what was found and what is
 * expected: unknown keys (with the key that was probably meant), wrong types, values out of range, required
 * fields that are missing. Nothing is to be freed then. */
fv_err fv_settings_read(const fv_settings *settings, const char *path, const char *const *overrides,
                        int n_overrides, void *out);
void fv_settings_fini(const fv_settings *settings, void *values); /* all bytes become 0 */

/* Append all fields as YAML, in the order of the table. Read again it gives the same struct bit for bit, also
 * with help behind every field (with_help: 1). values NULL: the defaults, a reference of all keys. */
fv_err fv_settings_print(const fv_settings *settings, const void *values, int with_help, fv_buffer *out);

/* Compare two texts that fv_settings_print made, without help: append "KEY is NOW, was BEFORE", with ", "
 * between them, for every field that is in both with other values and that is_meant ("section.key"). */
fv_err fv_settings_compare(const char *before, const char *now,
                           int (*is_meant)(const void *context, const char *key), const void *context,
                           fv_buffer *out);

/* FV_ERR_FORMAT if there is no field of that name, with the one that was probably meant. */
fv_err fv_settings_check_name(const fv_settings *settings, const char *name);

/* The next name of a list; *at moves on. 0 at the end. A name beyond size is cut. */
int fv_settings_next_name(const char **at, char *name, size_t size);

#endif
