#include "engine/engine_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static fv_err check(const fv_engine_settings *s)
{
    FV_CHECK(s->max_running >= 1, FV_ERR_ARGUMENT, "max_running is %d, expected 1 or more", s->max_running);
    FV_CHECK(s->pass_tokens >= s->max_running, FV_ERR_ARGUMENT,
             "pass_tokens is %d, expected at least max_running, %d", s->pass_tokens, s->max_running);
    FV_CHECK(s->max_tokens >= 1 && s->max_tokens < INT32_MAX, FV_ERR_ARGUMENT,
             "sequences of %lld tokens; expected 1 or more", (long long)s->max_tokens);
    FV_CHECK(fv_pages_for(s->max_tokens) <= s->cache_pages, FV_ERR_ARGUMENT,
             "a sequence of %lld tokens needs %d cache pages of %d tokens, but there are %d: raise "
             "cache_pages or lower max_tokens",
             (long long)s->max_tokens, fv_pages_for(s->max_tokens), FV_PAGE, s->cache_pages);
    return FV_OK;
}

static fv_err copy_excluded(fv_engine *engine)
{
    const fv_engine_settings *s = &engine->settings;
    size_t bytes = (size_t)s->n_excluded * sizeof *s->excluded;
    engine->excluded_ids = malloc(bytes + 1);
    FV_CHECK(engine->excluded_ids, FV_ERR_MEMORY, "cannot allocate %d excluded ids", s->n_excluded);
    if (bytes)
        memcpy(engine->excluded_ids, s->excluded, bytes);
    engine->settings.excluded = engine->excluded_ids;
    return FV_OK;
}

static fv_err open_all(fv_engine *engine)
{
    FV_TRY(copy_excluded(engine));
    FV_TRY(fv_cache_init(&engine->cache, engine->model, engine->settings.cache_pages));
    FV_TRY(fv_sequences_init(engine));
    FV_TRY(fv_pass_plan_init(engine));
    FV_TRY(fv_images_init(engine));
    return fv_forward_init(engine);
}

static fv_engine engine_of(fv_model *model, const fv_engine_settings *settings)
{
    return (fv_engine){.model = model,
                       .backend = fv_model_backend(model),
                       .settings = *settings,
                       .n_sequences = 2 * settings->max_running,
                       .is_recording =
                           !settings->is_choosing && fv_backend_has_graphs(fv_model_backend(model)),
                       .work = {.name = settings->name},
                       .vision_work = {.name = settings->name}};
}

fv_err fv_engine_create(fv_model *model, const fv_engine_settings *settings, fv_engine **out)
{
    *out = NULL;
    FV_TRY(check(settings));
    fv_engine *engine = malloc(sizeof *engine);
    FV_CHECK(engine, FV_ERR_MEMORY, "cannot allocate an engine");
    *engine = engine_of(model, settings);
    fv_err err = open_all(engine);
    if (err == FV_OK)
        *out = engine;
    else
        fv_engine_destroy(engine);
    if (err == FV_ERR_MEMORY)
        fv_error_prefix(err, "%s does not fit: lower cache_pages (%d), pass_tokens (%d) or max_running (%d)",
                        settings->name, settings->cache_pages, settings->pass_tokens, settings->max_running);
    return err;
}

void fv_engine_destroy(fv_engine *engine)
{
    if (!engine)
        return;
    fv_forward_fini(engine);
    fv_images_fini(engine);
    fv_pass_plan_fini(engine);
    fv_sequences_fini(engine);
    fv_cache_fini(&engine->cache);
    free(engine->excluded_ids);
    free(engine);
}

fv_err fv_engine_measure(fv_model *model, const fv_engine_settings *settings, fv_engine_bytes *bytes)
{
    FV_TRY(check(settings));
    fv_engine engine = engine_of(model, settings);
    bytes->cache = (size_t)settings->cache_pages * fv_cache_page_bytes(model);
    bytes->image_rows = settings->image.t ? fv_images_bytes(&engine) : 0;
    fv_err err = fv_forward_measure(&engine, &bytes->pass);
    if (err == FV_OK)
        err = fv_images_measure(&engine, &bytes->vision);
    fv_text_pass_destroy(engine.text);
    fv_vision_pass_destroy(engine.vision);
    return err;
}

fv_err fv_engine_fit_cache(fv_model *model, double room, fv_engine_settings *settings)
{
    fv_engine_bytes bytes;
    FV_TRY(fv_engine_measure(model, settings, &bytes));
    room -= (double)(bytes.image_rows + bytes.pass + bytes.vision);
    double held = floor(room / (double)fv_cache_page_bytes(model)),
           least = 2.0 * fv_pages_for(settings->max_tokens);
    settings->cache_pages = (int)fmin(settings->cache_pages, fmax(held, least));
    return FV_OK;
}

const fv_engine_stats *fv_engine_stats_of(const fv_engine *engine)
{
    return &engine->stats;
}

