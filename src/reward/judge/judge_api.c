#include "fovea/reward/judge/judge_api.h"

#include "fovea/base/clock.h"
#include "fovea/base/log.h"
#include "fovea/base/rng.h"
#include "reward/judge/judge_api_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_REPLY_BYTES = 1 << 20, MAX_KINDS = 16 };

static const double longest_pause_s = 30;

/* A case on its way to a verdict. */
typedef struct pending_case {
    fv_judge *judge;
    fv_case asked;
    fv_waiter waiter;
    int n_tries; /* that count against the limit */
    int is_probe;
    fv_api_form form; /* it was last sent in */
    double first_s;   /* when it was first sent; 0: not yet */
    double due_s;     /* not to be sent before */
    fv_unjudged why;  /* of the last try */
    struct pending_case *next;
} pending_case;

/* First in, first out. */
typedef struct queue {
    pending_case *first, **end;
} queue;

typedef struct api {
    fv_judge_api_settings settings;
    fv_judge_prompt *prompt; /* owned */
    fv_api_access access;
    fv_http *http;
    fv_api_form form; /* what the server takes, as far as we have learnt */
    int is_known;     /* it has given a verdict */
    char kinds[MAX_KINDS][sizeof((fv_api_refusal *)0)->kind]; /* of refusals that were told */
    int n_kinds;
    fv_breaker breaker;
    queue fresh;           /* never sent */
    pending_case *resting; /* sent before, in no order: few */
    pending_case **away;   /* owned, (in_flight): with the server, so that they can be let go; NULL: none */
    fv_buffer body;
    uint32_t n_draws;
} api;

/* Verdicts. */

static fv_err conclude(pending_case *e, fv_verdict verdict)
{
    fv_judge *judge = e->judge;
    fv_waiter waiter = e->waiter;
    judge->counts.n_asked++;
    judge->counts.latency_s += e->first_s > 0 ? fv_clock_now() - e->first_s : 0;
    free(e);
    return fv_judge_give(judge, waiter, verdict);
}

/* Full jitter: several ranks that failed at once do not come back at once. */
static double draw_pause(api *a, int n_tries)
{
    const fv_rng_key key = {.seed = (uint64_t)getpid()};
    return ldexp(1, n_tries < 5 ? n_tries : 5) * (double)fv_rng_uniform(key, a->n_draws++);
}

/* Ask again at due_s, unless tries or time are used up. */
static fv_err try_again(api *a, pending_case *e, double due_s)
{
    if (e->n_tries >= a->settings.tries || due_s > e->first_s + a->settings.budget_s)
        return conclude(e, fv_verdict_none(e->why));
    e->due_s = due_s;
    e->next = a->resting;
    a->resting = e;
    return FV_OK;
}

/* Note how the server is, and tell if it went away or came back. */
static void watch(api *a, const pending_case *e, const fv_api_reading *reading, double now)
{
    fv_breaker *breaker = &a->breaker;
    int was_open = breaker->is_open;
    if (reading->act == FV_API_LATER)
        fv_breaker_fail(breaker, now, reading, e->is_probe);
    else
        fv_breaker_succeed(breaker);
    if (breaker->is_open && !was_open)
        FV_LOG_RANK(WARN, "the judge at %s is away (%s): cases wait, one asks now and then",
                    a->access.url.data, fv_unjudged_name(breaker->why));
    if (was_open && !breaker->is_open)
        FV_LOG_RANK(INFO, "the judge at %s is back", a->access.url.data);
}

/* What a server says of its own state, or does not say because it is away, is not the case's failure. */
static int is_try(const api *a, const fv_api_reading *reading)
{
    return reading->verdict.why != FV_UNJUDGED_BUSY && (reading->is_reply || !a->breaker.is_open);
}

/* The first of each kind, since a run has thousands of cases. */
static void tell_refusal(api *a, const fv_api_reading *reading)
{
    const fv_api_refusal *r = &reading->refusal;
    if (r->status == 0 || reading->act == FV_API_REFORM || a->n_kinds == MAX_KINDS)
        return;
    for (int i = 0; i < a->n_kinds; i++)
        if (strcmp(a->kinds[i], r->kind) == 0)
            return;
    strcpy(a->kinds[a->n_kinds++], r->kind);
    FV_LOG_RANK(WARN, "the judge at %s refuses a request (%s, status %d)%s%s; more of this kind are not told",
                a->access.url.data, fv_unjudged_name(reading->verdict.why), r->status,
                r->sentence[0] ? ": " : "", r->sentence);
}

