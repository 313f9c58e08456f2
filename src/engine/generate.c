#include "fovea/engine/generate.h"

#include "fovea/model/nn/cache.h"
#include "fovea/model/nn/head.h"
#include "fovea/base/rng.h"
#include "fovea/ops/workspace.h"

#include <stdlib.h>
#include <string.h>

/* Everything that one generation holds. */
typedef struct generation {
    fv_model *model;
    const fv_generate_args *args;
    fv_workspace vision_work, text_work;
    fv_vision_pass *vision;
    fv_text_pass *text;
    fv_tensor features; /* (N, C) of all images */
    fv_cache cache;
    fv_page_list sequence;
    int32_t *positions;       /* (3, prompt.n) */
    int32_t next;             /* position of the next token */
    int32_t *slots;           /* (chunk) */
    int32_t *spans;           /* (pages, 2) */
    int32_t *chunk_positions; /* (3, chunk) */
    fv_token_run tokens;      /* of the pass under way */
    fv_tensor uniform;        /* (1) */
    fv_head_pass head;        /* its target is the token drawn */
    fv_logits logits;         /* of the last token */
    uint8_t *is_seen;         /* (V): in the prompt or the answer so far */
    float *host_logits;       /* (V) */
} generation;

static int64_t total_tokens(const fv_generate_args *args)
{
    return args->prompt.n + args->max_tokens;
}

static fv_err check_sampling(const fv_sampling *how)
{
    FV_CHECK(how->temperature >= 0, FV_ERR_ARGUMENT, "a temperature of %g; 0 or more", how->temperature);
    FV_CHECK(how->top_k >= 0, FV_ERR_ARGUMENT, "top_k of %d; 0 (all) or more", how->top_k);
    FV_CHECK(how->top_p > 0 && how->top_p <= 1, FV_ERR_ARGUMENT, "top_p of %g; above 0, at most 1",
             how->top_p);
    FV_CHECK(how->repetition_penalty > 0, FV_ERR_ARGUMENT, "a repetition penalty of %g; above 0",
             how->repetition_penalty);
    return FV_OK;
}

static fv_err check(const fv_model *model, const fv_generate_args *args)
{
    int limit = fv_model_shape_of(model)->text.max_positions;
    FV_TRY(check_sampling(&args->sampling));
    FV_CHECK(args->prompt.n > 0, FV_ERR_ARGUMENT, "the prompt is empty");
    FV_CHECK(args->max_tokens > 0, FV_ERR_ARGUMENT, "%d new tokens were asked for; at least 1",
             args->max_tokens);
    FV_CHECK(args->chunk > 0, FV_ERR_ARGUMENT, "a chunk of %lld tokens; at least 1", (long long)args->chunk);
    FV_CHECK(total_tokens(args) <= limit, FV_ERR_ARGUMENT,
             "a prompt of %lld tokens and %d new ones exceed the model's %d positions: shorten the prompt or "
             "the answer",
             (long long)args->prompt.n, args->max_tokens, limit);
    return FV_OK;
}

static fv_err take_vision(void *context, fv_arena *arena)
{
    generation *g = context;
    const fv_prompt *prompt = &g->args->prompt;
    return fv_vision_take(g->vision, prompt->grids, prompt->n_images, FV_SAVE_NONE, arena);
}

static fv_err encode_images(generation *g)
{
    const fv_prompt *prompt = &g->args->prompt;
    if (prompt->n_images == 0)
        return FV_OK;
    FV_TRY(fv_vision_pass_create(g->model, &g->vision));
    FV_TRY(fv_workspace_fit(&g->vision_work, fv_model_backend(g->model), take_vision, g));
    return fv_vision_forward(g->vision, prompt->pixels, &g->features);
}

