/* A pass being put together: who has which rows, and what is wanted of them. */
#include "engine/engine_internal.h"

#include <stdlib.h>
#include <string.h>

/* Memory. */

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

fv_err fv_pass_plan_init(fv_engine *engine)
{
    fv_pass_plan *p = &engine->pass;
    int64_t tokens = engine->settings.pass_tokens, running = engine->settings.max_running;
    int64_t sequences = engine->n_sequences, spans = sequences * engine->table.width;
    int64_t looks = running * FV_MAX_CHOICES;
    *p = (fv_pass_plan){.ids = array(tokens, sizeof *p->ids),
                        .slots = array(tokens, sizeof *p->slots),
                        .positions = array(3 * tokens, sizeof *p->positions),
                        .by_axis = array(3 * tokens, sizeof *p->by_axis),
                        .feature_rows = array(tokens, sizeof *p->feature_rows),
                        .segments = array(sequences * FV_SEGMENT_FIELDS, sizeof *p->segments),
                        .spans = array(spans * FV_SPAN_FIELDS, sizeof *p->spans),
                        .copies = array(sequences, sizeof *p->copies),
                        .awaited = array(running, sizeof *p->awaited),
                        .before = array(running, sizeof *p->before),
                        .rows = array(looks, sizeof *p->rows),
                        .targets = array(looks, sizeof *p->targets),
                        .keys = array(looks * FV_DRAW_FIELDS, sizeof *p->keys),
                        .inv_temperatures = array(looks, sizeof *p->inv_temperatures),
                        .top_k = array(looks, sizeof *p->top_k),
                        .top_p = array(looks, sizeof *p->top_p)};
    int is_there = p->ids && p->slots && p->positions && p->by_axis && p->feature_rows && p->segments &&
                   p->spans && p->copies && p->awaited && p->before && p->rows && p->targets && p->keys &&
                   p->inv_temperatures && p->top_k && p->top_p;
    FV_CHECK(is_there, FV_ERR_MEMORY, "cannot allocate a pass of %lld tokens", (long long)tokens);
    return allocate_filters(engine);
}

void fv_pass_plan_fini(fv_engine *engine)
{
    fv_pass_plan *p = &engine->pass;
    void *const arrays[] = {p->ids,      p->slots,   p->positions, p->by_axis,          p->feature_rows,
                            p->segments, p->spans,   p->copies,    p->awaited,          p->before,
                            p->rows,     p->targets, p->keys,      p->inv_temperatures, p->top_k,
                            p->top_p,    p->changed, p->is_seen};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        free(arrays[i]);
    *p = (fv_pass_plan){0};
}

/* Rows. */

void fv_pass_clear(fv_engine *engine)
{
    fv_pass_plan *p = &engine->pass;
    p->number++;
    p->is_decode = p->is_filtered = p->has_penalty = 0;
    p->n = p->n_segments = p->n_spans = p->n_features = p->n_unknown = 0;
    p->n_copies = 0;
    p->n_awaited = p->n_looks = 0;
    for (int i = 0; i < engine->settings.max_running; i++)
        p->before[i] = -1;
}

void fv_pass_add_segment(fv_engine *engine, const fv_sequence *s, int64_t n)
{
    fv_pass_plan *p = &engine->pass;
    int64_t n_keys = fv_sequence_rows(s);
    int64_t n_spans = fv_page_table_spans(&engine->table, s->slot, p->spans + FV_SPAN_FIELDS * p->n_spans);
    const int32_t segment[FV_SEGMENT_FIELDS] = {(int32_t)p->n,       (int32_t)n,       (int32_t)(n_keys - n),
                                                (int32_t)p->n_spans, (int32_t)n_spans, (int32_t)n_keys};
    memcpy(p->segments + FV_SEGMENT_FIELDS * p->n_segments++, segment, sizeof segment);
    p->n_spans += n_spans;
}

void fv_pass_add_token(fv_engine *engine, const fv_sequence *s, int64_t i)
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

void fv_pass_add_unknown(fv_engine *engine, const fv_sequence *s)
{
    fv_pass_plan *p = &engine->pass;
    p->n_unknown++;
    p->before[s->draw] = (int32_t)p->n;
    p->ids[p->n] = 0; /* until it is put there */
    for (int axis = 0; axis < 3; axis++)
        p->positions[3 * p->n + axis] = s->next;
    p->slots[p->n] = fv_page_table_row(&engine->table, s->slot, s->n);
    p->n++;
}

/* What is wanted. */

static void add_look(fv_pass_plan *p, int32_t target, float inv_temperature)
{
    p->rows[p->n_looks] = (int32_t)p->n - 1;
    p->targets[p->n_looks] = target;
    p->inv_temperatures[p->n_looks++] = inv_temperature;
}

