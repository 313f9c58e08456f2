#include "engine/examiner_internal.h"

#include "fovea/ops/staging.h"

#include <stdlib.h>
#include <string.h>

static void *array(int64_t n, size_t element)
{
    return malloc((size_t)n * element);
}

fv_err fv_exam_pass_init(fv_examiner *x)
{
    const fv_examiner_settings *s = &x->settings;
    int64_t tokens = s->pass_tokens, running = s->max_running;
    int64_t spans = running * fv_pages_for(s->n_beginning) + s->cache_pages;
    fv_exam_pass *p = &x->pass;
    *p = (fv_exam_pass){.ids = array(tokens, sizeof *p->ids),
                        .slots = array(tokens, sizeof *p->slots),
                        .positions = array(tokens, sizeof *p->positions),
                        .by_axis = array(3 * tokens, sizeof *p->by_axis),
                        .segments = array(running * FV_SEGMENT_FIELDS, sizeof *p->segments),
                        .spans = array(spans * FV_SPAN_FIELDS, sizeof *p->spans),
                        .ends = array(running, sizeof *p->ends),
                        .rows = array(running * FV_N_CHOICES, sizeof *p->rows),
                        .targets = array(running * FV_N_CHOICES, sizeof *p->targets),
                        .logprobs = array(running * FV_N_CHOICES, sizeof *p->logprobs)};
    int is_there = p->ids && p->slots && p->positions && p->by_axis && p->segments && p->spans && p->ends &&
                   p->rows && p->targets && p->logprobs;
    FV_CHECK(is_there, FV_ERR_MEMORY, "cannot allocate a pass of %lld tokens", (long long)tokens);
    return FV_OK;
}

void fv_exam_pass_fini(fv_exam_pass *p)
{
    void *const arrays[] = {p->ids,   p->slots, p->positions, p->by_axis, p->segments,
                            p->spans, p->ends,  p->rows,      p->targets, p->logprobs};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        free(arrays[i]);
    *p = (fv_exam_pass){0};
}

/* Planning. */

/* n tokens, whose keys go to rows and which see n_before rows of the beginning first. */
static fv_err add_tokens(fv_examiner *x, const int32_t *ids, int64_t n, int64_t n_before, fv_page_list *rows)
{
    fv_exam_pass *p = &x->pass;
    int64_t past = n_before + rows->n_rows, first = p->n_spans;
    FV_TRY(fv_pages_extend(&x->cache.pool, rows, n, p->slots + p->n));
    if (n_before > 0)
        p->n_spans += fv_pages_spans(&x->beginning, p->spans + FV_SPAN_FIELDS * p->n_spans);
    p->n_spans += fv_pages_spans(rows, p->spans + FV_SPAN_FIELDS * p->n_spans);
    const int32_t segment[FV_SEGMENT_FIELDS] = {
        (int32_t)p->n,      (int32_t)n, (int32_t)past, (int32_t)first, (int32_t)(p->n_spans - first),
        (int32_t)(past + n)};
    memcpy(p->segments + FV_SEGMENT_FIELDS * p->n_segments++, segment, sizeof segment);
    memcpy(p->ids + p->n, ids, (size_t)n * sizeof *ids);
    for (int64_t i = 0; i < n; i++)
        p->positions[p->n + i] = (int32_t)(past + i);
    p->n += n;
    return FV_OK;
}

static void clear(fv_exam_pass *p)
{
    p->n = p->n_segments = p->n_spans = p->n_ends = p->n_rows = 0;
}

/* The last token of the question is the last of the pass so far: what follows it is looked at. */
static void add_end(fv_examiner *x, fv_question *q)
{
    fv_exam_pass *p = &x->pass;
    int n = x->settings.max_drawn > 0 ? 1 : FV_N_CHOICES;
    p->ends[p->n_ends++] = q;
    for (int i = 0; i < n; i++) {
        p->rows[p->n_rows] = (int32_t)p->n - 1;
        p->targets[p->n_rows++] = x->settings.choices[i];
    }
}

