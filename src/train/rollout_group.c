/* A group under way: a sequence for its prompt, and a fork of it for each sample.
 *
 * The engine calls back with every token of a sample. The dialogue (trajectory.h) then says what follows:
 * nothing, the end, or what the tool answers, with the high-resolution view, which is appended to the same
 * sequence. A draw is keyed by seed, step, prompt index, sample and position, so neither the order of groups
 * nor the batch shows in it. */
#include "train/rollout_internal.h"

#include <stdlib.h>
#include <string.h>

/* Images. */

static fv_err look(void *context, fv_engine *engine, fv_engine_image *image)
{
    const fv_running_group *r = context;
    const fv_rollout_source *source = r->rollout->source;
    fv_picture *view;
    FV_TRY(source->view(source->context, r->group, image == &r->high, &view));
    fv_err err =
        memcmp(&view->grid, &image->grid, sizeof view->grid) == 0
            ? fv_engine_see(engine, image, view)
            : FV_FAIL(FV_ERR_INTERNAL, "row %lld: a view of %d x %d patches, not %d x %d",
                      (long long)r->group->row, view->grid.h, view->grid.w, image->grid.h, image->grid.w);
    fv_picture_release(view);
    return err;
}

/* Tokens of a response, which show the high-resolution view n_shown times. */
static fv_err append(fv_running_response *running, const int32_t *ids, int64_t n, int n_shown)
{
    fv_engine_image *shown[FV_MAX_TURNS];
    for (int i = 0; i < n_shown; i++)
        shown[i] = &running->in->high;
    return fv_sequence_append(running->sequence, ids, n, shown, n_shown);
}

/* Responses. */

/* A token, and what the dialogue says after it. */
static fv_err receive(void *context, fv_sequence *sequence, int32_t id, float logprob)
{
    fv_running_response *running = context;
    fv_running_group *in = running->in;
    fv_response *response = running->response;
    int n_shown = response->n_shown;
    size_t known = response->ids.n + 1;
    FV_TRY(fv_response_push(&in->rollout->settings->dialogue, in->group, response, id, logprob));
    if (response->is_done) {
        in->n_open--;
        fv_sequence_end(sequence);
        return FV_OK;
    }
    return append(running, response->ids.ids + known, (int64_t)(response->ids.n - known),
                  response->n_shown - n_shown);
}

static fv_sampling sampling_of(const fv_rollout *r, const fv_group *group, const fv_response *response)
{
    const fv_rollout_settings *s = r->settings;
    int is_greedy = response->sample >= group->n_samples;
    return (fv_sampling){.temperature = is_greedy ? 0 : s->temperature,
                         .top_k = s->top_k,
                         .top_p = s->top_p,
                         .repetition_penalty = s->repetition_penalty > 0 ? s->repetition_penalty : 1,
                         .key = {.seed = s->seed,
                                 .step = r->step,
                                 .sample = (uint32_t)response->sample,
                                 .prompt = (uint64_t)group->prompt_index}};
}

/* With what it has of an earlier rollout. */
static fv_err open_response(fv_running_group *r, fv_running_response *running)
{
    const fv_response *response = running->response;
    const fv_sequence_args args = {.parent = r->prompt,
                                   .owner = {.context = running, .generated = receive},
                                   .sampling = sampling_of(r->rollout, r->group, response)};
    FV_TRY(fv_sequence_open(r->rollout->engine, &args, &running->sequence));
    return append(running, response->ids.ids, (int64_t)response->ids.n, response->n_shown);
}

/* Groups. */

static fv_err open_all(fv_running_group *r)
{
    fv_group *group = r->group;
    fv_engine_image *low = &r->low;
    r->responses = calloc((size_t)fv_group_size(group), sizeof *r->responses);
    FV_CHECK(r->responses, FV_ERR_MEMORY, "cannot allocate %d responses", fv_group_size(group));
    FV_TRY(fv_sequence_open(r->rollout->engine, &(fv_sequence_args){0}, &r->prompt));
    FV_TRY(
        fv_sequence_append(r->prompt, group->prompt.ids, (int64_t)group->prompt.n, &low, group->has_image));
    for (int i = 0; i < fv_group_size(group); i++) {
        r->responses[i] = (fv_running_response){.in = r, .response = &group->responses[i]};
        if (!group->responses[i].is_done)
            FV_TRY(open_response(r, &r->responses[i]));
    }
    return FV_OK;
}

/* It is no longer in the list. */
static void release(fv_running_group *r)
{
    for (int i = 0; r->responses && i < fv_group_size(r->group); i++)
        if (r->responses[i].sequence)
            fv_sequence_close(r->responses[i].sequence);
    if (r->prompt)
        fv_sequence_close(r->prompt);
    fv_engine_forget(r->rollout->engine, &r->low);
    fv_engine_forget(r->rollout->engine, &r->high);
    free(r->responses);
    free(r);
}

fv_err fv_running_group_create(fv_rollout *rollout, fv_group *group)
{
    fv_running_group *r = calloc(1, sizeof *r), **place = &rollout->oldest;
    FV_CHECK(r, FV_ERR_MEMORY, "cannot allocate a group under way");
    *r = (fv_running_group){.rollout = rollout,
                            .group = group,
                            .low = {.grid = group->low, .look = look, .context = r},
                            .high = {.grid = group->high, .look = look, .context = r},
                            .n_open = fv_group_open(group)};
    fv_err err = open_all(r);
    if (err != FV_OK) {
        release(r);
        return fv_error_prefix(err, "row %lld", (long long)group->row);
    }
    while (*place)
        place = &(*place)->younger;
    *place = r;
    rollout->n_running += fv_group_size(group);
    return FV_OK;
}

void fv_running_group_destroy(fv_running_group *r)
{
    fv_running_group **place = &r->rollout->oldest;
    while (*place != r)
        place = &(*place)->younger;
    *place = r->younger;
    r->rollout->n_running -= fv_group_size(r->group);
    release(r);
}
