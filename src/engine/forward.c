/* The pass: tokens through the decoder, and from the last row of every sequence that came to its end to a
 * token, or to the log-probs of choices.
 *
 * All that a pass is told goes up in one copy, and all that comes of it comes down in one. Its tensors are
 * taken from one workspace, anew for each pass, so passes of the same counts have the same addresses. That is
 * what lets a pass of decoding be recorded: it has the counts of its bucket, and everything else about it is
 * in tensors. */
#include "engine/engine_internal.h"

#include <stdlib.h>
#include <string.h>

enum { OWN_PARTS = 9 };

/* Memory. */

/* Room for what comes of the largest pass. */
static int64_t n_results(const fv_engine *engine)
{
    int most = FV_MAX_CHOICES > 2 ? FV_MAX_CHOICES : 2;
    return (int64_t)most * engine->settings.max_running;
}

static fv_tensor results_from(const fv_engine *engine, int64_t first, fv_dtype dtype)
{
    return fv_tensor_1d((int32_t *)engine->results.data + first, dtype, engine->pass.n_looks);
}

/* What is uploaded, but for the decoder's own. */
static fv_err take_inputs(fv_engine *engine, fv_arena *arena)
{
    const fv_pass_plan *p = &engine->pass;
    const fv_engine_settings *s = &engine->settings;
    int64_t n = p->n_looks;
    engine->head = (fv_head_pass){0};
    engine->head_draws = (fv_head_draws){0};
    engine->top_k = engine->top_p = engine->rows = engine->feature_rows = (fv_tensor){0};
    if (n > 0)
        FV_TRY(fv_head_take_inputs(n, s->n_excluded, arena, &engine->head));
    if (n > 0 && !s->is_choosing) {
        engine->head.targets = results_from(engine, 0, FV_I32);
        FV_TRY(fv_tensor_take(arena, FV_I32, 2, (int64_t[]){n, FV_DRAW_FIELDS}, &engine->head_draws.draws));
    }
    if (n > 0 && s->has_filters) {
        FV_TRY(fv_tensor_take(arena, FV_I32, 1, &n, &engine->top_k));
        FV_TRY(fv_tensor_take(arena, FV_F32, 1, &n, &engine->top_p));
    }
    if (n > 0 && !p->is_decode)
        FV_TRY(fv_tensor_take(arena, FV_I32, 1, &n, &engine->rows));
    return p->n_features > 0 ? fv_tensor_take(arena, FV_I32, 1, &p->n_features, &engine->feature_rows)
                             : FV_OK;
}

static fv_err take_logits(fv_engine *engine, fv_arena *arena)
{
    FV_TRY(fv_logits_take(engine->model, engine->pass.n_looks, arena, &engine->logits));
    return fv_tensor_take(arena, FV_F32, 2, engine->logits.all.dim, &engine->changed);
}

static fv_err take_looks(fv_engine *engine, fv_arena *arena)
{
    const fv_pass_plan *p = &engine->pass;
    int64_t hidden = fv_model_shape_of(engine->model)->text.hidden, n = p->n_looks;
    if (!p->is_decode)
        FV_TRY(fv_tensor_take(arena, fv_model_precision(engine->model)->activation, 2, (int64_t[]){n, hidden},
                              &engine->hidden));
    FV_TRY(fv_head_take_rest(engine->model, arena, &engine->head));
    engine->head.logprob =
        results_from(engine, engine->settings.is_choosing ? 0 : engine->settings.max_running, FV_F32);
    if (engine->settings.is_choosing)
        return FV_OK;
    FV_TRY(fv_head_draws_take(n, arena, &engine->head_draws));
    return engine->settings.has_filters ? take_logits(engine, arena) : FV_OK;
}

static fv_err take_tensors(void *context, fv_arena *arena)
{
    fv_engine *engine = context;
    const fv_pass_plan *p = &engine->pass;
    int64_t n = n_results(engine), running = engine->settings.max_running;
    FV_TRY(fv_tensor_take(arena, FV_I32, 1, &n, &engine->results));
    if (engine->is_recording)
        FV_TRY(fv_tensor_take(arena, FV_I32, 1, &running, &engine->before));
    FV_TRY(take_inputs(engine, arena));
    FV_TRY(fv_text_take(engine->text, &engine->run, FV_SAVE_NONE, arena));
    engine->picked = (fv_tensor){0};
    if (p->n_features > 0)
        FV_TRY(fv_tensor_take(arena, engine->features.dtype, 2,
                              (int64_t[]){p->n_features, engine->features.dim[1]}, &engine->picked));
    return p->n_looks > 0 ? take_looks(engine, arena) : FV_OK;
}

