/* How trees are packed. The run of tokens is, tree after tree, a prompt and then its responses:
 *
 *     prompt A | response A1 | response A2 | prompt B | response B1 | ...
 *
 * Each is a segment. A prompt reads its own earlier tokens: one span of keys. A response reads the prompt's
 * and its own earlier ones: two spans, at positions that go on from the prompt's. So a prompt is computed
 * once, whatever its responses, the gradients of all of them flow back into it, and there is no padding.
 *
 * The first token of a response is predicted by the last row of the prompt; the last one predicts nothing and
 * is not computed. A view is encoded once a tree: the image tokens of every response that shows it pick the
 * same rows of features. */
#include "fovea/train/packed.h"

#include <string.h>

static int64_t computed(const fv_response *response)
{
    return response->ids.n > 0 ? (int64_t)response->ids.n - 1 : 0;
}

int64_t fv_tree_tokens(const fv_tree *tree)
{
    int64_t n = (int64_t)tree->group->prompt.n;
    for (int i = tree->first; i < tree->first + tree->n; i++)
        n += computed(&tree->group->responses[i]);
    return n;
}

int64_t fv_tree_generated(const fv_tree *tree)
{
    int64_t n = 0;
    for (int i = tree->first; i < tree->first + tree->n; i++)
        for (size_t t = 0; t < tree->group->responses[i].ids.n; t++)
            n += tree->group->responses[i].loss_mask[t];
    return n;
}

static int is_shown_high(const fv_tree *tree)
{
    for (int i = tree->first; i < tree->first + tree->n; i++)
        if (tree->group->responses[i].n_shown)
            return 1;
    return 0;
}

void fv_tree_want_views(const fv_tree *tree, fv_want_view want, void *context)
{
    if (tree->group->has_image)
        want(context, tree->group, 0);
    if (is_shown_high(tree))
        want(context, tree->group, 1);
}

/* The packing under way: where the next of everything goes. */
typedef struct packer {
    fv_packed *to;
    const fv_model_shape *shape;
    fv_view_of view;
    void *context;
    int32_t *ids, *positions, *segments, *spans; /* of to->run, to be written */
    int64_t stride;                              /* of positions */
    int64_t n_image_tokens;
} packer;

/* Views. */

/* Add a view; *first: the row of its first feature. */
static fv_err add_view(packer *p, const fv_group *group, int is_high, int64_t *first)
{
    fv_packed *to = p->to;
    fv_picture *view;
    fv_grid grid = is_high ? group->high : group->low;
    FV_CHECK(p->shape->vision.depth > 0, FV_ERR_ARGUMENT,
             "row %lld shows an image, but the model has no vision tower", (long long)group->row);
    FV_TRY(p->view(p->context, group, is_high, &view));
    to->pictures[to->n_views] = view;
    to->grids[to->n_views++] = grid;
    FV_CHECK(memcmp(&view->grid, &grid, sizeof grid) == 0, FV_ERR_INTERNAL,
             "row %lld: a view of %d x %d patches, not %d x %d", (long long)group->row, view->grid.h,
             view->grid.w, grid.h, grid.w);
    *first = to->n_features;
    to->n_features += fv_grid_tokens(grid, p->shape->vision.merge);
    return FV_OK;
}

/* The image tokens of a segment show a view, again and again, from its first feature on. */
static void pick_features(packer *p, const int32_t *ids, int64_t n, int64_t first, fv_grid grid)
{
    int64_t tokens = fv_grid_tokens(grid, p->shape->vision.merge), seen = 0;
    for (int64_t i = 0; i < n; i++)
        if (ids[i] == p->shape->image_id)
            p->to->feature_rows[p->n_image_tokens++] = (int32_t)(first + seen++ % tokens);
}

/* Segments. */

/* n tokens at the end of the run, behind n_past keys that the n_before last spans name. */
static void add_segment(packer *p, int64_t n, int64_t n_past, int32_t first_span, int32_t n_spans)
{
    fv_token_run *run = &p->to->run;
    const int32_t segment[FV_SEGMENT_FIELDS] = {(int32_t)run->n, (int32_t)n, (int32_t)n_past,
                                                first_span,      n_spans,    (int32_t)(n_past + n)};
    memcpy(p->segments + FV_SEGMENT_FIELDS * run->n_segments++, segment, sizeof segment);
    run->n += n;
}

static int32_t add_span(packer *p, int64_t row, int64_t n)
{
    int32_t *span = p->spans + FV_SPAN_FIELDS * p->to->run.n_spans;
    span[0] = (int32_t)row;
    span[1] = (int32_t)n;
    return (int32_t)p->to->run.n_spans++;
}

static fv_err add_ids(packer *p, const int32_t *ids, int64_t n, const fv_grid *grids, int n_grids,
                      int32_t *next)
{
    int64_t at = p->to->run.n;
    memcpy(p->ids + at, ids, (size_t)n * sizeof *ids);
    return fv_positions_append(p->shape, ids, n, grids, n_grids, next, p->positions + at, p->stride);
}

static void add_logprobs(packer *p, const fv_response *response, int64_t last_of_prompt, int64_t first)
{
    fv_packed *to = p->to;
    for (int64_t i = 0; i < (int64_t)response->ids.n; i++)
        if (response->loss_mask[i]) {
            to->logprob_rows[to->n_logprobs] = (int32_t)(i == 0 ? last_of_prompt : first + i - 1);
            to->targets[to->n_logprobs++] = response->ids.ids[i];
        }
}