static fv_err plan(fv_examiner *x)
{
    fv_exam_pass *p = &x->pass;
    fv_question *q = x->first;
    clear(p);
    for (int i = 0; i < x->n_running && p->n < x->settings.pass_tokens; i++, q = q->next) {
        int64_t left = (int64_t)q->ids.n - q->rows.n_rows, room = x->settings.pass_tokens - p->n;
        FV_TRY(add_tokens(x, q->ids.ids + q->rows.n_rows, left < room ? left : room, x->beginning.n_rows,
                          &q->rows));
        if (left <= room)
            add_end(x, q);
    }
    return FV_OK;
}

/* Computing. */

static fv_err take(void *context, fv_arena *arena)
{
    fv_examiner *x = context;
    int64_t n = x->pass.n_rows, hidden = fv_model_shape_of(x->model)->text.hidden;
    FV_TRY(fv_text_take(x->text, &x->run, FV_SAVE_NONE, arena));
    if (n == 0)
        return FV_OK;
    FV_TRY(fv_tensor_take(arena, FV_I32, 1, &n, &x->rows));
    FV_TRY(fv_tensor_take(arena, FV_F32, 2, (int64_t[]){n, hidden}, &x->hidden));
    FV_TRY(fv_head_take(x->model, n, 0, arena, &x->head));
    if (x->settings.max_drawn == 0)
        return FV_OK;
    FV_TRY(fv_tensor_take(arena, FV_F32, 1, &n, &x->uniform));
    return fv_logits_take(x->model, n, arena, &x->logits);
}

static fv_err forward(fv_examiner *x, fv_tensor *hidden)
{
    fv_exam_pass *p = &x->pass;
    for (int axis = 0; axis < 3; axis++)
        memcpy(p->by_axis + axis * p->n, p->positions, (size_t)p->n * sizeof *p->positions);
    x->run = (fv_token_run){.n = p->n,
                            .ids = p->ids,
                            .positions = p->by_axis,
                            .segments = p->segments,
                            .spans = p->spans,
                            .slots = p->slots,
                            .n_segments = p->n_segments,
                            .n_spans = p->n_spans};
    FV_TRY(fv_workspace_fit(&x->work, x->backend, take, x));
    return fv_text_forward(x->text, &x->run, (fv_tensor){0}, &x->cache.store, hidden);
}

fv_err fv_exam_begin(fv_examiner *x)
{
    fv_tensor hidden;
    for (int64_t left; (left = x->settings.n_beginning - x->beginning.n_rows) > 0;) {
        int64_t n = left < x->settings.pass_tokens ? left : x->settings.pass_tokens;
        clear(&x->pass);
        FV_TRY(add_tokens(x, x->settings.beginning + x->beginning.n_rows, n, 0, &x->beginning));
        FV_TRY(forward(x, &hidden));
    }
    return FV_OK;
}

static fv_err choose(fv_examiner *x)
{
    FV_TRY(fv_head_forward(x->model, &x->head, x->hidden, x->pass.targets, NULL, 1));
    return fv_download_now(x->backend, x->head.logprob, x->pass.logprobs);
}

static fv_err draw(fv_examiner *x)
{
    FV_TRY(fv_model_logits(x->model, x->hidden, &x->logits));
    memset(x->pass.logprobs, 0, (size_t)x->pass.n_rows * sizeof *x->pass.logprobs);
    FV_TRY(fv_upload_array(x->backend, x->uniform, x->pass.logprobs)); /* a greedy draw needs no chance */
    FV_TRY(fv_sample(
        x->backend, &(fv_sample_args){
                        .logits = x->logits.all, .uniform = x->uniform, .ids = x->head.targets, .top_p = 1}));
    return fv_download_now(x->backend, x->head.targets, x->pass.targets);
}

fv_err fv_exam_compute(fv_examiner *x)
{
    fv_tensor hidden;
    FV_TRY(plan(x));
    FV_TRY(forward(x, &hidden));
    if (x->pass.n_rows == 0)
        return FV_OK;
    FV_TRY(fv_upload_array(x->backend, x->rows, x->pass.rows));
    FV_TRY(fv_gather(x->backend, &(fv_gather_args){.table = hidden, .index = x->rows, .out = x->hidden}));
    return x->settings.max_drawn > 0 ? draw(x) : choose(x);
}
