/* UTF-8 in the sense of the Unicode standard: no overlong forms, no surrogates, nothing above U+10FFFF.
 * Local. */
#ifndef FOVEA_BASE_UTF8_H
#define FOVEA_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Decode the code point at text[0..size). Returns its length in bytes (1 to 4); 0 if the bytes are valid so
 * far but end too early; or -n for n bytes that can never be valid (the maximal subpart of the standard's
 * chapter 3, to be shown as one U+FFFD). code may be NULL. size must be at least 1. */
int fv_utf8_decode(const char *text, size_t size, uint32_t *code);

/* Write code (a valid scalar value) as 1 to 4 bytes; returns how many. */
int fv_utf8_encode(uint32_t code, char out[4]);

#endif
