#include "fovea/base/arena.h"

fv_arena fv_arena_dry(const char *name)
{
    return (fv_arena){.name = name, .dry = 1};
}

fv_arena fv_arena_over(const char *name, void *base, size_t size)
{
    return (fv_arena){.name = name, .base = base, .size = size};
}

fv_err fv_arena_take(fv_arena *arena, size_t bytes, void **out)
{
    FV_CHECK(bytes <= SIZE_MAX - FV_ARENA_ALIGN, FV_ERR_MEMORY, "arena %s: a request of %zu bytes overflows",
             arena->name, bytes);
    size_t rounded = (bytes + FV_ARENA_ALIGN - 1) / FV_ARENA_ALIGN * FV_ARENA_ALIGN;
    FV_CHECK(arena->dry || rounded <= arena->size - arena->used, FV_ERR_MEMORY,
             "arena %s: %zu bytes wanted, %zu of %zu free", arena->name, bytes, arena->size - arena->used,
             arena->size);
    /* A dry address is never NULL, so that "absent" keeps its meaning in a plan. */
    *out = arena->dry ? (void *)(uintptr_t)(FV_ARENA_ALIGN + arena->used) : arena->base + arena->used;
    arena->used += rounded;
    if (arena->used > arena->peak)
        arena->peak = arena->used;
    return FV_OK;
}