/* Several cases may be on their way in a form when the first of them is refused. */
static fv_err reform(api *a, pending_case *e, const fv_api_reading *reading)
{
    if (fv_api_form_equal(e->form, a->form)) {
        a->form = reading->form;
        FV_LOG_RANK(INFO, "the judge at %s does not take a request as it was; from now on %s (status %d): %s",
                    a->access.url.data, reading->learnt, reading->refusal.status, reading->refusal.sentence);
    }
    return try_again(a, e, fv_clock_now());
}

static fv_err consider(api *a, pending_case *e, const fv_api_reading *reading)
{
    double now = fv_clock_now();
    e->why = reading->verdict.why;
    a->is_known |= reading->verdict.has_verdict;
    watch(a, e, reading, now);
    tell_refusal(a, reading);
    if (reading->act == FV_API_REFORM)
        return reform(a, e, reading);
    if (reading->act == FV_API_DONE)
        return conclude(e, reading->verdict);
    e->n_tries += is_try(a, reading);
    if (reading->act == FV_API_AGAIN)
        return try_again(a, e, now);
    return try_again(a, e, now + fmax(reading->pause_s, fmin(draw_pause(a, e->n_tries), longest_pause_s)));
}

static fv_err done(void *context, const fv_http_response *response)
{
    pending_case **place = context, *e = *place;
    api *a = e->judge->state;
    const fv_api_reader reader = {.access = &a->access,
                                  .settings = &a->settings,
                                  .grammar = fv_judge_prompt_grammar(a->prompt),
                                  .form = e->form,
                                  .is_known = a->is_known};
    fv_api_reading reading;
    FV_TRY(fv_api_read(&reader, response, &reading));
    *place = NULL;
    return consider(a, e, &reading);
}

/* Sending. */

static pending_case **free_place(api *a)
{
    int i = 0;
    while (a->away[i])
        i++;
    return &a->away[i];
}

/* On failure the case is still on its way, for destroy to find. */
static fv_err send(api *a, pending_case *e)
{
    pending_case **place = free_place(a);
    *place = e;
    e->is_probe = a->breaker.is_open;
    if (e->first_s == 0)
        e->first_s = fv_clock_now();
    double temperature = a->settings.temperature + e->n_tries * a->settings.temperature_step;
    a->body.size = 0;
    e->form = a->form;
    FV_TRY(fv_api_form_write(a->form, &a->settings, a->prompt, &e->asked, temperature, &a->body));
    FV_TRY(fv_http_post(a->http, (fv_slice){a->body.data, a->body.size}, done, place));
    fv_breaker_send(&a->breaker);
    e->judge->counts.n_tries++;
    return FV_OK;
}

static pending_case *take_fresh(api *a)
{
    pending_case *e = a->fresh.first;
    if (e && !(a->fresh.first = e->next))
        a->fresh.end = &a->fresh.first;
    return e;
}

/* Of those that have waited long enough the one that has waited longest. */
static pending_case *take_rested(api *a, double now)
{
    pending_case **first = NULL;
    for (pending_case **at = &a->resting; *at; at = &(*at)->next)
        if ((*at)->due_s <= now && (!first || (*at)->due_s < (*first)->due_s))
            first = at;
    if (!first)
        return NULL;
    pending_case *e = *first;
    *first = e->next;
    return e;
}

/* A server that seems away is probed with what it has not failed at, so that cases that always fail do not
 * keep it away from the others. */
static pending_case *take_due(api *a, double now)
{
    pending_case *e = a->breaker.is_open ? take_fresh(a) : take_rested(a, now);
    if (e)
        return e;
    return a->breaker.is_open ? take_rested(a, now) : take_fresh(a);
}