static fv_token_run run_of(const fv_engine *engine)
{
    const fv_pass_plan *p = &engine->pass;
    return (fv_token_run){.n = p->size,
                          .ids = p->ids,
                          .positions = p->by_axis,
                          .segments = p->segments,
                          .spans = p->spans,
                          .slots = p->slots,
                          .n_segments = p->n_segments,
                          .n_spans = p->n_spans,
                          .n_features = p->n_features,
                          .max_spans = p->is_decode ? p->size * engine->table.width : 0};
}

/* The largest pass: every sequence has a segment with all its pages, and every one that wants something comes
 * to its end. */
static void set_largest(fv_engine *engine)
{
    const fv_engine_settings *s = &engine->settings;
    fv_pass_plan *p = &engine->pass;
    p->n = p->size = s->pass_tokens;
    p->n_segments = engine->n_sequences;
    p->n_spans = (int64_t)engine->n_sequences * fv_pages_for(s->max_tokens);
    p->n_features = s->image.t ? s->pass_tokens : 0;
    p->n_looks = s->is_choosing ? FV_MAX_CHOICES * s->max_running : s->max_running;
    engine->run = run_of(engine);
}

static fv_err open_flight(fv_engine *engine, fv_flight *flight)
{
    void *results;
    flight->awaited = malloc((size_t)engine->settings.max_running * sizeof *flight->awaited);
    FV_CHECK(flight->awaited, FV_ERR_MEMORY, "cannot allocate a list of %d draws",
             engine->settings.max_running);
    FV_TRY(fv_event_create(engine->backend, &flight->arrived));
    FV_TRY(fv_host_alloc(engine->backend, (size_t)n_results(engine) * sizeof *flight->results, &results));
    flight->results = results;
    return FV_OK;
}

fv_err fv_forward_init(fv_engine *engine)
{
    FV_TRY(fv_text_pass_create(engine->model, &engine->text));
    for (int i = 0; i < 2; i++)
        FV_TRY(open_flight(engine, &engine->flights[i]));
    set_largest(engine);
    return fv_workspace_fit(&engine->work, engine->backend, take_tensors, engine);
}

static void drop_graphs(fv_engine *engine)
{
    for (int i = 0; i < 2 * FV_MAX_BUCKETS; i++) {
        fv_graph_destroy(engine->backend, engine->graphs[i / 2][i % 2]);
        engine->graphs[i / 2][i % 2] = NULL;
    }
}

void fv_forward_fini(fv_engine *engine)
{
    fv_workspace_fini(&engine->work); /* waits for what is queued */
    drop_graphs(engine);
    for (fv_flight *flight = engine->flights; flight < engine->flights + 2; flight++) {
        fv_event_destroy(engine->backend, flight->arrived);
        fv_host_free(engine->backend, flight->results);
        free(flight->awaited);
    }
    fv_text_pass_destroy(engine->text);
}

fv_err fv_forward_measure(fv_engine *engine, size_t *bytes)
{
    static int32_t some_slot;
    fv_arena dry = fv_arena_dry(engine->work.name);
    FV_TRY(fv_text_pass_create(engine->model, &engine->text));
    engine->features = fv_tensor_2d(NULL, fv_model_precision(engine->model)->activation, 0,
                                    fv_model_shape_of(engine->model)->text.hidden);
    set_largest(engine);
    engine->run.slots = &some_slot;
    FV_TRY(take_tensors(engine, &dry));
    *bytes = dry.peak;
    return FV_OK;
}

/* Computing. */

static fv_err copy_pages(fv_engine *engine)
{
    const fv_pass_plan *p = &engine->pass;
    for (int i = 0; i < p->n_copies; i++)
        FV_TRY(fv_cache_copy(&engine->cache, p->copies[i].from, p->copies[i].to, p->copies[i].n_rows));
    return FV_OK;
}

/* Some tokens are draws of the pass before, or may be. */
static int takes_draws(const fv_pass_plan *p)
{
    return p->is_decode || p->n_unknown > 0;
}

