#include "train/rollout_internal.h"

#include "fovea/base/rng.h"
#include "fovea/ops/staging.h"

#include <stdlib.h>
#include <string.h>

/* Sequences under way at once: every running answer, and a prompt for each at the most. */
static int64_t max_nodes(const fv_rollout *r)
{
    return 2 * (int64_t)r->settings->max_running;
}

static int64_t max_spans(const fv_rollout *r)
{
    return max_nodes(r) * (fv_pages_for(r->settings->dialogue.max_tokens) + 1);
}

static void *array(int64_t n, size_t element)
{
    return malloc((size_t)n * element);
}

fv_err fv_pass_init(fv_rollout *r)
{
    fv_pass *p = &r->pass;
    int64_t nodes = max_nodes(r), tokens = r->settings->pass_tokens, draws = r->settings->max_running;
    *p = (fv_pass){.ids = array(tokens, sizeof *p->ids),
                   .by_token = array(3 * tokens, sizeof *p->by_token),
                   .positions = array(3 * tokens, sizeof *p->positions),
                   .slots = array(tokens, sizeof *p->slots),
                   .segments = array(nodes * FV_SEGMENT_FIELDS, sizeof *p->segments),
                   .spans = array(max_spans(r) * FV_SPAN_FIELDS, sizeof *p->spans),
                   .pieces = array(nodes * FV_MAX_ROUNDS, sizeof *p->pieces),
                   .draws = array(draws, sizeof *p->draws),
                   .draw_rows = array(draws, sizeof *p->draw_rows),
                   .drawn = array(draws, sizeof *p->drawn),
                   .uniforms = array(draws, sizeof *p->uniforms),
                   .logprobs = array(draws, sizeof *p->logprobs)};
    int is_there = p->ids && p->by_token && p->positions && p->slots && p->segments && p->spans &&
                   p->pieces && p->draws && p->draw_rows && p->drawn && p->uniforms && p->logprobs;
    FV_CHECK(is_there, FV_ERR_MEMORY, "cannot allocate a pass of %lld tokens", (long long)tokens);
    if (!fv_pass_is_penalized(r))
        return FV_OK;
    size_t vocab = (size_t)fv_model_shape_of(r->model)->text.vocab;
    p->changed = array(draws, vocab * sizeof *p->changed);
    p->is_seen = calloc(vocab, 1);
    FV_CHECK(p->changed && p->is_seen, FV_ERR_MEMORY, "cannot allocate the logits of %lld draws",
             (long long)draws);
    return FV_OK;
}

void fv_pass_fini(fv_pass *p)
{
    void *const arrays[] = {p->ids,      p->by_token, p->positions, p->slots,     p->segments,
                            p->spans,    p->pieces,   p->draws,     p->draw_rows, p->drawn,
                            p->uniforms, p->logprobs, p->changed,   p->is_seen};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        free(arrays[i]);
    *p = (fv_pass){0};
}

/* Planning. */

static int may_run(const fv_node *node)
{
    if (!node->answer)
        return fv_node_pending(node) > 0;
    return !node->answer->is_done && fv_node_pending(node) > 0 && fv_node_pending(&node->live->prompt) == 0;
}

/* The i-th sequence of a group: the prompt is number -1. */
static fv_node *node_of(fv_live *live, int i)
{
    return i < 0 ? &live->prompt : &live->answers[i];
}

static int64_t min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Tokens beyond one for each sequence that can run. More can run before a pass is full: answers whose prompt
 * is computed again in it. */
static int64_t spare_tokens(const fv_rollout *r)
{
    int64_t spare = r->settings->pass_tokens;
    for (fv_live *live = r->oldest; live; live = live->younger)
        for (int i = -1; i < fv_group_size(live->group); i++)
            spare -= may_run(node_of(live, i));
    return spare;
}

static void add_segment(fv_pass *p, const fv_node *node, int64_t n)
{
    const fv_node *prompt = &node->live->prompt;
    int64_t first = p->n_spans, n_keys = node->rows.n_rows;
    if (node->answer) {
        p->n_spans += fv_pages_spans(&prompt->rows, p->spans + FV_SPAN_FIELDS * p->n_spans);
        n_keys += prompt->rows.n_rows;
    }
    p->n_spans += fv_pages_spans(&node->rows, p->spans + FV_SPAN_FIELDS * p->n_spans);
    const int32_t segment[FV_SEGMENT_FIELDS] = {
        (int32_t)p->n,  (int32_t)n, (int32_t)(n_keys - n), (int32_t)first, (int32_t)(p->n_spans - first),
        (int32_t)n_keys};
    memcpy(p->segments + FV_SEGMENT_FIELDS * p->n_segments++, segment, sizeof segment);
}