static fv_err add_answer(packer *p, const fv_group *group, const fv_response *response, int64_t prompt_row,
                         int64_t first_feature, int32_t next)
{
    enum { MAX_SHOWN = FV_MAX_TURNS };
    fv_grid grids[MAX_SHOWN];
    int64_t n = computed(response), first = p->to->run.n, n_prompt = (int64_t)group->prompt.n;
    for (int i = 0; i < response->n_shown; i++)
        grids[i] = group->high;
    FV_TRY(add_ids(p, response->ids.ids, n, grids, response->n_shown, &next));
    if (response->n_shown)
        pick_features(p, response->ids.ids, n, first_feature, group->high);
    add_logprobs(p, response, prompt_row + n_prompt - 1, first);
    if (n == 0)
        return FV_OK;
    int32_t first_span = add_span(p, prompt_row, n_prompt);
    add_span(p, first, n);
    add_segment(p, n, n_prompt, first_span, 2);
    return FV_OK;
}

static fv_err add_tree(packer *p, const fv_tree *tree)
{
    const fv_group *group = tree->group;
    int64_t low = 0, high = 0, row = p->to->run.n, n = (int64_t)group->prompt.n;
    int32_t next = 0;
    if (group->has_image)
        FV_TRY(add_view(p, group, 0, &low));
    if (is_shown_high(tree))
        FV_TRY(add_view(p, group, 1, &high));
    FV_TRY(add_ids(p, group->prompt.ids, n, &group->low, group->has_image, &next));
    if (group->has_image)
        pick_features(p, group->prompt.ids, n, low, group->low);
    add_segment(p, n, 0, add_span(p, row, n), 1);
    for (int i = tree->first; i < tree->first + tree->n; i++)
        FV_TRY(add_answer(p, group, &group->responses[i], row, high, next));
    return FV_OK;
}

/* Memory. */

fv_packed_size fv_packed_size_of(const fv_tree *trees, int n_trees)
{
    fv_packed_size size = {.trees = n_trees};
    for (int i = 0; i < n_trees; i++) {
        size.tokens += fv_tree_tokens(&trees[i]);
        size.responses += trees[i].n;
        size.logprobs += fv_tree_generated(&trees[i]);
    }
    return size;
}

typedef struct taking {
    packer *p;
    const fv_packed_size *size;
} taking;

static fv_err take(void *context, fv_arena *arena)
{
    const taking *t = context;
    const fv_packed_size *size = t->size;
    packer *p = t->p;
    fv_packed *to = p->to;
    int64_t n_segments = size->trees + size->responses;
    FV_TRY(FV_TAKE_ARRAY(arena, size->tokens, &p->ids));
    FV_TRY(FV_TAKE_ARRAY(arena, 3 * size->tokens, &p->positions));
    FV_TRY(FV_TAKE_ARRAY(arena, n_segments * FV_SEGMENT_FIELDS, &p->segments));
    FV_TRY(FV_TAKE_ARRAY(arena, 2 * n_segments * FV_SPAN_FIELDS, &p->spans));
    FV_TRY(FV_TAKE_ARRAY(arena, 2 * size->trees, &to->grids));
    FV_TRY(FV_TAKE_ARRAY(arena, 2 * size->trees, &to->pictures));
    FV_TRY(FV_TAKE_ARRAY(arena, size->tokens, &to->feature_rows));
    FV_TRY(FV_TAKE_ARRAY(arena, size->logprobs, &to->logprob_rows));
    return FV_TAKE_ARRAY(arena, size->logprobs, &to->targets);
}

static fv_err make_room(packer *p, const fv_packed_size *size)
{
    taking t = {p, size};
    fv_packed_drop(p->to);
    p->to->room.name = "packed batch";
    FV_TRY(fv_room_fit(&p->to->room, take, &t));
    p->stride = size->tokens;
    p->to->run =
        (fv_token_run){.ids = p->ids, .positions = p->positions, .segments = p->segments, .spans = p->spans};
    return FV_OK;
}

fv_err fv_packed_reserve(fv_packed *packed, const fv_packed_size *most)
{
    packer p = {.to = packed};
    return make_room(&p, most);
}

fv_err fv_packed_fill(fv_packed *packed, const fv_model_shape *shape, const fv_tree *trees, int n_trees,
                      fv_view_of view, void *context)
{
    packer p = {.to = packed, .shape = shape, .view = view, .context = context};
    const fv_packed_size size = fv_packed_size_of(trees, n_trees);
    fv_err err = make_room(&p, &size);
    for (int i = 0; i < n_trees && err == FV_OK; i++)
        err = add_tree(&p, &trees[i]);
    packed->run.n_features = p.n_image_tokens;
    if (err != FV_OK)
        fv_packed_drop(packed);
    return err;
}

void fv_packed_drop(fv_packed *packed)
{
    for (int i = 0; i < packed->n_views; i++)
        fv_picture_release(packed->pictures[i]);
    *packed = (fv_packed){.room = packed->room};
}

void fv_packed_fini(fv_packed *packed)
{
    fv_packed_drop(packed);
    fv_room_fini(&packed->room);
    *packed = (fv_packed){0};
}
