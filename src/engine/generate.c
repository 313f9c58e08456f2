/* One prompt, one continuation: a sequence in an engine of its own. Samples of a training share one
 * (train/rollout.c). */
#include "fovea/engine/generate.h"

#include "fovea/model/nn/pages.h"

#include <stdlib.h>

/* Everything that one generation holds. */
typedef struct generation {
    const fv_generate_args *args;
    const fv_model_shape *shape;
    fv_engine *engine;
    fv_sequence *sequence;
    fv_engine_image *images; /* (n_images), and where each one is */
    fv_engine_image **shown;
    int n_generated, is_over;
    fv_finish finish;
} generation;

static int64_t total_tokens(const fv_generate_args *args)
{
    return args->prompt.n + args->max_tokens;
}

static fv_err check(const fv_model_shape *shape, const fv_generate_args *args)
{
    int limit = shape->text.max_positions;
    FV_TRY(fv_sampling_check(&args->sampling));
    FV_CHECK(args->prompt.n > 0, FV_ERR_ARGUMENT, "the prompt is empty");
    FV_CHECK(args->max_tokens > 0, FV_ERR_ARGUMENT, "%d new tokens were asked for; at least 1",
             args->max_tokens);
    FV_CHECK(args->chunk > 0, FV_ERR_ARGUMENT, "a chunk of %lld tokens; at least 1", (long long)args->chunk);
    FV_CHECK(total_tokens(args) <= limit, FV_ERR_ARGUMENT,
             "a prompt of %lld tokens and %d new ones exceed the model's %d positions: shorten the prompt or "
             "the answer",
             (long long)args->prompt.n, args->max_tokens, limit);
    FV_CHECK(args->prompt.n_images == 0 || shape->vision.depth > 0, FV_ERR_UNSUPPORTED,
             "this model has no vision tower and takes no images");
    return args->prompt.n_images
               ? fv_grid_check(args->prompt.grids, args->prompt.n_images, shape->vision.merge)
               : FV_OK;
}

/* Images. */

static fv_err look(void *context, fv_engine *engine, fv_engine_image *image)
{
    const generation *g = context;
    return fv_engine_see(engine, image, g->args->prompt.pictures[image - g->images]);
}

static fv_err list_images(generation *g)
{
    const fv_prompt *prompt = &g->args->prompt;
    size_t n = (size_t)prompt->n_images;
    g->images = calloc(n + 1, sizeof *g->images);
    g->shown = calloc(n + 1, sizeof *g->shown);
    FV_CHECK(g->images && g->shown, FV_ERR_MEMORY, "cannot allocate a list of %zu images", n);
    for (size_t i = 0; i < n; i++) {
        g->images[i] = (fv_engine_image){.grid = prompt->grids[i], .look = look, .context = g};
        g->shown[i] = &g->images[i];
    }
    return FV_OK;
}

/* The engine. */

static int64_t min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static fv_engine_settings settings_of(const generation *g)
{
    const fv_generate_args *args = g->args;
    fv_engine_settings s = {.name = "generation",
                            .max_running = 1,
                            .max_tokens = total_tokens(args),
                            .pass_tokens = (int)min(args->chunk, args->prompt.n),
                            .cache_pages = fv_pages_for(total_tokens(args)),
                            .max_images = args->prompt.n_images,
                            .has_filters = fv_sampling_is_filtered(&args->sampling)};
    for (int i = 0; i < args->prompt.n_images; i++) {
        fv_grid grid = args->prompt.grids[i];
        s.image_rows += fv_grid_tokens(grid, g->shape->vision.merge);
        if (s.image.t == 0 || fv_grid_patches(grid) > fv_grid_patches(s.image))
            s.image = grid;
    }
    return s;
}

static int is_stop(const fv_model_shape *shape, int32_t id)
{
    for (int i = 0; i < shape->n_eos; i++)
        if (shape->eos_ids[i] == id)
            return 1;
    return 0;
}

static fv_err receive(void *context, fv_sequence *sequence, int32_t id, float logprob)
{
    generation *g = context;
    g->n_generated++;
    FV_TRY(g->args->sink(g->args->context, id, logprob));
    if (!g->args->ignore_stop && is_stop(g->shape, id))
        g->finish = FV_FINISH_STOP;
    else if (g->n_generated < g->args->max_tokens)
        return FV_OK;
    fv_sequence_end(sequence);
    return FV_OK;
}

static fv_err start(generation *g, fv_model *model)
{
    const fv_prompt *prompt = &g->args->prompt;
    const fv_sequence_args args = {.owner = {.context = g, .generated = receive},
                                   .sampling = g->args->sampling};
    const fv_engine_settings settings = settings_of(g);
    FV_TRY(list_images(g));
    FV_TRY(fv_engine_create(model, &settings, &g->engine));
    FV_TRY(fv_sequence_open(g->engine, &args, &g->sequence));
    return fv_sequence_append(g->sequence, prompt->ids, prompt->n, g->shown, prompt->n_images);
}

fv_err fv_generate(fv_model *model, const fv_generate_args *args, fv_finish *finish)
{
    generation g = {.args = args, .shape = fv_model_shape_of(model), .finish = FV_FINISH_LENGTH};
    FV_TRY(check(g.shape, args));
    fv_err err = start(&g, model);
    for (int is_idle = 0; err == FV_OK && !is_idle;)
        err = fv_engine_pass(g.engine, &is_idle);
    *finish = g.finish;
    fv_engine_destroy(g.engine);
    free(g.images);
    free(g.shown);
    return err;
}
