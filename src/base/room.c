#include "fovea/base/room.h"

#include <stdlib.h>

fv_err fv_room_fit(fv_room *room, fv_room_take take, void *context)
{
    fv_arena dry = fv_arena_dry(room->name);
    FV_TRY(take(context, &dry));
    if (dry.peak > room->bytes) {
        void *memory = aligned_alloc(FV_ARENA_ALIGN, dry.peak); /* the peak is a multiple of it */
        FV_CHECK(memory, FV_ERR_MEMORY, "cannot allocate %zu bytes of host memory for %s", dry.peak,
                 room->name);
        free(room->memory);
        room->memory = memory;
        room->bytes = dry.peak;
    }
    room->arena = fv_arena_over(room->name, room->memory, room->bytes);
    return take(context, &room->arena);
}

void fv_room_fini(fv_room *room)
{
    free(room->memory);
    *room = (fv_room){.name = room->name};
}
