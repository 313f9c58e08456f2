#include "fovea/base/buffer.h"

#include "fovea/base/text/utf8.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

fv_err fv_buffer_reserve(fv_buffer *buffer, size_t extra)
{
    FV_CHECK(extra < SIZE_MAX - buffer->size, FV_ERR_MEMORY, "a buffer of %zu + %zu bytes overflows",
             buffer->size, extra);
    size_t wanted = buffer->size + extra + 1;
    if (wanted <= buffer->capacity)
        return FV_OK;
    size_t capacity = buffer->capacity < 64 ? 64 : buffer->capacity;
    while (capacity < wanted)
        capacity = capacity > SIZE_MAX / 2 ? wanted : capacity * 2;
    char *data = realloc(buffer->data, capacity);
    FV_CHECK(data, FV_ERR_MEMORY, "cannot allocate a buffer of %zu bytes", capacity);
    buffer->data = data;
    buffer->capacity = capacity;
    return FV_OK;
}

fv_err fv_buffer_append(fv_buffer *buffer, const void *data, size_t size)
{
    FV_TRY(fv_buffer_reserve(buffer, size));
    if (size)
        memcpy(buffer->data + buffer->size, data, size);
    buffer->size += size;
    buffer->data[buffer->size] = '\0';
    return FV_OK;
}

fv_err fv_buffer_print(fv_buffer *buffer, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int size = vsnprintf(NULL, 0, format, args);
    va_end(args);
    FV_CHECK(size >= 0, FV_ERR_INTERNAL, "cannot format \"%s\"", format);
    FV_TRY(fv_buffer_reserve(buffer, (size_t)size));
    va_start(args, format);
    vsnprintf(buffer->data + buffer->size, (size_t)size + 1, format, args);
    va_end(args);
    buffer->size += (size_t)size;
    return FV_OK;
}

void fv_buffer_fini(fv_buffer *buffer)
{
    free(buffer->data);
    *buffer = (fv_buffer){0};
}

fv_err fv_buffer_read(fv_buffer *buffer, FILE *stream, const char *name, size_t max_bytes)
{
    enum { STEP = 1 << 16 };
    for (;;) {
        FV_TRY(fv_buffer_reserve(buffer, STEP));
        size_t got = fread(buffer->data + buffer->size, 1, STEP, stream);
        buffer->size += got;
        buffer->data[buffer->size] = '\0';
        FV_CHECK(!ferror(stream), FV_ERR_IO, "cannot read %s: %s", name, strerror(errno));
        FV_CHECK(buffer->size <= max_bytes, FV_ERR_ARGUMENT, "%s is longer than %zu bytes", name, max_bytes);
        if (got == 0)
            return FV_OK;
    }
}

fv_err fv_buffer_append_valid(fv_buffer *out, const char *text, size_t size)
{
    size_t start = 0, at = 0;
    while (at < size) {
        int length = fv_utf8_decode(text + at, size - at, NULL);
        if (length > 0) {
            at += (size_t)length;
            continue;
        }
        FV_TRY(fv_buffer_append(out, text + start, at - start));
        FV_TRY(fv_buffer_append(out, "\xEF\xBF\xBD", 3));
        at += length < 0 ? (size_t)-length : size - at;
        start = at;
    }
    return fv_buffer_append(out, size ? text + start : "", size - start); /* NULL + 0 is undefined */
}
