/* YAML documents, as the tree of json.h. Local.
 *
 * One document; plain scalars have the types of YAML 1.2's core schema (so "no" is a string and 1e-6 a
 * number), quoted ones are strings. Refused with file, line and column: anchors, aliases, tags, duplicate
 * keys, keys that are not scalars, numbers that are not finite or do not fit, nesting beyond 64 levels, a
 * second document. */
#ifndef FOVEA_IO_YAML_H
#define FOVEA_IO_YAML_H

#include "fovea/io/json.h"

typedef struct fv_yaml fv_yaml;

/* The caller destroys *out. An empty document is null. */
fv_err fv_yaml_load(const char *path, fv_yaml **out);
fv_err fv_yaml_parse(const char *text, size_t size, const char *name, fv_yaml **out); /* name for messages */
void fv_yaml_destroy(fv_yaml *yaml);                                                  /* NULL is fine */

const fv_json *fv_yaml_root(const fv_yaml *yaml); /* borrowed */

/* The line, from 1, of a member of an object, or of an item of an array (key NULL); 0 if there is none. */
int fv_yaml_line(const fv_yaml *yaml, const fv_json *container, const char *key, size_t index);

#endif
