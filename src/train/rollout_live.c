#include "train/rollout_internal.h"

#include <stdlib.h>
#include <string.h>

const fv_tokens *fv_node_ids(const fv_node *node)
{
    return node->answer ? &node->answer->ids : &node->live->group->prompt;
}

int64_t fv_node_pending(const fv_node *node)
{
    return (int64_t)fv_node_ids(node)->n - node->rows.n_rows;
}

/* Features. */

static fv_err take_vision(void *context, fv_arena *arena)
{
    fv_rollout *r = context;
    return fv_vision_take(r->vision, &r->grid, 1, FV_SAVE_NONE, arena);
}

static fv_err keep(fv_rollout *r, fv_tensor computed, fv_features *out)
{
    FV_TRY(fv_backend_alloc(r->backend, (size_t)fv_tensor_count(computed) * sizeof(float), &out->memory));
    out->rows = fv_tensor_2d(out->memory, FV_F32, computed.dim[0], computed.dim[1]);
    return fv_copy(r->backend, &(fv_copy_args){.in = computed, .out = out->rows});
}

static fv_err see(fv_rollout *r, fv_picture *view, fv_grid expected, fv_features *out)
{
    fv_tensor computed;
    FV_CHECK(memcmp(&view->grid, &expected, sizeof expected) == 0, FV_ERR_INTERNAL,
             "a view of %d x %d patches where the group says %d x %d", view->grid.h, view->grid.w, expected.h,
             expected.w);
    FV_CHECK(r->vision, FV_ERR_ARGUMENT, "a group shows an image, but the model has no vision tower");
    r->grid = view->grid;
    FV_TRY(fv_workspace_fit(&r->vision_work, r->backend, take_vision, r));
    FV_TRY(fv_vision_forward(r->vision, &view, &computed));
    r->stats.vision_patches += fv_grid_patches(view->grid);
    return keep(r, computed, out);
}

static fv_err need_features(fv_rollout *r, fv_live *live, int is_high)
{
    fv_features *features = is_high ? &live->high : &live->low;
    fv_picture *view;
    if (features->rows.data)
        return FV_OK;
    FV_TRY(r->source->view(r->source->context, live->group, is_high, &view));
    fv_err err = see(r, view, is_high ? live->group->high : live->group->low, features);
    fv_picture_release(view);
    return err;
}

/* Sequences. */

static int is_image(const fv_rollout *r, int32_t id)
{
    return r->vision && id == fv_model_shape_of(r->model)->image_id;
}

/* Images whose tokens are among n ids; all of them have one grid. */
static int count_images(const fv_rollout *r, const int32_t *ids, int64_t n, fv_grid grid)
{
    int64_t n_tokens = 0;
    for (int64_t i = 0; i < n; i++)
        n_tokens += is_image(r, ids[i]);
    return n_tokens ? (int)(n_tokens / fv_grid_tokens(grid, fv_model_shape_of(r->model)->vision.merge)) : 0;
}

static fv_err reserve(fv_node *node, int64_t n)
{
    if (n <= node->capacity)
        return FV_OK;
    int64_t capacity = n < 2 * node->capacity ? 2 * node->capacity : n;
    int32_t *positions = realloc(node->positions, 3 * (size_t)capacity * sizeof *positions);
    FV_CHECK(positions, FV_ERR_MEMORY, "cannot allocate the positions of %lld tokens", (long long)capacity);
    node->positions = positions;
    node->capacity = capacity;
    return FV_OK;
}

fv_err fv_node_grow(fv_rollout *r, fv_node *node)
{
    const fv_model_shape *shape = fv_model_shape_of(r->model);
    const fv_tokens *ids = fv_node_ids(node);
    const fv_group *group = node->live->group;
    int64_t first = node->n_positions, n = (int64_t)ids->n - first;
    fv_grid grids[FV_MAX_ROUNDS];
    for (int i = 0; i < FV_MAX_ROUNDS; i++)
        grids[i] = node->answer ? group->high : group->low;
    int n_shown = count_images(r, ids->ids + first, n, grids[0]);
    if (n_shown)
        FV_TRY(need_features(r, node->live, node->answer != NULL));
    FV_TRY(reserve(node, first + n));
    int32_t *rows = malloc(3 * (size_t)n * sizeof *rows + 1);
    FV_CHECK(rows, FV_ERR_MEMORY, "cannot allocate the positions of %lld tokens", (long long)n);
    fv_err err = fv_positions_append(shape, ids->ids + first, n, grids, n_shown, &node->next, rows, n);
    for (int64_t i = 0; i < n && err == FV_OK; i++)
        for (int64_t axis = 0; axis < 3; axis++)
            node->positions[3 * (first + i) + axis] = rows[axis * n + i];
    free(rows);
    node->n_positions += err == FV_OK ? n : 0;
    return err;
}

