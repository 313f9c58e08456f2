#include "fovea/reward/judge/judge_program.h"

#include "fovea/base/process/child.h"
#include "fovea/base/clock.h"
#include "fovea/io/json.h"
#include "fovea/reward/truths.h"

#include <stdlib.h>

typedef struct pending_case {
    fv_case asked;
    fv_waiter waiter;
    int64_t id;
    int n_tries;
    double sent_s;
    struct pending_case *next;
} pending_case;

typedef struct program {
    fv_judge_program_settings settings;
    fv_child *child; /* NULL: not running */
    pending_case *fresh, **end;
    pending_case *away; /* with the program */
    int n_away, n_starts;
    int64_t n_ids;
} program;

/* Sending. */

static fv_err set_text(fv_json *object, const char *key, fv_slice text)
{
    return fv_json_set(object, key, fv_json_make_string(text.data ? text.data : "", text.size));
}

static fv_err write_case(const pending_case *e, fv_json *object)
{
    FV_TRY(fv_json_set(object, "id", fv_json_make_integer(e->id)));
    FV_TRY(set_text(object, "question", e->asked.question));
    FV_TRY(set_text(object, "answer", e->asked.answer));
    fv_json *truth;
    FV_TRY(fv_truths_to_json(e->asked.truth, &truth));
    return fv_json_set(object, "truth", truth);
}

static fv_err say(fv_child *child, const pending_case *e)
{
    fv_buffer line = {0};
    fv_json *object = fv_json_make_object();
    fv_err err = FV_OK;
    FV_CHECK_DONE(object, FV_ERR_MEMORY, "cannot allocate a case for a judge");
    FV_TRY_DONE(write_case(e, object));
    FV_TRY_DONE(fv_json_print(object, 0, &line));
    FV_TRY_DONE(fv_child_say(child, (fv_slice){line.data, line.size}));
done:
    fv_json_destroy(object);
    fv_buffer_fini(&line);
    return err;
}

static fv_err start(program *p)
{
    FV_CHECK(p->n_starts < p->settings.tries, FV_ERR_IO,
             "the judge \"%s\" was started %d times and gave no verdict", p->settings.command, p->n_starts);
    p->n_starts++;
    return fv_child_start(p->settings.command, &p->child);
}

static fv_err send_all(fv_judge *judge)
{
    program *p = judge->state;
    while (p->fresh && p->n_away < p->settings.in_flight) {
        pending_case *e = p->fresh;
        if (!p->child)
            FV_TRY(start(p));
        FV_TRY(say(p->child, e));
        if (!(p->fresh = e->next))
            p->end = &p->fresh;
        e->sent_s = fv_clock_now();
        e->next = p->away;
        p->away = e;
        p->n_away++;
        judge->counts.n_tries++;
    }
    return FV_OK;
}

/* Hearing. */

static fv_err conclude(fv_judge *judge, pending_case *e, fv_verdict verdict)
{
    fv_waiter waiter = e->waiter;
    judge->counts.n_asked++;
    judge->counts.latency_s += fv_clock_now() - e->sent_s;
    free(e);
    return fv_judge_give(judge, waiter, verdict);
}

static pending_case *take_away(program *p, int64_t id)
{
    for (pending_case **at = &p->away; *at; at = &(*at)->next)
        if ((*at)->id == id) {
            pending_case *e = *at;
            *at = e->next;
            p->n_away--;
            return e;
        }
    return NULL;
}

/* 0 if the object is no verdict. */
static int read_verdict(const fv_json *object, int64_t *id, fv_verdict *out)
{
    const fv_json *number = fv_json_get(object, "id"), *score = fv_json_get(object, "score");
    double value = -1;
    if (!number || !score || fv_json_to_integer(number, "id", id) != FV_OK)
        return 0;
    *out = fv_verdict_none(FV_UNJUDGED_UNCLEAR);
    if (fv_json_kind_of(score) == FV_JSON_NULL)
        return 1;
    if (fv_json_to_real(score, "score", &value) != FV_OK || value < 0 || value > 1)
        return 0;
    *out = fv_verdict_given(value);
    return 1;
}