/* The features that the node's next n image tokens show; a view may be shown again. */
static void add_pieces(fv_pass *p, fv_node *node, int64_t n)
{
    fv_tensor rows = node->answer ? node->live->high.rows : node->live->low.rows;
    p->n_features += n;
    while (n > 0) {
        int64_t first = node->n_images % rows.dim[0], left = rows.dim[0] - first;
        int64_t part = n < left ? n : left;
        p->pieces[p->n_pieces++] = fv_tensor_rows(rows, first, part);
        node->n_images += part;
        n -= part;
    }
}

static int is_greedy(const fv_node *node)
{
    return node->answer->sample >= node->live->group->n_answers;
}

/* Where the next draw goes: greedy ones stay behind the others. */
static int64_t place_draw(fv_pass *p, int greedy)
{
    int64_t last = p->n_draws++, first_greedy = p->n_sampled;
    if (greedy)
        return last;
    p->uniforms[last] = p->uniforms[first_greedy];
    p->draw_rows[last] = p->draw_rows[first_greedy];
    p->draws[last] = p->draws[first_greedy];
    return p->n_sampled++;
}

static void add_draw(fv_rollout *r, fv_node *answer)
{
    fv_pass *p = &r->pass;
    int64_t at = place_draw(p, is_greedy(answer));
    const fv_rollout_settings *s = r->settings;
    fv_rng_key key = {.seed = s->seed,
                      .step = s->step,
                      .sample = (uint32_t)answer->answer->sample,
                      .prompt = (uint64_t)answer->live->group->prompt_index};
    p->uniforms[at] = fv_rng_uniform(key, (uint32_t)answer->answer->ids.n);
    p->draw_rows[at] = (int32_t)p->n - 1;
    p->draws[at] = answer;
}

/* The sequence is computed to its end: who draws from its last row. */
static void add_draws(fv_rollout *r, fv_node *node)
{
    if (node->answer) {
        add_draw(r, node);
    } else if (!node->live->has_begun) {
        for (int i = 0; i < fv_group_size(node->live->group); i++)
            add_draw(r, &node->live->answers[i]);
        node->live->has_begun = 1;
    }
}

/* n more tokens of a sequence whose rows have been extended by them. */
static void add_tokens(fv_rollout *r, fv_node *node, int64_t n)
{
    fv_pass *p = &r->pass;
    int64_t first = node->rows.n_rows - n, n_images = 0;
    const int32_t *ids = fv_node_ids(node)->ids + first;
    for (int64_t i = 0; i < n; i++)
        n_images += r->vision && ids[i] == fv_model_shape_of(r->model)->image_id;
    add_segment(p, node, n);
    add_pieces(p, node, n_images);
    memcpy(p->ids + p->n, ids, (size_t)n * sizeof *ids);
    memcpy(p->by_token + 3 * p->n, node->positions + 3 * first, 3 * (size_t)n * sizeof *p->by_token);
    p->n += n;
    if (fv_node_pending(node) == 0)
        add_draws(r, node);
}

fv_err fv_pass_plan(fv_rollout *r)
{
    fv_pass *p = &r->pass;
    int64_t spare = spare_tokens(r);
    p->n = p->n_segments = p->n_spans = p->n_features = p->n_pieces = p->n_draws = p->n_sampled = 0;
    for (fv_live *live = r->oldest; live; live = live->younger)
        for (int i = -1; i < fv_group_size(live->group); i++) {
            fv_node *node = node_of(live, i);
            int has_room;
            if (!may_run(node) || p->n == r->settings->pass_tokens)
                continue;
            int64_t n = 1 + min(fv_node_pending(node) - 1, spare);
            n = min(n, r->settings->pass_tokens - p->n);
            FV_TRY(fv_node_extend(r, node, n, p->slots + p->n, &has_room));
            if (!has_room)
                continue;
            spare -= n - 1;
            add_tokens(r, node, n);
        }
    return FV_OK;
}

/* Computing. */

static fv_err take(void *context, fv_arena *arena)
{
    fv_rollout *r = context;
    const fv_pass *p = &r->pass;
    int64_t hidden = fv_model_shape_of(r->model)->text.hidden;
    FV_TRY(fv_text_take(r->text, &r->run, FV_SAVE_NONE, arena));
    r->features = (fv_tensor){0};
    if (p->n_features)
        FV_TRY(fv_tensor_take(arena, FV_F32, 2, (int64_t[]){p->n_features, hidden}, &r->features));
    if (p->n_draws == 0)
        return FV_OK;
    FV_TRY(fv_tensor_take(arena, FV_I32, 1, &p->n_draws, &r->rows));
    FV_TRY(fv_tensor_take(arena, FV_F32, 2, (int64_t[]){p->n_draws, hidden}, &r->hidden));
    FV_TRY(fv_tensor_take(arena, FV_F32, 1, &p->n_draws, &r->uniform));
    FV_TRY(fv_logits_take(r->model, p->n_draws, arena, &r->logits));
    if (fv_pass_is_penalized(r))
        FV_TRY(fv_tensor_take(arena, FV_F32, 2, r->logits.all.dim, &r->changed));
    return fv_head_take(r->model, p->n_draws, r->settings->n_excluded, arena, &r->head);
}