static fv_err send_all(api *a)
{
    double now = fv_clock_now();
    while (fv_http_room(a->http) > 0 && fv_breaker_allows(&a->breaker, now)) {
        pending_case *e = take_due(a, now);
        if (!e)
            return FV_OK;
        FV_TRY(send(a, e));
    }
    return FV_OK;
}

/* End what waits for a server that has been away for too long. */
static fv_err give_up(api *a)
{
    double now = fv_clock_now(), budget = a->settings.budget_s;
    for (pending_case **at = &a->resting, *e; (e = *at);) {
        if (now <= e->first_s + budget) {
            at = &e->next;
            continue;
        }
        *at = e->next;
        FV_TRY(conclude(e, fv_verdict_none(e->why)));
    }
    while (a->breaker.is_open && a->fresh.first && now > a->breaker.since_s + budget)
        FV_TRY(conclude(take_fresh(a), fv_verdict_none(a->breaker.why)));
    return FV_OK;
}

/* Seconds until something may be sent that no response brings. */
static double until_due(const api *a, double longest_s)
{
    const fv_breaker *breaker = &a->breaker;
    double due = a->fresh.first ? 0 : INFINITY;
    if (fv_http_room(a->http) == 0 || breaker->is_probing)
        return longest_s;
    for (const pending_case *e = a->resting; e; e = e->next)
        due = fmin(due, e->due_s);
    if (breaker->is_open)
        due = fmax(due, breaker->probe_s);
    return fmax(0, fmin(longest_s, due - fv_clock_now()));
}

/* The table. */

static fv_err submit(fv_judge *judge, const fv_case *asked, fv_waiter waiter)
{
    api *a = judge->state;
    pending_case *e = malloc(sizeof *e);
    FV_CHECK(e, FV_ERR_MEMORY, "cannot allocate a case for a judge");
    *e = (pending_case){.judge = judge, .asked = *asked, .waiter = waiter};
    *a->fresh.end = e;
    a->fresh.end = &e->next;
    return FV_OK;
}

static fv_err poll(fv_judge *judge, double wait_s)
{
    api *a = judge->state;
    FV_TRY(send_all(a));
    FV_TRY(fv_http_poll(a->http, until_due(a, wait_s)));
    FV_TRY(give_up(a));
    FV_TRY(send_all(a)); /* into the places that have become free, at once */
    return fv_http_poll(a->http, 0);
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
    api *a = judge->state;
    fv_http_destroy(a->http);
    for (int i = 0; a->away && i < a->settings.in_flight; i++)
        free(a->away[i]);
    free(a->away);
    release(a->fresh.first);
    release(a->resting);
    fv_api_access_fini(&a->access);
    fv_buffer_fini(&a->body);
    fv_judge_prompt_destroy(a->prompt);
    free(a);
}

static const fv_judge_table api_table = {.name = "api", .submit = submit, .poll = poll, .destroy = destroy};

static fv_err connect_to(api *a)
{
    FV_TRY(fv_api_access_find(&a->settings, &a->access));
    const fv_http_settings http = {.url = a->access.url.data,
                                   .headers = (const char *const *)a->access.headers,
                                   .ca_file = a->access.ca_file,
                                   .ca_folder = a->access.ca_folder,
                                   .max_in_flight = a->settings.in_flight,
                                   .deadline_s = a->settings.deadline_s,
                                   .max_bytes = MAX_REPLY_BYTES};
    return fv_http_create(&http, &a->http);
}

fv_err fv_judge_api_create(const fv_judge_api_settings *settings, fv_judge_prompt *prompt, fv_judge **out)
{
    api *a = calloc(1, sizeof *a);
    pending_case **away = calloc((size_t)settings->in_flight, sizeof *away);
    if (!a || !away) {
        free(a);
        free(away);
        fv_judge_prompt_destroy(prompt);
        return FV_FAIL(FV_ERR_MEMORY, "cannot allocate a judge");
    }
    *a = (api){.settings = *settings, .prompt = prompt, .away = away, .form = fv_api_form_of(settings)};
    a->fresh.end = &a->fresh.first;
    FV_TRY(fv_judge_create(&api_table, a, NULL, out));
    fv_err err = connect_to(a);
    if (err != FV_OK) {
        fv_judge_destroy(*out);
        *out = NULL;
    }
    return err;
}
