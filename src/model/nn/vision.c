/* The vision tower: patches to embeddings in window order, blocks, and the merger that makes merge x merge
 * patches one token of the decoder, back in image order. */
#include "fovea/ops/staging.h"
#include "model/model.h"

#include <stdlib.h>
#include <string.h>

struct fv_vision_pass {
    fv_model *model;
    fv_save save;
    const fv_grid *grids; /* borrowed from the caller between take and forward */
    int n_grids;
    fv_vision_plan plan; /* sizes; its arrays live in the model's staging while the pass is set up */
    fv_tensor bytes;     /* U8: the pixels of all images */
    fv_tensor patches;   /* (P, patch elements) */
    fv_tensor embedded;  /* (P, Cv) in image order; backward: its gradient */
    fv_tensor patch_order, patch_places, unit_order, unit_places;
    fv_tensor cos, sin;
    fv_block_lists windows, images;
    fv_stack stack;
    fv_tensor rstd, normal;        /* (P), (P, Cv): the merger's norm */
    fv_tensor inner, activated;    /* (N, M) */
    fv_tensor merged;              /* (N, C) in window order */
    fv_tensor features;            /* (N, C) in image order */
    fv_tensor part;                /* F32 (N, C): as in a stack */
    fv_tensor dfeatures, dmerged;  /* backward, in window order: F32 (N, C), rounded */
    fv_tensor dinner, dnormal, dx; /* (N, M), F32 (P, Cv), (P, Cv) */
};

fv_err fv_vision_pass_create(fv_model *model, fv_vision_pass **out)
{
    *out = NULL;
    FV_CHECK(model->shape.vision.depth > 0, FV_ERR_UNSUPPORTED,
             "this model has no vision tower and takes no images");
    *out = calloc(1, sizeof **out);
    FV_CHECK(*out, FV_ERR_MEMORY, "cannot allocate a pass of the vision tower");
    (*out)->model = model;
    return FV_OK;
}

void fv_vision_pass_destroy(fv_vision_pass *pass)
{
    free(pass);
}

static fv_err take_matrix(fv_arena *arena, fv_dtype dtype, int64_t rows, int64_t cols, fv_tensor *out)
{
    return fv_tensor_take(arena, dtype, cols == 1 ? 1 : 2, (int64_t[]){rows, cols}, out);
}

/* A span a segment. */
static fv_err take_lists(fv_arena *arena, int64_t n_segments, fv_block_lists *lists)
{
    FV_TRY(take_matrix(arena, FV_I32, n_segments, FV_SEGMENT_FIELDS, &lists->segments));
    return take_matrix(arena, FV_I32, n_segments, FV_SPAN_FIELDS, &lists->spans);
}

static fv_err take_attention_plans(fv_vision_pass *pass, fv_arena *arena)
{
    fv_model *model = pass->model;
    int64_t n = pass->plan.n_patches;
    FV_TRY(fv_block_plan_take(model->backend, &model->vision, n, arena, &pass->windows));
    return fv_block_plan_take(model->backend, &model->vision, n, arena, &pass->images);
}

static fv_err take_plan(fv_vision_pass *pass, fv_arena *arena)
{
    const fv_vision_plan *plan = &pass->plan;
    int half = pass->model->vision.head_dim / 2;
    FV_TRY(take_matrix(arena, FV_I32, plan->n_patches, 1, &pass->patch_order));
    FV_TRY(take_matrix(arena, FV_I32, plan->n_patches, 1, &pass->patch_places));
    FV_TRY(take_matrix(arena, FV_I32, plan->n_units, 1, &pass->unit_order));
    FV_TRY(take_matrix(arena, FV_I32, plan->n_units, 1, &pass->unit_places));
    FV_TRY(take_matrix(arena, FV_F32, plan->n_patches, half, &pass->cos));
    FV_TRY(take_matrix(arena, FV_F32, plan->n_patches, half, &pass->sin));
    FV_TRY(take_lists(arena, plan->n_windows, &pass->windows));
    return take_lists(arena, plan->n_images, &pass->images);
}

