#include "fovea/select.h"

#include "fovea/json.h"

#include <stdlib.h>
#include <string.h>

enum { LOW, FULL, N_VIEWS };
static const char *const view_names[N_VIEWS] = {"low", "full"};

enum { UNJUDGED = -1 };

/* Rows of one call. */
typedef struct selecting {
    const fv_collector *with;
    const fv_selection *what;
    int64_t first;
    int n;
    int64_t asked[FV_SELECT_MOST]; /* rows, as offsets from first, that a view is asked about */
    int n_asked;
    int right[N_VIEWS][FV_SELECT_MOST]; /* right answers, by offset; or UNJUDGED */
    int64_t n_answers, n_unjudged;
    int64_t drawn_tokens;
} selecting;

static uint64_t row_of(const void *context, int64_t place)
{
    const selecting *s = context;
    return (uint64_t)(s->first + s->asked[place - s->first]);
}

static int count_right(selecting *s, const fv_group *group)
{
    int right = 0, n_unjudged = 0;
    for (int i = 0; i < group->n_answers; i++) {
        const fv_reward *reward = &group->answers[i].reward;
        right += reward->has_verdict && reward->accuracy >= 0.5;
        n_unjudged += !reward->has_verdict;
    }
    s->n_answers += group->n_answers;
    s->n_unjudged += n_unjudged;
    return n_unjudged ? UNJUDGED : right;
}

/* The answers to one view of all rows asked. */
static fv_err look(selecting *s, int view)
{
    fv_source source = *s->with->source;
    fv_rollout_settings rollout = *s->with->rollout;
    fv_collector with = *s->with;
    fv_batch begun = {0}, batch;
    fv_collect_stats stats;
    source.first = view == FULL ? FV_FIRST_LARGE : FV_FIRST_SMALL;
    rollout.dialogue.max_rounds = 1;
    rollout.step = (uint32_t)view; /* draws of its own */
    with.source = &source;
    with.rollout = &rollout;
    with.has_greedy = 0;
    with.row_of = row_of;
    with.row_context = s;
    fv_err err = fv_collect(&with, s->first, s->n_asked, &begun, &batch, &stats);
    fv_batch_fini(&begun); /* a stopped selection begins again */
    FV_TRY(err);
    for (int g = 0; g < batch.n; g++)
        s->right[view][batch.groups[g].row - s->first] = count_right(s, &batch.groups[g]);
    s->drawn_tokens += stats.rollout.drawn_tokens;
    fv_batch_fini(&batch);
    return FV_OK;
}

/* Rows of which the large view can still make something. */
static void keep_open(selecting *s)
{
    int n = s->with->n_answers, n_open = 0;
    for (int i = 0; i < s->n; i++) {
        int low = s->right[LOW][i];
        if (low != UNJUDGED && (low == n || n - low >= s->what->gain))
            s->asked[n_open++] = i;
    }
    s->n_asked = n_open;
}

static fv_err check_judged(const selecting *s)
{
    double share = (double)s->n_unjudged / (double)s->n_answers;
    FV_CHECK(share <= s->what->max_unjudged_share, FV_ERR_ARGUMENT,
             "rows %lld to %lld: the judge gave no verdict on %lld of %lld answers, a share of %.3f; "
             "reward.max_unjudged_share is %g",
             (long long)s->first, (long long)s->first + s->n - 1, (long long)s->n_unjudged,
             (long long)s->n_answers, share, s->what->max_unjudged_share);
    return FV_OK;
}

/* Keeping. */

static fv_err set_fields(const selecting *s, int i, int why, fv_json *extra)
{
    const char *name = view_names[why];
    FV_TRY(fv_json_set(extra, "selected", fv_json_make_string(name, strlen(name))));
    FV_TRY(fv_json_set(extra, "answers", fv_json_make_integer(s->with->n_answers)));
    FV_TRY(fv_json_set(extra, "low_right", fv_json_make_integer(s->right[LOW][i])));
    return fv_json_set(extra, "full_right", fv_json_make_integer(s->right[FULL][i]));
}

static fv_err mark(const selecting *s, int i, int why, fv_row *row)
{
    fv_json *extra;
    fv_buffer text = {0};
    FV_TRY(fv_json_parse(row->extra, strlen(row->extra), "extra fields", &extra));
    fv_err err = set_fields(s, i, why, extra);
    if (err == FV_OK)
        err = fv_json_print(extra, 0, &text);
    fv_json_destroy(extra);
    if (err != FV_OK) {
        fv_buffer_fini(&text);
        return err;
    }
    free(row->extra);
    row->extra = text.data;
    return FV_OK;
}

static fv_err append(const selecting *s, int i, int why, fv_dataset_writer *out)
{
    fv_row row;
    FV_TRY(fv_dataset_read(s->with->source->dataset, (uint64_t)(s->first + i), &row));
    fv_err err = mark(s, i, why, &row);
    if (err == FV_OK)
        return fv_dataset_append(out, &row);
    fv_row_fini(&row);
    return err;
}

/* Why row i is kept, or N_VIEWS if it is not. A row that the large view was not asked about has no right
 * answers from it. */
static int reason(const selecting *s, int i)
{
    int low = s->right[LOW][i], full = s->right[FULL][i], n = s->with->n_answers;
    if (low == UNJUDGED || full == UNJUDGED)
        return N_VIEWS;
    if (low == n && full == n)
        return LOW;
    return full - low >= s->what->gain ? FULL : N_VIEWS;
}

static fv_err keep(const selecting *s, fv_dataset_writer *out, fv_selection_counts *counts)
{
    for (int i = 0; i < s->n; i++) {
        int why = reason(s, i);
        counts->rows++;
        if (!fv_rows_has(s->what->rows, (uint64_t)(s->first + i)))
            continue;
        counts->low += why == LOW;
        counts->full += why == FULL;
        counts->unjudged += s->right[LOW][i] == UNJUDGED || s->right[FULL][i] == UNJUDGED;
        if (why != N_VIEWS && out)
            FV_TRY(append(s, i, why, out));
    }
    counts->drawn_tokens += s->drawn_tokens;
    return FV_OK;
}

fv_err fv_select(const fv_collector *with, const fv_selection *what, int64_t first, int n,
                 fv_dataset_writer *out, fv_selection_counts *counts)
{
    selecting s = {.with = with, .what = what, .first = first, .n = n};
    FV_CHECK(what->gain >= 1 && what->gain <= with->n_answers, FV_ERR_ARGUMENT,
             "a gain of %d right answers; expected 1 to %d, the answers to each view", what->gain,
             with->n_answers);
    FV_CHECK(n >= 1 && n <= FV_SELECT_MOST, FV_ERR_ARGUMENT, "%d rows; expected 1 to %d", n, FV_SELECT_MOST);
    for (int i = 0; i < n; i++) {
        s.right[LOW][i] = UNJUDGED;
        if (fv_rows_has(what->rows, (uint64_t)(first + i)))
            s.asked[s.n_asked++] = i;
    }
    if (s.n_asked == 0)
        return fv_comm_agree(with->mesh->world, keep(&s, out, counts));
    FV_TRY(look(&s, LOW));
    keep_open(&s);
    if (s.n_asked)
        FV_TRY(look(&s, FULL));
    FV_TRY(check_judged(&s));
    return fv_comm_agree(with->mesh->world, keep(&s, out, counts));
}
