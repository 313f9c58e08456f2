/* Features of images: rows of one pool. An image gets its rows when a pass needs them and keeps them until
 * others need the room: then those that were not shown for longest give theirs up. An image that the pass
 * under way shows stays. */
#include "engine/engine_internal.h"

#include <string.h>

static int merge_of(const fv_engine *engine)
{
    return fv_model_shape_of(engine->model)->vision.merge;
}

static fv_err take_tensors(void *context, fv_arena *arena)
{
    fv_engine *engine = context;
    return fv_vision_take(engine->vision, &engine->grid, 1, FV_SAVE_NONE, arena);
}

/* The largest image may have any shape, and a strip has the most windows: room for both, one after the other.
 */
static fv_err take_largest(void *context, fv_arena *arena)
{
    fv_engine *engine = context;
    fv_grid largest = engine->settings.image;
    int merge = merge_of(engine);
    size_t mark = fv_arena_mark(arena);
    engine->grid = (fv_grid){largest.t, merge, (int32_t)((int64_t)largest.h * largest.w / merge)};
    FV_TRY(take_tensors(engine, arena));
    fv_arena_release(arena, mark);
    engine->grid = largest;
    return take_tensors(engine, arena);
}

fv_err fv_images_init(fv_engine *engine)
{
    const fv_model_shape *shape = fv_model_shape_of(engine->model);
    const fv_engine_settings *s = &engine->settings;
    if (shape->vision.depth == 0 || s->image.t == 0)
        return FV_OK;
    FV_TRY(fv_vision_pass_create(engine->model, &engine->vision));
    FV_TRY(fv_grid_check(&s->image, 1, shape->vision.merge));
    FV_CHECK(fv_grid_tokens(s->image, shape->vision.merge) <= s->image_rows, FV_ERR_ARGUMENT,
             "an image of %lld tokens, and room for %lld",
             (long long)fv_grid_tokens(s->image, shape->vision.merge), (long long)s->image_rows);
    FV_TRY(fv_backend_alloc(engine->backend, fv_images_bytes(engine), &engine->feature_memory));
    engine->features = fv_tensor_2d(engine->feature_memory, fv_model_precision(engine->model)->activation,
                                    s->image_rows, shape->text.hidden);
    return fv_workspace_fit(&engine->vision_work, engine->backend, take_largest, engine);
}

size_t fv_images_bytes(const fv_engine *engine)
{
    size_t hidden = (size_t)fv_model_shape_of(engine->model)->text.hidden;
    return (size_t)engine->settings.image_rows * hidden *
           fv_dtype_bytes(fv_model_precision(engine->model)->activation);
}

fv_err fv_images_measure(fv_engine *engine, size_t *bytes)
{
    fv_arena dry = fv_arena_dry(engine->vision_work.name);
    *bytes = 0;
    if (engine->settings.image.t == 0)
        return FV_OK;
    FV_TRY(fv_vision_pass_create(engine->model, &engine->vision));
    FV_TRY(take_largest(engine, &dry));
    *bytes = dry.peak;
    return FV_OK;
}

void fv_images_fini(fv_engine *engine)
{
    if (engine->feature_memory)
        fv_backend_release(engine->backend, engine->feature_memory);
    fv_workspace_fini(&engine->vision_work);
    fv_vision_pass_destroy(engine->vision);
}

/* Room. */

void fv_engine_forget(fv_engine *engine, fv_engine_image *image)
{
    fv_engine_image **at = &engine->images;
    while (*at && *at != image)
        at = &(*at)->next;
    if (*at)
        *at = image->next;
    image->n = 0;
}

/* Put the image into the first gap of n rows, if there is one. */
static int place_rows(fv_engine *engine, fv_engine_image *image, int64_t n)
{
    fv_engine_image **at = &engine->images;
    int64_t first = 0;
    while (*at && (*at)->first - first < n) {
        first = (*at)->first + (*at)->n;
        at = &(*at)->next;
    }
    if (!*at && engine->settings.image_rows - first < n)
        return 0;
    image->first = first;
    image->n = n;
    image->next = *at;
    *at = image;
    return 1;
}

/* The image that was not shown for longest; NULL if the pass shows them all. */
static fv_engine_image *find_victim(const fv_engine *engine)
{
    fv_engine_image *victim = NULL;
    for (fv_engine_image *image = engine->images; image; image = image->next)
        if (image->used_in < engine->pass.number && (!victim || image->used_in < victim->used_in))
            victim = image;
    return victim;
}

static int make_room(fv_engine *engine, fv_engine_image *image)
{
    int64_t n = fv_grid_tokens(image->grid, merge_of(engine));
    while (!place_rows(engine, image, n)) {
        fv_engine_image *victim = find_victim(engine);
        if (!victim)
            return 0;
        fv_engine_forget(engine, victim);
    }
    return 1;
}

/* Use. */

fv_err fv_engine_see(fv_engine *engine, fv_engine_image *image, fv_picture *picture)
{
    fv_tensor seen;
    engine->grid = image->grid;
    FV_TRY(fv_workspace_fit(&engine->vision_work, engine->backend, take_tensors, engine));
    FV_TRY(fv_vision_forward(engine->vision, &picture, &seen));
    engine->stats.vision_patches += fv_grid_patches(image->grid);
    return fv_copy(
        engine->backend,
        &(fv_copy_args){.in = seen, .out = fv_tensor_rows(engine->features, image->first, image->n)});
}

static fv_err need(fv_engine *engine, fv_engine_image *image, int *is_there)
{
    *is_there = image->n > 0;
    if (!*is_there) {
        *is_there = make_room(engine, image);
        if (!*is_there)
            return FV_OK;
        image->used_in = engine->pass.number;
        fv_err err = image->look(image->context, engine, image);
        if (err != FV_OK)
            fv_engine_forget(engine, image);
        return err;
    }
    image->used_in = engine->pass.number;
    return FV_OK;
}

static fv_err need_all(fv_engine *engine, const fv_sequence *with, int64_t first, int64_t *n)
{
    for (int i = 0; i < with->n_shown; i++) {
        const fv_shown *shown = &with->shown[i];
        int64_t past = shown->first + fv_grid_tokens(shown->image->grid, merge_of(engine));
        int is_there;
        if (past <= first || shown->first >= first + *n)
            continue;
        FV_TRY(need(engine, shown->image, &is_there));
        if (!is_there)
            *n = shown->first > first ? shown->first - first : 0;
    }
    return FV_OK;
}

fv_err fv_images_need(fv_engine *engine, const fv_sequence *sequence, int64_t first, int64_t *n)
{
    for (; sequence; sequence = sequence->parent)
        FV_TRY(need_all(engine, sequence, first, n));
    return FV_OK;
}

int64_t fv_images_row(const fv_sequence *sequence, int64_t i)
{
    for (int k = 0; k < sequence->n_shown; k++) {
        const fv_shown *shown = &sequence->shown[k];
        if (i >= shown->first && i < shown->first + shown->image->n)
            return shown->image->first + i - shown->first;
    }
    return -1;
}
