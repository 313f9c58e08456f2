/* Base64 (RFC 4648, section 4). Local. */
#ifndef FOVEA_BASE_BASE64_H
#define FOVEA_BASE_BASE64_H

#include "fovea/base/buffer.h"

/* Append the bytes that text stands for. Padding is required; characters outside the alphabet, white space
 * too, and bits that are lost are FV_ERR_FORMAT. */
fv_err fv_base64_decode(const char *text, size_t size, fv_buffer *out);

#endif
