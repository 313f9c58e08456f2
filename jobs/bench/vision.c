/* High-resolution views through the vision tower, from their bytes to features. */
#include "jobs/bench/texts/texts.h"

#include "fovea/model/nn/flops.h"
#include "fovea/ops/workspace.h"

#include <stdio.h>

enum { MAX_IMAGES = 64 };

typedef struct vision {
    fv_vision_pass *pass;
    fv_workspace work;
    fv_grid grids[MAX_IMAGES];
    fv_picture *pictures[MAX_IMAGES]; /* one and the same */
    int n;
} vision;

static fv_err take(void *context, fv_arena *arena)
{
    vision *v = context;
    return fv_vision_take(v->pass, v->grids, v->n, FV_SAVE_NONE, arena);
}

static fv_err look(void *context)
{
    vision *v = context;
    fv_tensor features;
    return fv_vision_forward(v->pass, v->pictures, &features);
}

static fv_err measure(fv_bench *bench, vision *v, const fv_bench_texts *texts)
{
    const fv_model_shape *shape = fv_model_shape_of(bench->runtime.model);
    const fv_bench_work work = {NULL, look, v};
    double patches = (double)fv_grid_patches(texts->high);
    fv_bench_figure figure = {.name = "vision", .unit = "images"};
    v->n = bench->options.n_lengths < MAX_IMAGES ? bench->options.n_lengths : MAX_IMAGES;
    for (int i = 0; i < v->n; i++) {
        v->grids[i] = texts->high;
        v->pictures[i] = texts->pictures[1];
    }
    figure.units = v->n;
    figure.flops = v->n * (patches * fv_flops_of_patch(shape) + fv_flops_of_views(shape, patches)) /
                   bench->runtime.mesh.tensor->size;
    figure.bound_s = fv_bench_bound(bench, 0, figure.flops);
    snprintf(figure.what, sizeof figure.what, "%d images of %d x %d pixels, %.0f patches each", v->n,
             texts->high.w * shape->vision.patch, texts->high.h * shape->vision.patch, patches);
    FV_TRY(fv_vision_pass_create(bench->runtime.model, &v->pass));
    FV_TRY(fv_workspace_fit(&v->work, bench->runtime.backend, take, v));
    FV_TRY(fv_bench_measure(bench, &work, &figure.seconds));
    return fv_bench_tell(bench, &figure);
}

fv_err fv_bench_vision(fv_bench *bench)
{
    fv_bench_texts texts;
    vision v = {.work = {.name = "vision"}};
    fv_err err = fv_bench_texts_init(&texts, bench, bench->options.image);
    if (err == FV_OK)
        err = measure(bench, &v, &texts);
    fv_workspace_fini(&v.work);
    fv_vision_pass_destroy(v.pass);
    fv_bench_texts_fini(&texts);
    return err;
}
