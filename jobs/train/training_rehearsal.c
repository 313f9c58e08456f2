/* A rehearsal on the plan back end, where nothing runs: the largest micro-batch with its step of the
 * optimizer, and passes of the rollout, ask for the workspaces that a run will ask for. */
#include "jobs/train/training.h"

#include "fovea/base/room.h"

#include <stdlib.h>
#include <string.h>

typedef struct rehearsal {
    const fv_training *training;
    fv_packed packed;
    int32_t *ids, *positions, *segments, *spans; /* of packed.run */
    fv_picture *views[2];                        /* held: low, high */
    fv_room room;
} rehearsal;

static fv_err take_arrays(void *context, fv_arena *arena)
{
    rehearsal *r = context;
    fv_packed *p = &r->packed;
    FV_TRY(FV_TAKE_ARRAY(arena, p->run.n, &r->ids));
    FV_TRY(FV_TAKE_ARRAY(arena, 3 * p->run.n, &r->positions));
    FV_TRY(FV_TAKE_ARRAY(arena, p->run.n_segments * FV_SEGMENT_FIELDS, &r->segments));
    FV_TRY(FV_TAKE_ARRAY(arena, p->run.n_spans * FV_SPAN_FIELDS, &r->spans));
    FV_TRY(FV_TAKE_ARRAY(arena, p->run.n_features, &p->feature_rows));
    FV_TRY(FV_TAKE_ARRAY(arena, p->n_logprobs, &p->logprob_rows));
    FV_TRY(FV_TAKE_ARRAY(arena, p->n_logprobs, &p->targets));
    return FV_TAKE_ARRAY(arena, p->n_views, &p->pictures);
}

static fv_err make_view(const fv_training *t, fv_grid grid, fv_picture **out)
{
    const fv_pixel_scale scale = {.factor = 1, .std = {1, 1, 1}};
    int patch = t->questions.processor.patch;
    fv_image image;
    FV_TRY(fv_image_init(&image, "a view", grid.w * patch, grid.h * patch, FV_IMAGE_MAX_PIXELS));
    return fv_picture_create(&image, patch, &scale, out);
}

/* Every token shows an image, if there are images. */
static fv_err fill(rehearsal *r)
{
    const fv_training *t = r->training;
    fv_packed *p = &r->packed;
    r->room.name = "rehearsal";
    FV_TRY(fv_room_fit(&r->room, take_arrays, r));
    memset(r->room.memory, 0, r->room.bytes);
    p->run.ids = r->ids, p->run.positions = r->positions;
    p->run.segments = r->segments, p->run.spans = r->spans;
    if (p->n_views == 0)
        return FV_OK;
    for (int64_t i = 0; i < p->run.n_features; i++)
        r->ids[i] = fv_model_shape_of(t->runtime.model)->image_id;
    FV_TRY(make_view(t, t->questions.trained.low, &r->views[0]));
    FV_TRY(make_view(t, t->questions.trained.high, &r->views[1]));
    for (int i = 0; i < p->n_views; i++)
        p->pictures[i] = r->views[i % 2];
    return FV_OK;
}

static fv_err update(const fv_training *t)
{
    rehearsal r = {.training = t};
    FV_TRY(fv_training_largest(t, &r.packed));
    fv_err err = fill(&r);
    if (err == FV_OK)
        err = fv_updater_rehearse(t->learning.updater, &r.packed);
    fv_picture_release(r.views[0]);
    fv_picture_release(r.views[1]);
    free(r.packed.grids);
    fv_room_fini(&r.room);
    return err;
}

static fv_err hear(void *context, fv_sequence *sequence, int32_t id, float logprob)
{
    (void)context, (void)id, (void)logprob;
    fv_sequence_end(sequence);
    return FV_OK;
}

/* A prompt that fills a pass, and then a token of as many samples as run at once. */
static fv_err roll_out(fv_engine *engine)
{
    const fv_engine_settings *s = fv_engine_settings_of(engine);
    int64_t n = s->pass_tokens < s->max_tokens ? s->pass_tokens : s->max_tokens - 1;
    fv_sequence *prompt, *sample;
    int32_t *ids = calloc((size_t)n, sizeof *ids);
    int is_idle = 0;
    fv_err err = ids ? FV_OK : FV_FAIL(FV_ERR_MEMORY, "no memory for a prompt of %lld tokens", (long long)n);
    FV_TRY_DONE(err);
    FV_TRY_DONE(fv_sequence_open(engine, &(fv_sequence_args){0}, &prompt));
    FV_TRY_DONE(fv_sequence_append(prompt, ids, n, NULL, 0));
    for (int i = 0; i < s->max_running - 1; i++) {
        const fv_sequence_args args = {.parent = prompt,
                                       .owner = {.generated = hear},
                                       .sampling = {.temperature = 1, .top_p = 1, .repetition_penalty = 1}};
        FV_TRY_DONE(fv_sequence_open(engine, &args, &sample));
    }
    while (!is_idle)
        FV_TRY_DONE(fv_engine_pass(engine, &is_idle));
done:
    free(ids);
    return err;
}

fv_err fv_training_rehearse(const fv_training *t)
{
    FV_TRY(update(t));
    return t->rollout.engine ? roll_out(t->rollout.engine) : FV_OK;
}