void fv_node_release(fv_rollout *r, fv_node *node)
{
    fv_pages_release(&r->cache.pool, &node->rows);
    node->n_images = 0;
}

/* The youngest sequence that has rows and is younger than node; NULL if there is none. Age: groups as they
 * were taken up, a prompt before its answers, answers by number. */
static fv_node *find_victim(fv_rollout *r, const fv_node *node)
{
    fv_node *victim = NULL;
    int is_younger = 0;
    for (fv_live *live = r->oldest; live; live = live->younger)
        for (int i = -1; i < fv_group_size(live->group); i++) {
            fv_node *candidate = i < 0 ? &live->prompt : &live->answers[i];
            if (is_younger && candidate->rows.n_rows > 0)
                victim = candidate;
            is_younger |= candidate == node;
        }
    return victim;
}

fv_err fv_node_extend(fv_rollout *r, fv_node *node, int64_t n, int32_t *slots, int *has_room)
{
    for (;;) {
        fv_err err = fv_pages_extend(&r->cache.pool, &node->rows, n, slots);
        *has_room = err == FV_OK;
        if (err != FV_BUSY)
            return err;
        fv_node *victim = find_victim(r, node);
        if (!victim)
            return FV_OK;
        fv_node_release(r, victim);
        r->stats.n_evictions++;
    }
}

/* Groups. */

static void free_features(fv_rollout *r, fv_features *features)
{
    if (features->memory)
        fv_backend_free(r->backend, features->memory);
    *features = (fv_features){0};
}

static void free_node(fv_rollout *r, fv_node *node)
{
    fv_node_release(r, node);
    free(node->positions);
}

/* live is no longer in the list. */
static void free_live(fv_rollout *r, fv_live *live)
{
    for (int i = 0; live->answers && i < fv_group_size(live->group); i++)
        free_node(r, &live->answers[i]);
    free_node(r, &live->prompt);
    free_features(r, &live->low);
    free_features(r, &live->high);
    free(live->answers);
    free(live);
}

/* The prompt, and the answers with what they have of an earlier rollout. */
static fv_err grow_all(fv_rollout *r, fv_live *live)
{
    fv_group *group = live->group;
    live->answers = calloc((size_t)fv_group_size(group), sizeof *live->answers);
    FV_CHECK(live->answers, FV_ERR_MEMORY, "cannot allocate %d answers", fv_group_size(group));
    FV_TRY(fv_node_grow(r, &live->prompt));
    for (int i = 0; i < fv_group_size(group); i++) {
        fv_node *node = &live->answers[i];
        *node = (fv_node){.live = live, .answer = &group->answers[i], .next = live->prompt.next};
        live->has_begun |= node->answer->ids.n > 0;
        if (!node->answer->is_done && node->answer->ids.n > 0)
            FV_TRY(fv_node_grow(r, node));
    }
    return FV_OK;
}

fv_err fv_live_create(fv_rollout *r, fv_group *group)
{
    fv_live *live = calloc(1, sizeof *live), **place = &r->oldest;
    FV_CHECK(live, FV_ERR_MEMORY, "cannot allocate a group under way");
    *live = (fv_live){.group = group, .n_open = fv_group_open(group), .prompt = {.live = live}};
    fv_err err = grow_all(r, live);
    if (err != FV_OK) {
        free_live(r, live);
        return fv_error_prefix(err, "row %lld", (long long)group->row);
    }
    while (*place)
        place = &(*place)->younger;
    *place = live;
    r->n_running += fv_group_size(group);
    return FV_OK;
}

void fv_live_destroy(fv_rollout *r, fv_live *live)
{
    fv_live **place = &r->oldest;
    while (*place != live)
        place = &(*place)->younger;
    *place = live->younger;
    r->n_running -= fv_group_size(live->group);
    free_live(r, live);
}
