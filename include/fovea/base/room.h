/* A room: an arena over heap memory, made to measure and kept. Local. */
#ifndef FOVEA_BASE_ROOM_H
#define FOVEA_BASE_ROOM_H

#include "fovea/base/arena.h"

/* Starts with a name alone: fv_room room = {.name = "update"}. */
typedef struct fv_room {
    const char *name; /* for messages; borrowed */
    fv_arena arena;
    void *memory; /* owned */
    size_t bytes;
} fv_room;

/* Takes arrays from arena; the same ones every time that it is run on the same context. */
typedef fv_err (*fv_room_take)(void *context, fv_arena *arena);

/* Run take on a dry arena to count, see that there is that much memory (it grows, never shrinks), and run
 * take again for real. What was taken before is gone. */
fv_err fv_room_fit(fv_room *room, fv_room_take take, void *context);
void fv_room_fini(fv_room *room); /* back to its name alone */

/* n elements of an array: FV_TAKE_ARRAY(arena, n, &pointer). */
#define FV_TAKE_ARRAY(arena, n, out) fv_arena_take(arena, (size_t)(n) * sizeof **(out), (void **)(out))

#endif
