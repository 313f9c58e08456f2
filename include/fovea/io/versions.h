/* Versions of the foreign libraries that this program runs with. Local. */
#ifndef FOVEA_IO_VERSIONS_H
#define FOVEA_IO_VERSIONS_H

#include <stddef.h>

typedef struct fv_version {
    const char *name;    /* of the library; static */
    char found[32];      /* the one loaded now */
    char built_with[32]; /* the one whose headers were compiled in; "" where the library does not tell */
    int must_match;      /* 1 if the two have to be equal for the library to work */
} fv_version;

/* Of every library of src/io. Returns how many; at most max are written. */
size_t fv_versions_get(fv_version *out, size_t max);

#endif