static fv_err take_text(void *context, fv_arena *arena)
{
    generation *g = context;
    FV_TRY(fv_tensor_take(arena, FV_F32, 1, &(int64_t){1}, &g->uniform));
    FV_TRY(fv_head_take(g->model, 1, 0, arena, &g->head));
    FV_TRY(fv_logits_take(g->model, 1, arena, &g->logits));
    return fv_text_take(g->text, &g->tokens, FV_SAVE_NONE, arena);
}

static fv_err allocate(generation *g)
{
    int pages = fv_pages_for(total_tokens(g->args));
    size_t vocab = (size_t)fv_model_shape_of(g->model)->text.vocab;
    g->positions = malloc(3 * (size_t)g->args->prompt.n * sizeof(int32_t));
    g->slots = malloc((size_t)g->args->chunk * sizeof(int32_t));
    g->chunk_positions = malloc(3 * (size_t)g->args->chunk * sizeof(int32_t));
    g->spans = malloc((size_t)pages * FV_SPAN_FIELDS * sizeof(int32_t));
    g->is_seen = calloc(vocab, 1);
    g->host_logits = malloc(vocab * sizeof(float));
    int is_there = g->positions && g->slots && g->chunk_positions && g->spans && g->is_seen && g->host_logits;
    FV_CHECK(is_there, FV_ERR_MEMORY, "cannot allocate a generation of %lld tokens",
             (long long)total_tokens(g->args));
    FV_TRY(fv_cache_init(&g->cache, g->model, pages));
    return fv_text_pass_create(g->model, &g->text);
}

/* Compute n more tokens; g->logits.all are those of the last. features holds their image rows. */
static fv_err extend(generation *g, const int32_t *ids, const int32_t *positions, int64_t n,
                     fv_tensor features)
{
    int32_t past = (int32_t)g->sequence.n_rows;
    FV_TRY(fv_pages_extend(&g->cache.pool, &g->sequence, n, g->slots));
    int64_t n_spans = fv_pages_spans(&g->sequence, g->spans);
    const int32_t segment[FV_SEGMENT_FIELDS] = {0, (int32_t)n, past, 0, (int32_t)n_spans, past + (int32_t)n};
    fv_tensor hidden;
    g->tokens = (fv_token_run){.n = n,
                               .ids = ids,
                               .positions = positions,
                               .segments = segment,
                               .spans = g->spans,
                               .slots = g->slots,
                               .n_segments = 1,
                               .n_spans = n_spans,
                               .n_features = features.data ? features.dim[0] : 0};
    FV_TRY(fv_workspace_fit(&g->text_work, fv_model_backend(g->model), take_text, g));
    FV_TRY(fv_text_forward(g->text, &g->tokens, features, &g->cache.store, &hidden));
    return fv_model_logits(g->model, fv_tensor_rows(hidden, n - 1, 1), &g->logits);
}

static int64_t count_images(const generation *g, const int32_t *ids, int64_t n)
{
    int64_t count = 0;
    for (int64_t i = 0; i < n && g->features.data; i++)
        count += ids[i] == fv_model_shape_of(g->model)->image_id;
    return count;
}

static fv_err prefill(generation *g)
{
    const fv_prompt *prompt = &g->args->prompt;
    int64_t n, used_features = 0;
    FV_TRY(fv_positions_append(fv_model_shape_of(g->model), prompt->ids, prompt->n, prompt->grids,
                               prompt->n_images, &g->next, g->positions, prompt->n));
    for (int64_t first = 0; first < prompt->n; first += n) {
        n = prompt->n - first < g->args->chunk ? prompt->n - first : g->args->chunk;
        for (int row = 0; row < 3; row++)
            memcpy(g->chunk_positions + row * n, g->positions + row * prompt->n + first,
                   (size_t)n * sizeof(int32_t));
        int64_t n_features = count_images(g, prompt->ids + first, n);
        fv_tensor features =
            n_features ? fv_tensor_rows(g->features, used_features, n_features) : (fv_tensor){0};
        FV_TRY(extend(g, prompt->ids + first, g->chunk_positions, n, features));
        for (int64_t i = first; i < first + n; i++)
            g->is_seen[prompt->ids[i]] = 1;
        used_features += n_features;
    }
    return FV_OK;
}