static fv_err take_merger(fv_vision_pass *pass, fv_arena *arena)
{
    const fv_model *model = pass->model;
    int64_t patches = pass->plan.n_patches, units = pass->plan.n_units;
    int64_t inner = model->weights.merger_in.dim[0], out = model->shape.vision.out_hidden;
    fv_dtype dtype = model->vision.dtype;
    FV_TRY(take_matrix(arena, FV_F32, patches, 1, &pass->rstd));
    FV_TRY(take_matrix(arena, dtype, patches, model->vision.hidden, &pass->normal));
    FV_TRY(take_matrix(arena, dtype, units, inner, &pass->inner));
    FV_TRY(take_matrix(arena, dtype, units, inner, &pass->activated));
    FV_TRY(take_matrix(arena, dtype, units, out, &pass->merged));
    FV_TRY(take_matrix(arena, dtype, units, out, &pass->features));
    pass->part = (fv_tensor){0};
    if (model->tensor->size > 1 && dtype != FV_F32)
        FV_TRY(take_matrix(arena, FV_F32, units, out, &pass->part));
    if (pass->save == FV_SAVE_NONE)
        return FV_OK;
    FV_TRY(take_matrix(arena, FV_F32, units, out, &pass->dfeatures));
    FV_TRY(fv_take_rounded(arena, pass->dfeatures, dtype, &pass->dmerged));
    FV_TRY(take_matrix(arena, dtype, units, inner, &pass->dinner));
    FV_TRY(take_matrix(arena, FV_F32, patches, model->vision.hidden, &pass->dnormal));
    return take_matrix(arena, dtype, patches, model->vision.hidden, &pass->dx);
}

static int64_t bytes_of(const fv_vision_pass *pass)
{
    int64_t bytes = 0;
    for (int i = 0; i < pass->n_grids; i++)
        bytes += (int64_t)fv_picture_bytes(pass->grids[i], pass->model->shape.vision.patch);
    return bytes;
}

fv_err fv_vision_take(fv_vision_pass *pass, const fv_grid *grids, int n_images, fv_save save, fv_arena *arena)
{
    fv_model *model = pass->model;
    const fv_vision_shape *shape = &model->shape.vision;
    FV_TRY(fv_grid_check(grids, n_images, shape->merge));
    pass->grids = grids;
    pass->n_grids = n_images;
    pass->save = save;
    fv_vision_plan_sizes(shape, grids, n_images, &pass->plan);
    FV_TRY(take_matrix(arena, FV_U8, bytes_of(pass), 1, &pass->bytes));
    FV_TRY(take_matrix(arena, model->vision.dtype, pass->plan.n_patches, model->weights.patch.dim[1],
                       &pass->patches));
    FV_TRY(take_matrix(arena, model->vision.dtype, pass->plan.n_patches, shape->hidden, &pass->embedded));
    FV_TRY(take_plan(pass, arena));
    FV_TRY(take_attention_plans(pass, arena));
    const fv_stack_size size = {shape->depth, model->tensor->size, pass->plan.n_patches, save};
    FV_TRY(fv_stack_take(&pass->stack, &model->vision, &size, arena));
    return take_merger(pass, arena);
}

/* A tensor of the pass and the array of the plan that fills it. */
typedef struct upload {
    fv_tensor *tensor;
    void **array;
} upload;

static fv_err upload_plan(fv_vision_pass *pass)
{
    fv_vision_plan *plan = &pass->plan;
    const upload uploads[] = {
        {&pass->patch_order, (void **)&plan->patch_order},
        {&pass->patch_places, (void **)&plan->patch_places},
        {&pass->unit_order, (void **)&plan->unit_order},
        {&pass->unit_places, (void **)&plan->unit_places},
        {&pass->cos, (void **)&plan->cos},
        {&pass->sin, (void **)&plan->sin},
        {&pass->windows.segments, (void **)&plan->windows},
        {&pass->windows.spans, (void **)&plan->window_spans},
        {&pass->images.segments, (void **)&plan->images},
        {&pass->images.spans, (void **)&plan->image_spans},
    };
    enum { N = sizeof uploads / sizeof *uploads };
    size_t bytes = 0;
    for (int i = 0; i < N; i++)
        bytes += fv_tensor_span_bytes(*uploads[i].tensor);
    void *staging;
    size_t turns =
        (size_t)(2 * plan->n_places) * sizeof *plan->turns * (size_t)(pass->model->vision.head_dim / 4);
    FV_TRY(fv_model_stage(pass->model, bytes + turns, &staging));
    char *at = staging;
    for (int i = 0; i < N; i++) {
        *uploads[i].array = at;
        at += fv_tensor_span_bytes(*uploads[i].tensor);
    }
    plan->turns = (float *)(void *)at;
    fv_vision_plan_fill(&pass->model->shape.vision, pass->grids, pass->n_grids, plan);
    pass->windows.most_queries = pass->windows.most_keys = plan->most_patches;
    fv_upload_part parts[N];
    for (int i = 0; i < N; i++)
        parts[i] = (fv_upload_part){*uploads[i].tensor, *uploads[i].array};
    return fv_upload_parts(pass->model->backend, parts, N);
}

