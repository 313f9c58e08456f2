/* JSON documents. Local.
 *
 * A document is one tree; values are borrowed from it and live as long as it. Objects keep the order of the
 * file. Nesting beyond 512 levels, duplicate keys, invalid UTF-8 and text after the document are
 * FV_ERR_FORMAT with file, line and column. Typed getters name the key, what was found and what was expected.
 */
#ifndef FOVEA_IO_JSON_H
#define FOVEA_IO_JSON_H

#include "fovea/base/buffer.h"
#include "fovea/base/error.h"

#include <stddef.h>
#include <stdint.h>

typedef struct fv_json fv_json; /* a value; the root is owned and destroyed by whoever parsed or made it */

typedef enum fv_json_kind {
    FV_JSON_NULL,
    FV_JSON_BOOL,
    FV_JSON_INTEGER,
    FV_JSON_REAL,
    FV_JSON_STRING,
    FV_JSON_ARRAY,
    FV_JSON_OBJECT
} fv_json_kind;

fv_err fv_json_load(const char *path, fv_json **out);
fv_err fv_json_parse(const char *text, size_t size, const char *name, fv_json **out); /* name for messages */
/* The same of what servers write, who do not always keep to JSON: a byte-order mark is passed over; of
 * members with one name the last counts; NaN, infinities and numbers beyond 64 bits are null; invalid UTF-8
 * and lone surrogates are U+FFFD; control characters may stand in strings. */
fv_err fv_json_parse_foreign(const char *text, size_t size, const char *name, fv_json **out);
fv_err fv_json_load_foreign(const char *path, fv_json **out);
void fv_json_destroy(fv_json *root); /* NULL is fine */

fv_json_kind fv_json_kind_of(const fv_json *value); /* of nothing (NULL): FV_JSON_NULL */

/* Members of an object and items of an array; NULL when absent, when value is NULL or of another kind. */
fv_json *fv_json_get(const fv_json *object, const char *key);
fv_json *fv_json_at(const fv_json *array, size_t index);
size_t fv_json_size(const fv_json *value); /* items or members; 0 for other kinds */

/* Iterate an object: for (void *i = fv_json_first(o); i; i = fv_json_next(o, i)) ... */
void *fv_json_first(const fv_json *object);
void *fv_json_next(const fv_json *object, void *iterator);
const char *fv_json_key(void *iterator);
fv_json *fv_json_member(void *iterator);

/* The value itself. String: UTF-8, borrowed, may hold NULs (hence size, which may be NULL). */
fv_err fv_json_to_integer(const fv_json *value, const char *what, int64_t *out);
fv_err fv_json_to_real(const fv_json *value, const char *what, double *out); /* takes integers too */
fv_err fv_json_to_bool(const fv_json *value, const char *what, int *out);
fv_err fv_json_to_string(const fv_json *value, const char *what, const char **out, size_t *size);

/* A member of an object. Absent or null: *out is left as it is, unless the _required form is used
 * (FV_ERR_FORMAT). */
fv_err fv_json_get_integer(const fv_json *object, const char *key, int64_t *out);
fv_err fv_json_get_real(const fv_json *object, const char *key, double *out);
fv_err fv_json_get_bool(const fv_json *object, const char *key, int *out);
fv_err fv_json_get_string(const fv_json *object, const char *key, const char **out);
fv_err fv_json_require_integer(const fv_json *object, const char *key, int64_t *out);
fv_err fv_json_require_real(const fv_json *object, const char *key, double *out);

/* Make values; NULL when out of memory or when a real is not finite. The set and append functions take the
 * value (also when they fail, and NULL fails) and replace an older one. */
fv_json *fv_json_make_null(void);
fv_json *fv_json_make_object(void);
fv_json *fv_json_make_array(void);
fv_json *fv_json_make_integer(int64_t value);
fv_json *fv_json_make_real(double value);
fv_json *fv_json_make_bool(int value);
fv_json *fv_json_make_string(const char *text, size_t size); /* invalid UTF-8 becomes U+FFFD */
fv_json *fv_json_copy(const fv_json *value);                 /* with all in it; NULL for NULL */
fv_err fv_json_set(fv_json *object, const char *key, fv_json *take);
fv_err fv_json_set_text(fv_json *object, const char *key, const char *text);
/* As 16 hexadecimal digits: numbers of JSON are not that long everywhere. */
fv_err fv_json_set_hash(fv_json *object, const char *key, uint64_t hash);
fv_err fv_json_append(fv_json *array, fv_json *take);
void fv_json_remove(fv_json *object, const char *key); /* absent is fine */

/* Append as text; indent 0 writes one line. */
fv_err fv_json_print(const fv_json *value, int indent, fv_buffer *out);

#endif
