/* What the next pass computes.
 *
 * Sequences that want something are looked at from the oldest to the youngest. Each gets one token, and what
 * is left of the pass is given out in the same order: to those that have more to compute, because they are
 * new, were appended to, or have given up their rows. A fork begins with the rows of its parent as soon as an
 * earlier pass has computed them; until then the parent is computed in its place, so nothing is computed for
 * forks that have ended. The first token of forks is drawn from the parent's last row, in the pass that
 * computes it.
 *
 * A sequence without a free page takes those of the youngest, and at last those of its own parent, whose rows
 * it names itself. So the oldest always goes on, and a sequence that fits into the cache comes to its end. */
#include "engine/engine_internal.h"

#include <stdlib.h>
#include <string.h>

static void *array(int64_t n, size_t element)
{
    return malloc((size_t)n * element + 1);
}

static fv_err allocate_filters(fv_engine *engine)
{
    fv_pass_plan *p = &engine->pass;
    size_t vocab = (size_t)fv_model_shape_of(engine->model)->text.vocab;
    if (!engine->settings.has_filters)
        return FV_OK;
    p->changed = array(engine->settings.max_running, vocab * sizeof *p->changed);
    p->is_seen = calloc(vocab, 1);
    FV_CHECK(p->changed && p->is_seen, FV_ERR_MEMORY, "cannot allocate the logits of %d draws",
             engine->settings.max_running);
    return FV_OK;
}

fv_err fv_schedule_init(fv_engine *engine)
{
    fv_pass_plan *p = &engine->pass;
    int64_t tokens = engine->settings.pass_tokens, running = engine->settings.max_running;
    int64_t sequences = engine->n_sequences, spans = sequences * engine->table.width;
    int64_t choices = running * FV_MAX_CHOICES;
    *p = (fv_pass_plan){.ids = array(tokens, sizeof *p->ids),
                        .slots = array(tokens, sizeof *p->slots),
                        .positions = array(3 * tokens, sizeof *p->positions),
                        .by_axis = array(3 * tokens, sizeof *p->by_axis),
                        .feature_rows = array(tokens, sizeof *p->feature_rows),
                        .segments = array(sequences * FV_SEGMENT_FIELDS, sizeof *p->segments),
                        .spans = array(spans * FV_SPAN_FIELDS, sizeof *p->spans),
                        .copies = array(sequences, sizeof *p->copies),
                        .draws = array(running, sizeof *p->draws),
                        .choosing = array(running, sizeof *p->choosing),
                        .rows = array(running + choices, sizeof *p->rows),
                        .draw_rows = array(running, sizeof *p->draw_rows),
                        .choice_rows = array(choices, sizeof *p->choice_rows),
                        .drawn = array(running, sizeof *p->drawn),
                        .choices = array(choices, sizeof *p->choices),
                        .keys = array(running * FV_DRAW_FIELDS, sizeof *p->keys),
                        .inv_temperatures = array(running, sizeof *p->inv_temperatures),
                        .top_k = array(running, sizeof *p->top_k),
                        .top_p = array(running, sizeof *p->top_p),
                        .logprobs = array(running, sizeof *p->logprobs),
                        .choice_logprobs = array(choices, sizeof *p->choice_logprobs)};
    int is_there = p->ids && p->slots && p->positions && p->by_axis && p->feature_rows && p->segments &&
                   p->spans && p->copies && p->draws && p->choosing && p->rows && p->draw_rows &&
                   p->choice_rows && p->drawn && p->choices && p->keys && p->inv_temperatures && p->top_k &&
                   p->top_p && p->logprobs && p->choice_logprobs;
    FV_CHECK(is_there, FV_ERR_MEMORY, "cannot allocate a pass of %lld tokens", (long long)tokens);
    return allocate_filters(engine);
}

void fv_schedule_fini(fv_engine *engine)
{
    fv_pass_plan *p = &engine->pass;
    void *const arrays[] = {p->ids,
                            p->slots,
                            p->positions,
                            p->by_axis,
                            p->feature_rows,
                            p->segments,
                            p->spans,
                            p->copies,
                            p->draws,
                            p->choosing,
                            p->rows,
                            p->draw_rows,
                            p->choice_rows,
                            p->drawn,
                            p->choices,
                            p->keys,
                            p->inv_temperatures,
                            p->top_k,
                            p->top_p,
                            p->logprobs,
                            p->choice_logprobs,
                            p->changed,
                            p->is_seen};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        free(arrays[i]);
    *p = (fv_pass_plan){0};
}

/* Who computes. */

static int64_t min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* The sequence that computes next for a sequence: itself, or its parent if it has to begin with what the
 * parent has not got yet. */
static fv_sequence *computing_for(fv_sequence *s)
{
    while (s->parent && fv_sequence_rows(s) == 0 && s->parent->n_computed < s->first)
        s = s->parent;
    return s;
}

/* Tokens beyond one for each sequence that computes. */
static int64_t spare_tokens(fv_engine *engine)
{
    int64_t spare = engine->settings.pass_tokens;
    for (fv_sequence *s = engine->oldest; s; s = s->younger) {
        fv_sequence *computing = s->is_running ? computing_for(s) : NULL;
        if (!computing || computing->counted_in == engine->pass.number)
            continue;
        computing->counted_in = engine->pass.number;
        spare--;
    }
    return spare;
}

/* Room. */