static fv_err plan_attention(const fv_vision_pass *pass)
{
    fv_model *model = pass->model;
    int64_t n = pass->plan.n_patches;
    FV_TRY(fv_block_plan(model->backend, &model->vision, n, &pass->windows));
    return fv_block_plan(model->backend, &model->vision, n, &pass->images);
}

static fv_block_setup setup_of(const void *context, int i)
{
    const fv_vision_pass *pass = context;
    return (fv_block_setup){.lists =
                                pass->model->shape.vision.full_attention[i] ? pass->images : pass->windows};
}

static fv_stack_run run_of(const fv_vision_pass *pass)
{
    const fv_model *model = pass->model;
    return (fv_stack_run){.pass = {.backend = model->backend,
                                   .tensor = model->tensor,
                                   .shape = model->vision,
                                   .cos = pass->cos,
                                   .sin = pass->sin},
                          .weights = model->weights.vision,
                          .setup = setup_of,
                          .context = pass};
}

/* (P, Cv) as (N, merge^2 Cv): patches of a unit are neighbours. */
static fv_tensor units_of(const fv_vision_pass *pass, fv_tensor patches)
{
    int area = pass->model->shape.vision.merge * pass->model->shape.vision.merge;
    return fv_tensor_2d(patches.data, patches.dtype, patches.dim[0] / area, patches.dim[1] * area);
}

static fv_err merge(fv_vision_pass *pass)
{
    fv_model *model = pass->model;
    const fv_weights *w = &model->weights;
    fv_tensor x = pass->stack.x[pass->stack.n_blocks];
    FV_TRY(fv_norm(model->backend, &(fv_norm_args){.x = x,
                                                   .residual = fv_stack_mid(&pass->stack),
                                                   .weight = w->merger_norm,
                                                   .sum = x,
                                                   .y = pass->normal,
                                                   .rstd = pass->rstd,
                                                   .eps = model->vision.norm_eps}));
    FV_TRY(fv_linear(model->backend, units_of(pass, pass->normal), w->merger_in, w->merger_in_bias,
                     pass->inner));
    FV_TRY(fv_gelu(model->backend, &(fv_gelu_args){.x = pass->inner, .y = pass->activated}));
    const fv_shared_linear_args out = {.x = pass->activated,
                                       .w = w->merger_out,
                                       .bias = w->merger_out_bias,
                                       .y = pass->merged,
                                       .part = pass->part,
                                       .sum = fv_model_sum(model, w->merger_in.dim[1])};
    FV_TRY(fv_shared_linear(model->backend, model->tensor, &out));
    return fv_gather(
        model->backend,
        &(fv_gather_args){.table = pass->merged, .index = pass->unit_places, .out = pass->features});
}

/* Finished numbers, in the dtype of the activations. */
static fv_err upload_patches(fv_backend *backend, const float *numbers, fv_tensor patches)
{
    int64_t n = fv_tensor_count(patches);
    void *stored = malloc((size_t)n * fv_dtype_bytes(patches.dtype));
    FV_CHECK(stored, FV_ERR_MEMORY, "cannot allocate %lld numbers of patches", (long long)n);
    fv_dtype_encode(patches.dtype, numbers, n, stored);
    fv_err err = fv_upload_array(backend, patches, stored);
    free(stored);
    return err;
}

/* Image i, whose bytes begin at `byte` and patches at `patch`. */
static fv_err show(fv_vision_pass *pass, int i, const fv_picture *picture, int64_t byte, int64_t patch)
{
    fv_backend *backend = pass->model->backend;
    const fv_vision_shape *shape = &pass->model->shape.vision;
    fv_grid grid = pass->grids[i];
    int64_t side = shape->patch;
    fv_tensor patches = fv_tensor_rows(pass->patches, patch, fv_grid_patches(grid));
    FV_CHECK(memcmp(&picture->grid, &grid, sizeof grid) == 0, FV_ERR_INTERNAL,
             "image %d has %d x %d patches, not %d x %d", i + 1, picture->grid.h, picture->grid.w, grid.h,
             grid.w);
    if (picture->patches)
        return upload_patches(backend, picture->patches, patches);
    fv_tensor pixels =
        fv_tensor_3d((uint8_t *)pass->bytes.data + byte, FV_U8, grid.h * side, grid.w * side, 3);
    FV_TRY(fv_upload_array(backend, pixels, picture->rgb));
    return fv_patches(backend, &(fv_patches_args){.pixels = pixels,
                                                  .out = patches,
                                                  .scale = picture->scale,
                                                  .patch = shape->patch,
                                                  .merge = shape->merge,
                                                  .frames = shape->temporal_patch});
}