static fv_err penalize_repetition(generation *g)
{
    fv_backend *backend = fv_model_backend(g->model);
    float penalty = g->args->sampling.repetition_penalty;
    if (penalty == 1.0f)
        return FV_OK;
    FV_TRY(fv_download(backend, g->logits.all, g->host_logits));
    for (int64_t id = 0; id < g->logits.all.dim[1]; id++)
        if (g->is_seen[id])
            g->host_logits[id] = fv_repeated_logit(g->host_logits[id], penalty);
    return fv_upload(backend, g->logits.all, g->host_logits);
}

static fv_err draw(generation *g, uint32_t index, int32_t *id, float *logprob)
{
    fv_backend *backend = fv_model_backend(g->model);
    const fv_sampling *how = &g->args->sampling;
    FV_TRY(penalize_repetition(g));
    float uniform = fv_rng_uniform((fv_rng_key){.seed = how->seed}, index);
    FV_TRY(fv_upload(backend, g->uniform, &uniform));
    FV_TRY(fv_sample(backend, &(fv_sample_args){.logits = g->logits.all,
                                                .uniform = g->uniform,
                                                .ids = g->head.targets,
                                                .temperature = how->temperature,
                                                .top_p = how->top_p,
                                                .top_k = how->top_k}));
    FV_TRY(fv_head_from_logits(g->model, &g->head, g->logits.all,
                               how->temperature > 0 ? 1.0f / how->temperature : 1.0f));
    FV_TRY(fv_download(backend, g->head.logprob, logprob));
    return fv_download(backend, g->head.targets, id);
}

static int is_stop(const fv_model_shape *shape, int32_t id)
{
    for (int i = 0; i < shape->n_eos; i++)
        if (shape->eos_ids[i] == id)
            return 1;
    return 0;
}

static fv_err decode(generation *g, fv_finish *finish)
{
    *finish = FV_FINISH_LENGTH;
    for (int i = 0; i < g->args->max_tokens; i++) {
        int32_t id;
        float logprob;
        FV_TRY(draw(g, (uint32_t)i, &id, &logprob));
        g->is_seen[id] = 1;
        FV_TRY(g->args->sink(g->args->context, id, logprob));
        if (!g->args->ignore_stop && is_stop(fv_model_shape_of(g->model), id)) {
            *finish = FV_FINISH_STOP;
            return FV_OK;
        }
        if (i + 1 == g->args->max_tokens)
            return FV_OK;
        const int32_t positions[3] = {g->next, g->next, g->next};
        g->next++;
        FV_TRY(extend(g, &id, positions, 1, (fv_tensor){0}));
    }
    return FV_OK;
}

static void release(generation *g)
{
    fv_vision_pass_destroy(g->vision);
    fv_text_pass_destroy(g->text);
    fv_pages_release(&g->cache.pool, &g->sequence);
    fv_cache_fini(&g->cache);
    fv_workspace_fini(&g->vision_work);
    fv_workspace_fini(&g->text_work);
    free(g->positions);
    free(g->slots);
    free(g->spans);
    free(g->chunk_positions);
    free(g->is_seen);
    free(g->host_logits);
}

fv_err fv_generate(fv_model *model, const fv_generate_args *args, fv_finish *finish)
{
    fv_err err = FV_OK;
    generation g = {
        .model = model, .args = args, .vision_work = {.name = "vision"}, .text_work = {.name = "text"}};
    FV_TRY(check(model, args));
    FV_TRY_DONE(encode_images(&g));
    FV_TRY_DONE(allocate(&g));
    FV_TRY_DONE(prefill(&g));
    FV_TRY_DONE(decode(&g, finish));
done:
    release(&g);
    return err;
}