fv_err fv_pass_bytes(fv_rollout *r, size_t *bytes)
{
    fv_arena dry = fv_arena_dry(r->text_work.name);
    const fv_pass *p = &r->pass;
    int64_t n = r->settings->pass_tokens;
    r->pass.n_draws = r->settings->max_running;
    r->pass.n_features = fv_model_shape_of(r->model)->vision.depth > 0 ? n : 0;
    r->run = (fv_token_run){.n = n,
                            .slots = p->slots,
                            .n_segments = max_nodes(r),
                            .n_spans = max_spans(r),
                            .n_features = p->n_features};
    FV_TRY(take(r, &dry));
    *bytes = dry.peak;
    return FV_OK;
}

static fv_err gather_features(fv_rollout *r)
{
    int64_t first = 0;
    for (int64_t i = 0; i < r->pass.n_pieces; i++) {
        fv_tensor piece = r->pass.pieces[i];
        FV_TRY(fv_copy(r->backend, &(fv_copy_args){.in = piece,
                                                   .out = fv_tensor_rows(r->features, first, piece.dim[0])}));
        first += piece.dim[0];
    }
    return FV_OK;
}

static fv_err forward(fv_rollout *r, fv_tensor *hidden)
{
    fv_pass *p = &r->pass;
    for (int64_t i = 0; i < p->n; i++)
        for (int64_t axis = 0; axis < 3; axis++)
            p->positions[axis * p->n + i] = p->by_token[3 * i + axis];
    r->run = (fv_token_run){.n = p->n,
                            .ids = p->ids,
                            .positions = p->positions,
                            .segments = p->segments,
                            .spans = p->spans,
                            .slots = p->slots,
                            .n_segments = p->n_segments,
                            .n_spans = p->n_spans,
                            .n_features = p->n_features};
    FV_TRY(fv_workspace_fit(&r->text_work, r->backend, take, r));
    FV_TRY(gather_features(r));
    return fv_text_forward(r->text, &r->run, r->features, &r->cache.store, hidden);
}

/* Draws [first, first + n) from the logits, or from what a penalty made of them. */
static fv_err sample(fv_rollout *r, int64_t first, int64_t n, float temperature)
{
    const fv_rollout_settings *s = r->settings;
    fv_tensor logits = fv_pass_is_penalized(r) ? r->changed : r->logits.all;
    if (n == 0)
        return FV_OK;
    return fv_sample(r->backend, &(fv_sample_args){.logits = fv_tensor_rows(logits, first, n),
                                                   .uniform = fv_tensor_rows(r->uniform, first, n),
                                                   .excluded = r->head.excluded,
                                                   .ids = fv_tensor_rows(r->head.targets, first, n),
                                                   .temperature = temperature,
                                                   .top_p = s->top_p,
                                                   .top_k = s->top_k});
}

static fv_err draw(fv_rollout *r, fv_tensor hidden)
{
    fv_pass *p = &r->pass;
    const fv_rollout_settings *s = r->settings;
    FV_TRY(fv_upload_array(r->backend, r->rows, p->draw_rows));
    FV_TRY(fv_upload_array(r->backend, r->uniform, p->uniforms));
    if (s->n_excluded)
        FV_TRY(fv_upload_array(r->backend, r->head.excluded, s->excluded));
    FV_TRY(fv_gather(r->backend, &(fv_gather_args){.table = hidden, .index = r->rows, .out = r->hidden}));
    FV_TRY(fv_model_logits(r->model, r->hidden, &r->logits));
    if (fv_pass_is_penalized(r))
        FV_TRY(fv_pass_penalize(r));
    FV_TRY(sample(r, 0, p->n_sampled, s->temperature));
    FV_TRY(sample(r, p->n_sampled, p->n_draws - p->n_sampled, 0));
    FV_TRY(fv_head_from_logits(r->model, &r->head, r->logits.all,
                               s->temperature > 0 ? 1.0f / s->temperature : 1.0f));
    FV_TRY(fv_download_now(r->backend, r->head.targets, p->drawn));
    return fv_download_now(r->backend, r->head.logprob, p->logprobs);
}

fv_err fv_pass_compute(fv_rollout *r)
{
    fv_tensor hidden;
    FV_TRY(forward(r, &hidden));
    r->stats.n_passes++;
    r->stats.computed_tokens += r->pass.n;
    r->stats.generated_tokens += r->pass.n_draws;
    return r->pass.n_draws ? draw(r, hidden) : FV_OK;
}
