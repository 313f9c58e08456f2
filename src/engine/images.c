/* Features of images: rows of one pool. An image gets its rows when a pass needs them and keeps them until
 * others need the room: then those that were not shown for longest give theirs up. An image that the pass
 * under way shows stays.
 *
 * The images that a pass needs go through the tower together, as small ones alone would leave most of a
 * device without work; a feature is the same bits beside any others. */
#include "engine/engine_internal.h"

#include <string.h>

static int64_t min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int merge_of(const fv_engine *engine)
{
    return fv_model_shape_of(engine->model)->vision.merge;
}

static fv_err take_tensors(void *context, fv_arena *arena)
{
    fv_engine *engine = context;
    return fv_vision_take(engine->vision, engine->seen.grids, engine->seen.n, FV_SAVE_NONE, arena);
}

/* The tensors of n units of the tower, four patches or so, as that many images. Each image but the last is a
 * unit and that is a strip, so that no others have more windows. */
static fv_err take_units(fv_engine *engine, int64_t n, int n_images, fv_arena *arena)
{
    int merge = merge_of(engine);
    size_t mark = fv_arena_mark(arena);
    engine->seen.n = n_images;
    for (int i = 0; i < n_images; i++)
        engine->seen.grids[i] = (fv_grid){1, merge, merge};
    engine->seen.grids[n_images - 1].w = (int32_t)((n - n_images + 1) * merge);
    FV_TRY(take_tensors(engine, arena));
    fv_arena_release(arena, mark);
    return FV_OK;
}

/* The largest image may have any shape; smaller ones come together as far as there are rows for them. */
static fv_err take_largest(void *context, fv_arena *arena)
{
    fv_engine *engine = context;
    fv_grid largest = engine->settings.image;
    int merge = merge_of(engine);
    int64_t together = min(FV_SEEN_PATCHES / (merge * merge), engine->settings.image_rows);
    FV_TRY(take_units(engine, fv_grid_tokens(largest, merge), 1, arena));
    FV_TRY(take_units(engine, together, (int)min(together, FV_MAX_SEEN), arena));
    engine->seen.n = 1;
    engine->seen.grids[0] = largest;
    FV_TRY(take_tensors(engine, arena));
    engine->seen.n = 0;
    return FV_OK;
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

static void release(fv_seen *seen)
{
    for (int i = 0; i < seen->n; i++)
        fv_picture_release(seen->pictures[i]);
    seen->n = 0;
    seen->patches = 0;
}

void fv_images_fini(fv_engine *engine)
{
    release(&engine->seen);
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
    fv_seen *seen = &engine->seen;
    int64_t patches = fv_grid_patches(image->grid);
    if (seen->n == FV_MAX_SEEN || (seen->n > 0 && seen->patches + patches > FV_SEEN_PATCHES))
        FV_TRY(fv_images_encode(engine));
    seen->images[seen->n] = image;
    seen->pictures[seen->n] = fv_picture_hold(picture);
    seen->grids[seen->n++] = image->grid;
    seen->patches += patches;
    return FV_OK;
}

static fv_err encode(fv_engine *engine)
{
    const fv_seen *seen = &engine->seen;
    fv_tensor features;
    int64_t first = 0;
    FV_TRY(fv_workspace_fit(&engine->vision_work, engine->backend, take_tensors, engine));
    FV_TRY(fv_vision_forward(engine->vision, seen->pictures, &features));
    engine->stats.vision_patches += seen->patches;
    for (int i = 0; i < seen->n; i++) {
        const fv_engine_image *image = seen->images[i];
        FV_TRY(fv_copy(engine->backend,
                       &(fv_copy_args){.in = fv_tensor_rows(features, first, image->n),
                                       .out = fv_tensor_rows(engine->features, image->first, image->n)}));
        first += image->n;
    }
    return FV_OK;
}

fv_err fv_images_encode(fv_engine *engine)
{
    fv_err err = engine->seen.n > 0 ? encode(engine) : FV_OK;
    if (err == FV_OK)
        release(&engine->seen);
    return err;
}

void fv_images_drop(fv_engine *engine)
{
    for (int i = 0; i < engine->seen.n; i++)
        fv_engine_forget(engine, engine->seen.images[i]);
    release(&engine->seen);
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
