/* A growing run of bytes, always followed by a NUL that is not counted. Local.
 *
 * Starts as {0}; every function that grows it can fail with FV_ERR_MEMORY and then leaves it as it was. */
#ifndef FOVEA_BASE_BUFFER_H
#define FOVEA_BASE_BUFFER_H

#include "fovea/base/error.h"

#include <stddef.h>
#include <stdio.h>

typedef struct fv_buffer {
    char *data; /* owned; NULL until the first append */
    size_t size;
    size_t capacity;
} fv_buffer;

fv_err fv_buffer_reserve(fv_buffer *buffer, size_t extra);
fv_err fv_buffer_append(fv_buffer *buffer, const void *data, size_t size);
fv_err fv_buffer_print(fv_buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));
void fv_buffer_fini(fv_buffer *buffer); /* back to {0} */

/* Everything up to the end of a stream; name is for messages. max_bytes bounds it (FV_ERR_ARGUMENT). */
fv_err fv_buffer_read(fv_buffer *buffer, FILE *stream, const char *name, size_t max_bytes);

/* Append text, every part of which that is no UTF-8 is U+FFFD. */
fv_err fv_buffer_append_valid(fv_buffer *out, const char *text, size_t size);

#endif