/* In the order of their memory. */
static fv_err upload(fv_engine *engine)
{
    const fv_pass_plan *p = &engine->pass;
    const fv_tensor none = {0};
    fv_upload_part parts[OWN_PARTS + FV_TEXT_PARTS] = {
        {takes_draws(p) ? engine->before : none, p->before},
        {engine->settings.is_choosing ? engine->head.targets : none, p->targets},
        {engine->head.excluded, engine->excluded_ids},
        {engine->head.inv_temperature, p->inv_temperatures},
        {engine->head_draws.draws, p->keys},
        {engine->top_k, p->top_k},
        {engine->top_p, p->top_p},
        {engine->rows, p->rows},
        {engine->feature_rows, p->feature_rows},
    };
    FV_TRY(fv_text_parts(engine->text, &engine->run, parts + OWN_PARTS));
    engine->read_ids = parts[OWN_PARTS + FV_TEXT_IDS].to;
    return fv_upload_parts(engine->backend, parts, OWN_PARTS + FV_TEXT_PARTS);
}

static fv_err pick(fv_engine *engine, fv_tensor table, fv_tensor index, fv_tensor out)
{
    return fv_gather(engine->backend, &(fv_gather_args){.table = table, .index = index, .out = out});
}

/* Draws of the pass before are in the results. */
static fv_err take_draws(fv_engine *engine)
{
    return fv_scatter(
        engine->backend,
        &(fv_scatter_args){.in = fv_tensor_2d(engine->results.data, FV_I32, engine->settings.max_running, 1),
                           .index = engine->before,
                           .table = fv_tensor_2d(engine->read_ids.data, FV_I32, engine->pass.size, 1)});
}

static fv_err compute(fv_engine *engine)
{
    fv_tensor hidden;
    if (takes_draws(&engine->pass))
        FV_TRY(take_draws(engine));
    if (engine->pass.n_features > 0)
        FV_TRY(pick(engine, engine->features, engine->feature_rows, engine->picked));
    FV_TRY(fv_text_compute(engine->text, engine->picked, &engine->cache.store, &hidden));
    if (engine->pass.n_looks == 0)
        return FV_OK;
    FV_TRY(pick(engine, hidden, engine->rows, engine->hidden));
    return engine->settings.is_choosing ? fv_head_look(engine->model, &engine->head, engine->hidden)
                                        : fv_sample_draws(engine, engine->hidden);
}

/* The body of a graph: what it calls depends on the bucket alone. */
static fv_err decode(void *context)
{
    fv_engine *engine = context;
    fv_tensor hidden;
    FV_TRY(take_draws(engine));
    FV_TRY(fv_text_compute(engine->text, (fv_tensor){0}, &engine->cache.store, &hidden));
    return fv_sample_draws(engine, hidden);
}

/* Graphs name the weights. */
static fv_err run_decode(fv_engine *engine)
{
    const void *weights = fv_model_weights(engine->model)->flat.data;
    fv_graph **graph = &engine->graphs[engine->pass.bucket][engine->pass.is_filtered];
    if (engine->recorded && engine->recorded != weights) {
        FV_TRY(fv_backend_synchronize(engine->backend));
        drop_graphs(engine);
    }
    engine->recorded = weights;
    if (!*graph)
        FV_TRY(fv_graph_create(engine->backend, graph));
    return fv_graph_run(engine->backend, *graph, decode, engine);
}

/* The flight takes the list of who waits for it. */
static fv_err send_back(fv_engine *engine, fv_flight *flight)
{
    fv_pass_plan *p = &engine->pass;
    fv_awaited *list = flight->awaited;
    flight->awaited = p->awaited;
    p->awaited = list;
    flight->n_awaited = p->n_awaited;
    flight->n_known = p->n - p->n_unknown;
    flight->is_under_way = 1;
    if (p->n_awaited == 0)
        return FV_OK;
    FV_TRY(fv_event_synchronize(engine->backend, flight->arrived)); /* what it was used for before */
    FV_TRY(fv_download(engine->backend, FV_STREAM_COMPUTE, engine->results, flight->results));
    return fv_event_record(engine->backend, flight->arrived, FV_STREAM_COMPUTE);
}

fv_err fv_forward_pass(fv_engine *engine, fv_flight *flight)
{
    fv_pass_close(engine);
    engine->run = run_of(engine);
    const void *draws = engine->results.data;
    FV_TRY(fv_workspace_fit(&engine->work, engine->backend, take_tensors, engine));
    FV_CHECK(engine->pass.n_unknown == 0 || engine->results.data == draws, FV_ERR_INTERNAL,
             "a pass that is larger than the largest, behind one whose draws it takes");
    FV_TRY(copy_pages(engine));
    FV_TRY(upload(engine));
    FV_TRY(engine->pass.is_decode ? run_decode(engine) : compute(engine));
    return send_back(engine, flight);
}
