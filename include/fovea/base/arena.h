/* Arena: memory of one kind and one lifetime, handed out from the front and given back as a whole.
 *
 * A plan is made by running the same allocations on a dry arena first: it hands out addresses that must not
 * be touched and counts the bytes; the real arena is then created with exactly that size, so nothing is
 * allocated inside a step. Local; not thread-safe. */
#ifndef FOVEA_BASE_ARENA_H
#define FOVEA_BASE_ARENA_H

#include "fovea/base/error.h"

#include <stddef.h>
#include <stdint.h>

enum { FV_ARENA_ALIGN = 256 }; /* bytes; every block starts on a multiple */

typedef struct fv_arena {
    const char *name; /* for messages; borrowed */
    uint8_t *base;    /* borrowed; whoever made it frees it. Meaningless if dry */
    size_t size;      /* bytes; 0 if dry */
    size_t used;      /* bytes handed out now */
    size_t peak;      /* largest used so far */
    int dry;          /* counts only */
} fv_arena;

/* A dry arena: every request succeeds, nothing may be dereferenced. */
fv_arena fv_arena_dry(const char *name);

/* An arena over memory owned by the caller (base aligned to FV_ARENA_ALIGN). */
fv_arena fv_arena_over(const char *name, void *base, size_t size);

/* Hand out bytes (rounded up to FV_ARENA_ALIGN). FV_ERR_MEMORY names the arena, the request and the size. */
fv_err fv_arena_take(fv_arena *arena, size_t bytes, void **out);

/* Stack discipline: remember a mark, later release everything taken since. */
static inline size_t fv_arena_mark(const fv_arena *arena)
{
    return arena->used;
}
static inline void fv_arena_release(fv_arena *arena, size_t mark)
{
    arena->used = mark;
}

#endif