/* *is_sound 0: the line is none of the protocol. */
static fv_err hear_line(fv_judge *judge, fv_slice line, int *is_sound)
{
    program *p = judge->state;
    fv_json *object;
    fv_verdict verdict;
    int64_t id = 0;
    *is_sound = 0;
    if (fv_json_parse(line.data, line.size, "a judge's line", &object) != FV_OK)
        return FV_OK;
    pending_case *e = read_verdict(object, &id, &verdict) ? take_away(p, id) : NULL;
    fv_json_destroy(object);
    if (!e)
        return FV_OK;
    *is_sound = 1;
    p->n_starts = 0;
    return conclude(judge, e, verdict);
}

static fv_err hear_all(fv_judge *judge, int *is_sound)
{
    program *p = judge->state;
    fv_slice line;
    for (int is_there = 0;;) {
        *is_sound = fv_child_hear(p->child, &line, &is_there) == FV_OK;
        if (*is_sound && is_there)
            FV_TRY(hear_line(judge, line, is_sound));
        if (!*is_sound || !is_there)
            return FV_OK;
    }
}

/* Starting again. */

static int is_any_late(const program *p)
{
    double now = fv_clock_now();
    for (const pending_case *e = p->away; e; e = e->next)
        if (now > e->sent_s + p->settings.deadline_s)
            return 1;
    return 0;
}

/* End the program; what it has not answered goes to the next one, or has no verdict. */
static fv_err restart(fv_judge *judge, fv_unjudged why)
{
    program *p = judge->state;
    fv_child_destroy(p->child);
    p->child = NULL;
    while (p->away) {
        pending_case *e = take_away(p, p->away->id);
        if (++e->n_tries >= p->settings.tries) {
            FV_TRY(conclude(judge, e, fv_verdict_none(why)));
            continue;
        }
        e->next = p->fresh; /* the newest is taken first, so the oldest comes to stand first */
        p->fresh = e;
        if (!e->next)
            p->end = &e->next;
    }
    return FV_OK;
}

static fv_err poll(fv_judge *judge, double wait_s)
{
    program *p = judge->state;
    int is_sound;
    FV_TRY(send_all(judge));
    if (!p->child)
        return FV_OK;
    FV_TRY(fv_child_move(p->child, wait_s));
    FV_TRY(hear_all(judge, &is_sound));
    if (!is_sound)
        return restart(judge, FV_UNJUDGED_GARBLED);
    if (fv_child_is_gone(p->child))
        return restart(judge, FV_UNJUDGED_UNREACHABLE);
    return is_any_late(p) ? restart(judge, FV_UNJUDGED_LATE) : FV_OK;
}

/* The table. */

static fv_err submit(fv_judge *judge, const fv_case *asked, fv_waiter waiter)
{
    program *p = judge->state;
    pending_case *e = malloc(sizeof *e);
    FV_CHECK(e, FV_ERR_MEMORY, "cannot allocate a case for a judge");
    *e = (pending_case){.asked = *asked, .waiter = waiter, .id = ++p->n_ids};
    *p->end = e;
    p->end = &e->next;
    return FV_OK;
}

static void release(pending_case *e)
{
    for (pending_case *next; e; e = next) {
        next = e->next;
        free(e);
    }
}

static void destroy(fv_judge *judge)
{
    program *p = judge->state;
    fv_child_destroy(p->child);
    release(p->fresh);
    release(p->away);
    free(p);
}

static const fv_judge_table program_table = {
    .name = "program", .submit = submit, .poll = poll, .destroy = destroy};

fv_err fv_judge_program_create(const fv_judge_program_settings *settings, fv_judge **out)
{
    program *p = calloc(1, sizeof *p);
    FV_CHECK(p, FV_ERR_MEMORY, "cannot allocate a judge");
    p->settings = *settings;
    p->end = &p->fresh;
    return fv_judge_create(&program_table, p, NULL, out);
}