static fv_err show_all(fv_vision_pass *pass, fv_picture *const *pictures)
{
    int64_t byte = 0, patch = 0;
    for (int i = 0; i < pass->n_grids; i++) {
        FV_TRY(show(pass, i, pictures[i], byte, patch));
        byte += (int64_t)fv_picture_bytes(pass->grids[i], pass->model->shape.vision.patch);
        patch += fv_grid_patches(pass->grids[i]);
    }
    return FV_OK;
}

fv_err fv_vision_forward(fv_vision_pass *pass, fv_picture *const *pictures, fv_tensor *features)
{
    fv_model *model = pass->model;
    FV_TRY(upload_plan(pass));
    FV_TRY(plan_attention(pass));
    FV_TRY(show_all(pass, pictures));
    FV_TRY(fv_linear(model->backend, pass->patches, model->weights.patch, (fv_tensor){0}, pass->embedded));
    FV_TRY(fv_gather(
        model->backend,
        &(fv_gather_args){.table = pass->embedded, .index = pass->patch_order, .out = pass->stack.x[0]}));
    fv_stack_run run = run_of(pass);
    FV_TRY(fv_stack_forward(&pass->stack, &run));
    FV_TRY(merge(pass));
    *features = pass->features;
    return FV_OK;
}

static fv_err merge_backward(fv_vision_pass *pass, fv_tensor dfeatures, fv_weights *grads)
{
    fv_model *model = pass->model;
    const fv_weights *w = &model->weights;
    FV_TRY(
        fv_gather(model->backend,
                  &(fv_gather_args){.table = dfeatures, .index = pass->unit_order, .out = pass->dfeatures}));
    FV_TRY(fv_round(model->backend, pass->dfeatures, pass->dmerged));
    FV_TRY(fv_linear_grad(model->backend, &(fv_linear_grad_args){.dy = pass->dmerged,
                                                                 .x = pass->activated,
                                                                 .w = w->merger_out,
                                                                 .dx = pass->dinner,
                                                                 .dw = grads->merger_out,
                                                                 .dbias = grads->merger_out_bias}));
    /* The gradient of the activation takes its place. */
    FV_TRY(fv_gelu_grad(model->backend,
                        &(fv_gelu_grad_args){.dy = pass->dinner, .x = pass->inner, .dx = pass->activated}));
    FV_TRY(fv_linear_grad(model->backend, &(fv_linear_grad_args){.dy = pass->activated,
                                                                 .x = units_of(pass, pass->normal),
                                                                 .w = w->merger_in,
                                                                 .dx = units_of(pass, pass->dnormal),
                                                                 .dw = grads->merger_in,
                                                                 .dbias = grads->merger_in_bias}));
    FV_TRY(fv_all_reduce(model->backend, &(fv_all_reduce_args){model->tensor, pass->dnormal}));
    return fv_norm_grad(model->backend, &(fv_norm_grad_args){.dy = pass->dnormal,
                                                             .x = pass->stack.x[pass->stack.n_blocks],
                                                             .weight = w->merger_norm,
                                                             .rstd = pass->rstd,
                                                             .dx = pass->dx,
                                                             .dweight = grads->merger_norm});
}

fv_err fv_vision_backward(fv_vision_pass *pass, fv_tensor dfeatures, fv_weights *grads)
{
    fv_model *model = pass->model;
    FV_CHECK(pass->save != FV_SAVE_NONE, FV_ERR_ARGUMENT,
             "a backward pass after a forward pass that saved nothing");
    FV_TRY(merge_backward(pass, dfeatures, grads));
    fv_stack_run run = run_of(pass);
    FV_TRY(fv_stack_backward(&pass->stack, &run, pass->dx, grads->vision));
    FV_TRY(
        fv_gather(model->backend,
                  &(fv_gather_args){.table = pass->dx, .index = pass->patch_places, .out = pass->embedded}));
    return fv_linear_grad(model->backend, &(fv_linear_grad_args){.dy = pass->embedded,
                                                                 .x = pass->patches,
                                                                 .w = model->weights.patch,
                                                                 .dw = grads->patch});
}