/* Whose rows go next so that computing, on behalf of wanting, gets some; NULL if there is nobody. */
static fv_sequence *find_victim(fv_engine *engine, const fv_sequence *computing, const fv_sequence *wanting)
{
    for (fv_sequence *s = engine->youngest; s && s != wanting; s = s->older)
        if (fv_sequence_rows(s) > 0)
            return s;
    for (fv_sequence *s = computing->parent; s; s = s->parent)
        if (fv_sequence_rows(s) > 0 && s->planned_in != engine->pass.number)
            return s;
    return NULL;
}

static int make_room(fv_engine *engine, fv_sequence *computing, const fv_sequence *wanting, int64_t n)
{
    fv_pass_plan *p = &engine->pass;
    fv_page_copy copy;
    while (!fv_page_table_extend(&engine->table, computing->slot, n, &copy)) {
        fv_sequence *victim = find_victim(engine, computing, wanting);
        if (!victim)
            return 0;
        fv_sequence_evict(victim);
        engine->stats.n_evictions++;
    }
    if (copy.n_rows > 0)
        p->copies[p->n_copies++] = copy;
    return 1;
}

/* The parent's rows, which are all there. A fork without a token of its own computes the last one again. */
static void begin_fork(fv_engine *engine, fv_sequence *s)
{
    if (!s->parent || fv_sequence_rows(s) > 0)
        return;
    int64_t n = min(s->first, s->n - 1);
    if (n > 0)
        fv_page_table_share(&engine->table, s->parent->slot, s->slot, n);
    s->n_computed = n;
}

/* The pass. */

static void add_segment(fv_engine *engine, const fv_sequence *s, int64_t n)
{
    fv_pass_plan *p = &engine->pass;
    int64_t n_keys = fv_sequence_rows(s);
    int64_t n_spans = fv_page_table_spans(&engine->table, s->slot, p->spans + FV_SPAN_FIELDS * p->n_spans);
    const int32_t segment[FV_SEGMENT_FIELDS] = {(int32_t)p->n,       (int32_t)n,       (int32_t)(n_keys - n),
                                                (int32_t)p->n_spans, (int32_t)n_spans, (int32_t)n_keys};
    memcpy(p->segments + FV_SEGMENT_FIELDS * p->n_segments++, segment, sizeof segment);
    p->n_spans += n_spans;
}

static void add_token(fv_engine *engine, const fv_sequence *s, int64_t i)
{
    fv_pass_plan *p = &engine->pass;
    const fv_sequence *with = fv_sequence_with(s, i);
    int64_t own = i - with->first, feature = fv_images_row(with, i);
    p->ids[p->n] = with->ids[own];
    memcpy(p->positions + 3 * p->n, with->positions + 3 * own, 3 * sizeof *p->positions);
    p->slots[p->n] = fv_page_table_row(&engine->table, s->slot, i);
    p->n++;
    if (feature >= 0)
        p->feature_rows[p->n_features++] = (int32_t)feature;
}

/* What the sequence wants is told by the last row of the pass so far. */
static void add_end(fv_engine *engine, fv_sequence *s)
{
    fv_pass_plan *p = &engine->pass;
    int32_t row = (int32_t)p->n - 1;
    if (s->owner.generated) {
        p->draw_rows[p->n_draws] = row;
        fv_sample_add(p, s);
        return;
    }
    p->choosing[p->n_choosing++] = s;
    for (int i = 0; i < s->n_choices; i++) {
        p->choice_rows[p->n_choices] = row;
        p->choices[p->n_choices++] = s->choices[i];
    }
}

/* The sequence is computed to its end: that is also where forks without a token of their own begin. */
static void add_ends(fv_engine *engine, fv_sequence *s)
{
    if (s->is_running)
        add_end(engine, s);
    for (fv_sequence *fork = s->n_forks ? s->younger : NULL; fork; fork = fork->younger)
        if (fork->parent == s && fork->is_running && fork->n == s->n && fork->first == s->n)
            add_end(engine, fork);
}

/* computing gets n tokens of the pass if there is room for their features and rows. */
static fv_err add_tokens(fv_engine *engine, fv_sequence *computing, const fv_sequence *wanting, int64_t *n)
{
    int64_t first = fv_sequence_rows(computing);
    FV_TRY(fv_images_need(engine, computing, first, n));
    if (*n == 0 || !make_room(engine, computing, wanting, *n)) {
        *n = 0;
        return FV_OK;
    }
    add_segment(engine, computing, *n);
    for (int64_t i = first; i < first + *n; i++)
        add_token(engine, computing, i);
    if (first + *n == computing->n)
        add_ends(engine, computing);
    return FV_OK;
}

static void clear(fv_pass_plan *p)
{
    p->number++;
    p->n = p->n_segments = p->n_spans = p->n_features = 0;
    p->n_copies = 0;
    p->n_draws = p->n_choosing = p->n_choices = 0;
}

fv_err fv_schedule_pass(fv_engine *engine)
{
    fv_pass_plan *p = &engine->pass;
    clear(p);
    for (fv_sequence *s = engine->oldest; s; s = s->younger)
        s->n_computed = fv_sequence_rows(s);
    int64_t spare = spare_tokens(engine), most = engine->settings.pass_tokens;
    for (fv_sequence *s = engine->oldest; s && p->n < most; s = s->younger) {
        fv_sequence *computing = s->is_running ? computing_for(s) : NULL;
        if (!computing || computing->planned_in == p->number)
            continue;
        computing->planned_in = p->number;
        begin_fork(engine, computing);
        int64_t left = computing->n - fv_sequence_rows(computing);
        int64_t n = min(1 + min(left - 1, spare), most - p->n);
        FV_TRY(add_tokens(engine, computing, s, &n));
        spare -= n > 0 ? n - 1 : 0;
    }
    return FV_OK;
}