static void add_draw(fv_pass_plan *p, const fv_sequence *s, int64_t n)
{
    const fv_sampling *sampling = &s->sampling;
    int64_t place = n - (s->start < 0 ? s->n : s->start);
    int32_t *draw = p->keys + p->n_looks * FV_DRAW_FIELDS;
    fv_rng_words(sampling->key, (uint32_t)place, (uint32_t *)draw);
    draw[FV_DRAW_FIELDS - 1] = sampling->temperature > 0;
    p->top_k[p->n_looks] = sampling->top_k;
    p->top_p[p->n_looks] = sampling->top_p;
    p->is_filtered |= fv_sampling_is_filtered(sampling);
    p->has_penalty |= sampling->repetition_penalty != 1;
    add_look(p, 0, sampling->temperature > 0 ? 1.0f / sampling->temperature : 1.0f);
}

void fv_pass_add_want(fv_engine *engine, fv_sequence *s, int64_t n)
{
    fv_pass_plan *p = &engine->pass;
    p->awaited[p->n_awaited++] = (fv_awaited){s, s->life, n, p->n_looks, s->ahead > 0};
    if (s->owner.generated)
        add_draw(p, s, n);
    else
        for (int i = 0; i < s->n_choices; i++)
            add_look(p, s->choices[i], 1);
}

/* Decoding. */

static int is_decode(const fv_engine *engine)
{
    const fv_pass_plan *p = &engine->pass;
    int is_it = engine->is_recording && p->n_segments == p->n && p->n_looks == p->n && p->n_features == 0 &&
                !p->has_penalty;
    for (int64_t i = 0; is_it && i < p->n; i++)
        is_it = p->rows[i] == i;
    return is_it;
}

/* A draw that nobody looks at. */
static void add_idle_draw(fv_pass_plan *p, int64_t i)
{
    memset(p->keys + FV_DRAW_FIELDS * i, 0, FV_DRAW_FIELDS * sizeof *p->keys);
    p->rows[i] = 0;
    p->inv_temperatures[i] = 1;
    p->top_k[i] = 0;
    p->top_p[i] = 1;
}

/* A row that is nobody's: its key is that of some row, and it is written nowhere. */
static void add_padding(fv_pass_plan *p, int64_t i, int64_t span)
{
    const int32_t segment[FV_SEGMENT_FIELDS] = {(int32_t)i, 1, 0, (int32_t)span, 1, 1};
    memcpy(p->segments + FV_SEGMENT_FIELDS * i, segment, sizeof segment);
    memset(p->positions + 3 * i, 0, 3 * sizeof *p->positions);
    p->ids[i] = 0;
    p->slots[i] = -1;
}

/* One, two, four, eight, and from there on two in each doubling, or four, where a row costs as much as it
 * computes. */
int fv_bucket_of(int64_t n, int64_t most, int64_t *size)
{
    int i = 0;
    for (int64_t octave = *size = 1; *size < n; i++) {
        *size += octave < 16 ? octave : octave < 256 ? octave / 2 : octave / 4;
        octave = *size < 2 * octave ? octave : 2 * octave;
    }
    *size = *size < most ? *size : most;
    return i;
}

static void pad_rows(fv_engine *engine, int64_t size)
{
    fv_pass_plan *p = &engine->pass;
    int64_t span = p->n_spans;
    if (p->n == size)
        return;
    p->spans[FV_SPAN_FIELDS * span] = 0;
    p->spans[FV_SPAN_FIELDS * span + 1] = 1;
    p->n_spans++;
    for (int64_t i = p->n; i < size; i++)
        add_padding(p, i, span);
    p->size = p->n_segments = size;
}

/* Draws are as many as in some recorded pass, so that the head's products are of few shapes, whose algorithms
 * are those that decoding wants. */
static void pad(fv_engine *engine)
{
    fv_pass_plan *p = &engine->pass;
    int64_t size;
    p->bucket = fv_bucket_of(p->n_looks, engine->settings.max_running, &size);
    for (; p->n_looks < size; p->n_looks++)
        add_idle_draw(p, p->n_looks);
    if (p->is_decode)
        pad_rows(engine, size);
}

void fv_pass_close(fv_engine *engine)
{
    fv_pass_plan *p = &engine->pass;
    p->size = p->n;
    p->is_decode = is_decode(engine);
    if (engine->is_recording && p->n_looks > 0)
        pad(engine);
    for (int64_t i = 0; i < p->size; i++)
        for (int64_t axis = 0; axis < 3; axis++)
            p->by_axis[axis * p->size + i] = p->positions[3 * i + axis];
}
