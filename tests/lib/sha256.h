/* SHA-256 (FIPS 180-4), for comparing with figures of other programs. */
#ifndef FOVEA_TEST_SHA256_H
#define FOVEA_TEST_SHA256_H

#include <stddef.h>

/* 64 hexadecimal digits and a NUL. */
void sha256(const void *data, size_t size, char out[65]);

#endif
