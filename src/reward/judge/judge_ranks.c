#include "fovea/reward/judge/judge_ranks.h"

#include "fovea/base/clock.h"
#include "reward/judge/judge_message.h"

#include <stdlib.h>
#include <string.h>

/* A case that a rank has; its number is its place. */
typedef struct pending_case {
    fv_waiter waiter;
    int seat;
    double since_s;
    int64_t next_free;
} pending_case;

/* A rank that judges. */
typedef struct seat {
    int64_t n_cases; /* that it has of ours */
    int64_t n_given; /* verdicts */
    double heard_s;  /* when it last said something, or when it was given the first case */
    char name[96];   /* its process and host */
} seat;

typedef struct ranks {
    fv_judge_ranks_settings settings;
    seat *seats;                             /* owned, (settings.n) */
    pending_case *pending;                   /* owned, (n_pending) */
    int64_t n_pending, capacity, first_free; /* -1: none */
    fv_buffer message;
} ranks;

/* Cases. */

static fv_err take_place(ranks *r, int64_t *number)
{
    if (r->first_free >= 0) {
        *number = r->first_free;
        r->first_free = r->pending[*number].next_free;
        return FV_OK;
    }
    if (r->n_pending == r->capacity) {
        int64_t capacity = r->capacity ? 2 * r->capacity : 256;
        pending_case *grown = realloc(r->pending, (size_t)capacity * sizeof *grown);
        FV_CHECK(grown, FV_ERR_MEMORY, "cannot allocate a list of %lld cases", (long long)capacity);
        r->pending = grown;
        r->capacity = capacity;
    }
    *number = r->n_pending++;
    return FV_OK;
}

static int least_busy(const ranks *r)
{
    int least = 0;
    for (int i = 1; i < r->settings.n; i++)
        if (r->seats[i].n_cases < r->seats[least].n_cases)
            least = i;
    return least;
}

static fv_err submit(fv_judge *judge, const fv_case *asked, fv_waiter waiter)
{
    ranks *r = judge->state;
    const fv_slice texts[FV_JUDGE_MESSAGE_TEXTS] = {asked->question, asked->answer, asked->truth};
    fv_judge_message_head head = {.kind = FV_JUDGE_MESSAGE_CASE};
    int i = least_busy(r);
    seat *to = &r->seats[i];
    double now = fv_clock_now();
    FV_TRY(take_place(r, &head.number));
    r->pending[head.number] = (pending_case){.waiter = waiter, .seat = i, .since_s = now};
    if (to->n_cases++ == 0)
        to->heard_s = now;
    return fv_judge_message_send(r->settings.mailbox, r->settings.first + i, &head, texts);
}

/* Messages. */

static fv_err take_verdict(fv_judge *judge, int from, const fv_judge_message_head *head)
{
    ranks *r = judge->state;
    int64_t number = head->number;
    FV_CHECK(number >= 0 && number < r->n_pending, FV_ERR_COMM,
             "rank %d, which judges, names a case %lld; there are %lld", from, (long long)number,
             (long long)r->n_pending);
    const pending_case e = r->pending[number];
    r->pending[number].next_free = r->first_free;
    r->first_free = number;
    r->seats[e.seat].n_cases--;
    r->seats[e.seat].n_given++;
    judge->counts.n_asked++;
    judge->counts.n_tries++;
    judge->counts.latency_s += fv_clock_now() - e.since_s;
    return fv_judge_give(judge, e.waiter, head->verdict);
}

static fv_err receive_message(fv_judge *judge, int from)
{
    ranks *r = judge->state;
    fv_judge_message_head head;
    fv_slice texts[FV_JUDGE_MESSAGE_TEXTS];
    seat *of = &r->seats[from - r->settings.first];
    FV_TRY(fv_judge_message_read(&r->message, from, &head, texts));
    of->heard_s = fv_clock_now();
    if (head.kind == FV_JUDGE_MESSAGE_VERDICT)
        return take_verdict(judge, from, &head);
    if (head.kind == FV_JUDGE_MESSAGE_FAILED)
        return FV_FAIL((fv_err)head.code, "rank %d, which judges: %.*s", from, (int)texts[0].size,
                       texts[0].data);
    snprintf(of->name, sizeof of->name, "%.*s", (int)texts[0].size, texts[0].data);
    return FV_OK;
}

static fv_err check_silence(const ranks *r)
{
    double now = fv_clock_now();
    for (int i = 0; i < r->settings.n; i++) {
        const seat *s = &r->seats[i];
        FV_CHECK(s->n_cases == 0 || now - s->heard_s <= r->settings.silence_s, FV_ERR_COMM,
                 "rank %d (%s) has died or hangs while judging: it has said nothing for %.0f s, after %lld "
                 "verdicts and with %lld cases before it; judge.deadline_s is %g",
                 r->settings.first + i, s->name[0] ? s->name : "not heard of yet", now - s->heard_s,
                 (long long)s->n_given, (long long)s->n_cases, r->settings.silence_s);
    }
    return FV_OK;
}

static fv_err poll(fv_judge *judge, double wait_s)
{
    ranks *r = judge->state;
    int from;
    FV_TRY(fv_mailbox_receive(r->settings.mailbox, wait_s, &from, &r->message));
    while (from >= 0) {
        FV_TRY(receive_message(judge, from));
        FV_TRY(fv_mailbox_receive(r->settings.mailbox, 0, &from, &r->message));
    }
    return check_silence(r);
}

static void destroy(fv_judge *judge)
{
    ranks *r = judge->state;
    for (int i = 0; r->seats && i < r->settings.n; i++)
        (void)fv_judge_message_send(r->settings.mailbox, r->settings.first + i,
                                    &(fv_judge_message_head){.kind = FV_JUDGE_MESSAGE_GOODBYE}, NULL);
    fv_buffer_fini(&r->message);
    free(r->seats);
    free(r->pending);
    free(r);
}

static const fv_judge_table ranks_table = {
    .name = "ranks", .submit = submit, .poll = poll, .destroy = destroy};

fv_err fv_judge_ranks_create(const fv_judge_ranks_settings *settings, fv_judge **out)
{
    ranks *r = calloc(1, sizeof *r);
    seat *seats = calloc((size_t)settings->n, sizeof *seats);
    *out = NULL;
    if (!r || !seats) {
        free(r);
        free(seats);
        return FV_FAIL(FV_ERR_MEMORY, "cannot allocate a judge");
    }
    *r = (ranks){.settings = *settings, .seats = seats, .first_free = -1};
    return fv_judge_create(&ranks_table, r, NULL, out);
}
