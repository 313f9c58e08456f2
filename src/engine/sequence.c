/* Sequences: memory of fixed size that is handed out by slots, and a list of the open ones by age. */
#include "engine/engine_internal.h"

#include <stdlib.h>
#include <string.h>

/* Memory. */

static void init_slot(fv_engine *engine, int slot)
{
    int64_t tokens = engine->settings.max_tokens;
    engine->sequences[slot] = (fv_sequence){.engine = engine,
                                            .slot = slot,
                                            .ids = engine->ids + slot * tokens,
                                            .positions = engine->positions + 3 * slot * tokens,
                                            .shown = engine->shown + slot * engine->settings.max_images};
}

fv_err fv_sequences_init(fv_engine *engine)
{
    size_t n = (size_t)engine->n_sequences, tokens = (size_t)engine->settings.max_tokens;
    FV_TRY(fv_page_table_init(&engine->table, engine->settings.cache_pages, engine->n_sequences,
                              engine->settings.max_tokens));
    engine->sequences = calloc(n, sizeof *engine->sequences);
    engine->ids = malloc(n * tokens * sizeof *engine->ids);
    engine->positions = malloc(3 * n * tokens * sizeof *engine->positions);
    engine->shown = malloc(n * (size_t)engine->settings.max_images * sizeof *engine->shown + 1);
    engine->scratch = malloc(3 * tokens * sizeof *engine->scratch);
    engine->grids = malloc((size_t)engine->settings.max_images * sizeof *engine->grids + 1);
    int is_there = engine->sequences && engine->ids && engine->positions && engine->shown &&
                   engine->scratch && engine->grids;
    FV_CHECK(is_there, FV_ERR_MEMORY, "cannot allocate %zu sequences of %zu tokens", n, tokens);
    for (int slot = 0; slot < engine->n_sequences; slot++)
        init_slot(engine, slot);
    return FV_OK;
}

void fv_sequences_fini(fv_engine *engine)
{
    free(engine->sequences);
    free(engine->ids);
    free(engine->positions);
    free(engine->shown);
    free(engine->scratch);
    free(engine->grids);
    fv_page_table_fini(&engine->table);
}

/* Rows. */

int64_t fv_sequence_rows(const fv_sequence *sequence)
{
    return sequence->engine->table.n_rows[sequence->slot];
}

void fv_sequence_evict(fv_sequence *sequence)
{
    fv_page_table_release(&sequence->engine->table, sequence->slot);
    sequence->n_computed = 0;
}

const fv_sequence *fv_sequence_with(const fv_sequence *sequence, int64_t i)
{
    while (i < sequence->first)
        sequence = sequence->parent;
    return sequence;
}

/* Life. */

static int wants(const fv_sequence_owner *owner)
{
    return owner->generated || owner->chosen;
}

static fv_err check(const fv_engine *engine, const fv_sequence_args *args)
{
    FV_CHECK(args->n_choices >= 0 && args->n_choices <= FV_MAX_CHOICES, FV_ERR_ARGUMENT,
             "%d choices; expected at most %d", args->n_choices, FV_MAX_CHOICES);
    FV_CHECK(engine->settings.is_choosing ? !args->owner.generated : !args->owner.chosen, FV_ERR_ARGUMENT,
             "an engine's sequences either generate or choose");
    if (!args->owner.generated)
        return FV_OK;
    FV_TRY(fv_sampling_check(&args->sampling));
    FV_CHECK(engine->settings.has_filters || !fv_sampling_is_filtered(&args->sampling), FV_ERR_ARGUMENT,
             "top_k %d, top_p %g and a repetition penalty of %g in an engine without filters",
             args->sampling.top_k, args->sampling.top_p, args->sampling.repetition_penalty);
    return FV_OK;
}

static void link_youngest(fv_engine *engine, fv_sequence *s)
{
    s->older = engine->youngest;
    if (engine->youngest)
        engine->youngest->younger = s;
    else
        engine->oldest = s;
    engine->youngest = s;
}

static void unlink_it(fv_engine *engine, fv_sequence *s)
{
    if (s->older)
        s->older->younger = s->younger;
    else
        engine->oldest = s->younger;
    if (s->younger)
        s->younger->older = s->older;
    else
        engine->youngest = s->older;
}