const fv_engine_settings *fv_engine_settings_of(const fv_engine *engine)
{
    return &engine->settings;
}

int fv_engine_free_pages(const fv_engine *engine)
{
    return engine->table.n_free;
}

int64_t fv_engine_pending(const fv_engine *engine)
{
    int64_t n = 0;
    for (const fv_sequence *s = engine->oldest; s; s = s->younger) {
        int64_t left = s->n - (fv_sequence_rows(s) > 0 ? fv_sequence_rows(s) : s->first);
        if (s->is_running)
            n += left > 0 ? left : 1; /* the last one is computed already */
    }
    return n;
}

/* What came of a pass goes to the owners. */

static fv_err tell_drawn(fv_engine *engine, const fv_flight *flight, const fv_awaited *a)
{
    fv_sequence *s = a->sequence;
    int32_t id = flight->results[a->look];
    float logprob;
    memcpy(&logprob, &flight->results[engine->settings.max_running + a->look], sizeof logprob);
    FV_CHECK(id >= 0, FV_ERR_NUMERIC,
             "the logits of a token hold a NaN or an infinity, or no token that may be generated");
    engine->stats.generated_tokens++;
    FV_TRY(fv_sequence_push(s, id));
    return s->owner.generated(s->owner.context, s, id, logprob);
}

static fv_err tell_chosen(const fv_flight *flight, const fv_awaited *a)
{
    fv_sequence *s = a->sequence;
    float logprobs[FV_MAX_CHOICES];
    memcpy(logprobs, &flight->results[a->look], (size_t)s->n_choices * sizeof *logprobs);
    fv_sequence_end(s);
    return s->owner.chosen(s->owner.context, s, logprobs);
}

/* Tokens whose rows stay, of a pass that was queued before it was known who needs it. */
static void count_ahead(fv_engine *engine, const fv_flight *flight)
{
    int is_of_use = flight->n_known > 0;
    engine->stats.computed_tokens += flight->n_known;
    for (const fv_awaited *a = flight->awaited; a < flight->awaited + flight->n_awaited; a++) {
        is_of_use |= fv_is_awaited(a);
        engine->stats.computed_tokens +=
            a->is_ahead && a->sequence->life == a->life && a->sequence->is_running && a->sequence->n >= a->n;
    }
    engine->stats.n_passes += is_of_use;
}

static fv_err arrive(fv_engine *engine, fv_flight *flight)
{
    flight->is_under_way = 0;
    if (flight->n_awaited == 0)
        return FV_OK;
    FV_TRY(fv_event_synchronize(engine->backend, flight->arrived));
    for (const fv_awaited *a = flight->awaited; a < flight->awaited + flight->n_awaited; a++)
        if (fv_is_awaited(a))
            FV_TRY(engine->settings.is_choosing ? tell_chosen(flight, a) : tell_drawn(engine, flight, a));
    return FV_OK;
}

/* A pass that was queued ahead is of use while somebody still waits for it. */
static int is_of_use(const fv_flight *flight)
{
    int n = 0;
    for (int64_t i = 0; flight->is_under_way && i < flight->n_awaited; i++)
        n += fv_is_awaited(&flight->awaited[i]);
    return n > 0;
}

/* With the features of its images. */
static fv_err queue(fv_engine *engine, fv_flight *flight)
{
    FV_TRY(fv_images_encode(engine));
    return fv_forward_pass(engine, flight);
}

static fv_err begin(fv_engine *engine, fv_flight *flight)
{
    if (flight->is_under_way)
        count_ahead(engine, flight);
    if (is_of_use(flight))
        return FV_OK;
    FV_TRY(fv_schedule_pass(engine, 1));
    FV_CHECK(engine->pass.n > 0, FV_ERR_INTERNAL, "an engine that cannot go on");
    engine->stats.n_passes++;
    engine->stats.computed_tokens += engine->pass.n;
    return queue(engine, flight);
}

/* The pass, and the one behind it; then owners are told of the first. */
static fv_err pass(fv_engine *engine)
{
    fv_flight *flight = &engine->flights[engine->at], *behind = &engine->flights[!engine->at];
    int is_ahead;
    FV_TRY(begin(engine, flight));
    FV_TRY(fv_schedule_ahead(engine, flight, &is_ahead));
    if (is_ahead)
        FV_TRY(queue(engine, behind));
    engine->at = !engine->at;
    return arrive(engine, flight);
}

fv_err fv_engine_pass(fv_engine *engine, int *is_idle)
{
    int n_running = 0;
    for (const fv_sequence *s = engine->oldest; s; s = s->younger)
        n_running += s->is_running;
    *is_idle = n_running == 0;
    if (*is_idle)
        return FV_OK;
    fv_err err = pass(engine);
    if (err != FV_OK)
        fv_images_drop(engine);
    return err;
}
