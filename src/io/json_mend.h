/* JSON as servers write it, made such as a strict parser reads. */
#ifndef FOVEA_SRC_IO_JSON_MEND_H
#define FOVEA_SRC_IO_JSON_MEND_H

#include "fovea/base/buffer.h"

/* Append text without a byte-order mark; with U+FFFD for invalid UTF-8 and lone surrogates, escapes for
 * control characters in strings, and null for words and numbers that JSON has not (NaN, -Infinity, 1e999). */
fv_err fv_json_mend(const char *text, size_t size, fv_buffer *out);

#endif