fv_err fv_sequence_open(fv_engine *engine, const fv_sequence_args *args, fv_sequence **out)
{
    int slot = 0, is_wanting = wants(&args->owner), n_idle = engine->n_open - engine->n_wanting;
    FV_TRY(check(engine, args));
    FV_CHECK((is_wanting ? engine->n_wanting : n_idle) < engine->settings.max_running, FV_BUSY,
             "%d sequences are open", engine->settings.max_running);
    while (engine->sequences[slot].is_open)
        slot++;
    fv_sequence *s = &engine->sequences[slot];
    init_slot(engine, slot);
    s->is_open = 1;
    s->life = ++engine->n_lives;
    s->is_running = is_wanting;
    s->owner = args->owner;
    s->sampling = args->sampling;
    s->n_choices = args->n_choices;
    memcpy(s->choices, args->choices, sizeof s->choices);
    s->parent = args->parent;
    s->start = -1;
    if (s->parent) {
        s->first = s->start = s->n = s->parent->n;
        s->next = s->parent->next;
        s->parent->n_forks++;
    }
    link_youngest(engine, s);
    engine->n_open++;
    engine->n_wanting += is_wanting;
    *out = s;
    return FV_OK;
}

void fv_sequence_end(fv_sequence *sequence)
{
    sequence->is_running = 0;
    fv_sequence_evict(sequence);
}

void fv_sequence_close(fv_sequence *sequence)
{
    fv_engine *engine = sequence->engine;
    fv_sequence_end(sequence);
    unlink_it(engine, sequence);
    engine->n_open--;
    engine->n_wanting -= wants(&sequence->owner);
    if (sequence->parent)
        sequence->parent->n_forks--;
    sequence->is_open = 0;
}

/* Tokens. */

/* Note what shows the images: the i-th run of image tokens the i-th of them. */
static void note_images(fv_sequence *s, const int32_t *ids, int64_t n, fv_engine_image *const *images,
                        int n_images)
{
    const fv_model_shape *shape = fv_model_shape_of(s->engine->model);
    int64_t i = 0;
    for (int k = 0; k < n_images; k++) {
        while (i < n && ids[i] != shape->image_id)
            i++;
        s->shown[s->n_shown++] = (fv_shown){s->n + i, images[k]};
        i += fv_grid_tokens(images[k]->grid, shape->vision.merge);
    }
}

static fv_err check_images(const fv_sequence *s, fv_engine_image *const *images, int n)
{
    const fv_engine *engine = s->engine;
    for (int i = 0; i < n; i++) {
        int64_t tokens = fv_grid_tokens(images[i]->grid, fv_model_shape_of(engine->model)->vision.merge);
        FV_CHECK(tokens <= engine->settings.image_rows, FV_ERR_ARGUMENT,
                 "an image of %lld tokens, and room for %lld", (long long)tokens,
                 (long long)engine->settings.image_rows);
        engine->grids[i] = images[i]->grid;
    }
    return FV_OK;
}

static fv_err check_more(const fv_sequence *s, int64_t n, int n_images)
{
    const fv_engine *engine = s->engine;
    FV_CHECK(n_images == 0 || s->engine->vision, FV_ERR_UNSUPPORTED,
             "this model has no vision tower and takes no images");
    FV_CHECK(s->n + n <= engine->settings.max_tokens && s->n_shown + n_images <= engine->settings.max_images,
             FV_ERR_ARGUMENT, "a sequence of %lld tokens and %d images; expected at most %lld and %d",
             (long long)(s->n + n), s->n_shown + n_images, (long long)engine->settings.max_tokens,
             engine->settings.max_images);
    return FV_OK;
}

fv_err fv_sequence_append(fv_sequence *s, const int32_t *ids, int64_t n, fv_engine_image *const *images,
                          int n_images)
{
    const fv_model_shape *shape = fv_model_shape_of(s->engine->model);
    int64_t at = s->n - s->first;
    if (fv_sequence_rows(s) > s->n) /* of a draw that is not told, and no longer the next token */
        fv_sequence_evict(s);
    FV_TRY(check_more(s, n, n_images));
    FV_TRY(check_images(s, images, n_images));
    FV_TRY(fv_positions_append(shape, ids, n, s->engine->grids, n_images, &s->next, s->engine->scratch, n));
    for (int64_t i = 0; i < n; i++)
        for (int axis = 0; axis < 3; axis++)
            s->positions[3 * (at + i) + axis] = s->engine->scratch[axis * n + i];
    if (n)
        memcpy(s->ids + at, ids, (size_t)n * sizeof *ids);
    note_images(s, ids, n, images, n_images);
    s->n += n;
    return FV_OK;
}

fv_err fv_sequence_push(fv_sequence *s, int32_t id)
{
    int64_t at = s->n - s->first;
    FV_CHECK(s->n < s->engine->settings.max_tokens, FV_ERR_INTERNAL,
             "a sequence that may have %lld tokens goes on", (long long)s->engine->settings.max_tokens);
    if (s->start < 0)
        s->start = s->n;
    s->ids[at] = id;
    for (int axis = 0; axis < 3; axis++)
        s->positions[3 * at + axis] = s->next;
    s->next++;
    s->n++;
    return FV_OK;
}
