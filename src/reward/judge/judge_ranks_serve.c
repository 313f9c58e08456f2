/* The side of the ranks that judge. */
#include "fovea/base/clock.h"
#include "fovea/reward/judge/judge_ranks.h"
#include "fovea/base/phase.h"
#include "fovea/base/point.h"
#include "reward/judge/judge_message.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const double every_s = 1;

/* A case of another rank; its texts stand behind it. */
typedef struct served {
    struct server *server;
    int from;
    int64_t number;
    fv_case asked;
    struct served *older, *younger;
    char texts[];
} served;

typedef struct server {
    fv_judge *judge;
    fv_mailbox *mailbox;
    int n_askers, n_gone;
    int64_t *n_cases; /* owned, (size of the group): under way, of each rank */
    served *cases;    /* under way */
    fv_buffer message;
    double told_s; /* when it last said that it is alive */
    fv_err err;    /* why it judges no more */
} server;

/* Cases. */

static void let_go(served *c)
{
    if (c->older)
        c->older->younger = c->younger;
    if (c->younger)
        c->younger->older = c->older;
    else
        c->server->cases = c->older;
    free(c);
}

static fv_err send_verdict(void *context, fv_verdict verdict)
{
    served *c = context;
    server *s = c->server;
    const fv_judge_message_head head = {
        .kind = FV_JUDGE_MESSAGE_VERDICT, .number = c->number, .verdict = verdict};
    int to = c->from;
    s->n_cases[to]--;
    let_go(c);
    return fv_judge_message_send(s->mailbox, to, &head, NULL);
}

static fv_err keep_case(server *s, int from, int64_t number, const fv_slice *texts, served **out)
{
    served *c = malloc(sizeof *c + texts[0].size + texts[1].size + texts[2].size);
    fv_slice copies[FV_JUDGE_MESSAGE_TEXTS];
    size_t at = 0;
    FV_CHECK(c, FV_ERR_MEMORY, "cannot allocate a case for a judge");
    for (int i = 0; i < FV_JUDGE_MESSAGE_TEXTS; at += texts[i++].size) {
        memcpy(c->texts + at, texts[i].data, texts[i].size);
        copies[i] = (fv_slice){c->texts + at, texts[i].size};
    }
    c->server = s;
    c->from = from;
    c->number = number;
    c->asked = (fv_case){copies[0], copies[1], copies[2]};
    c->older = s->cases;
    c->younger = NULL;
    if (s->cases)
        s->cases->younger = c;
    s->cases = *out = c;
    s->n_cases[from]++;
    return FV_OK;
}

static fv_err receive_message(server *s, int from)
{
    fv_judge_message_head head;
    fv_slice texts[FV_JUDGE_MESSAGE_TEXTS];
    served *c;
    FV_TRY(fv_judge_message_read(&s->message, from, &head, texts));
    if (head.kind == FV_JUDGE_MESSAGE_GOODBYE)
        s->n_gone++;
    if (head.kind != FV_JUDGE_MESSAGE_CASE || s->err != FV_OK)
        return FV_OK;
    FV_TRY(keep_case(s, from, head.number, texts, &c));
    FV_TRY(fv_point("case"));
    return fv_judge_ask(s->judge, &c->asked, (fv_waiter){send_verdict, c});
}

/* What is told to who asks. */

static fv_err tell(server *s, int to, const fv_judge_message_head *head, const char *text)
{
    const fv_slice texts[FV_JUDGE_MESSAGE_TEXTS] = {fv_slice_of(text), {"", 0}, {"", 0}};
    return fv_judge_message_send(s->mailbox, to, head, texts);
}

static fv_err tell_alive(server *s, int all)
{
    char host[64] = "", text[96];
    double now = fv_clock_now();
    if (!all && now - s->told_s < every_s)
        return FV_OK;
    gethostname(host, sizeof host - 1);
    snprintf(text, sizeof text, "process %ld on %s", (long)getpid(), host);
    for (int to = 0; to < s->mailbox->comm->size; to++)
        if (to != s->mailbox->comm->rank && (all || s->n_cases[to] > 0))
            FV_TRY(tell(s, to, &(fv_judge_message_head){.kind = FV_JUDGE_MESSAGE_ALIVE}, text));
    s->told_s = now;
    return FV_OK;
}

/* Who has no case of this rank will hear of the failure when it has one. */
static fv_err tell_failure(server *s, fv_err err)
{
    s->err = err;
    for (int to = 0; to < s->mailbox->comm->size; to++)
        if (to != s->mailbox->comm->rank)
            FV_TRY(tell(s, to, &(fv_judge_message_head){.kind = FV_JUDGE_MESSAGE_FAILED, .code = err},
                        fv_error_text()));
    return FV_OK;
}

/* Serving. */

static int is_busy(const server *s)
{
    return s->err == FV_OK && s->judge->n_pending > 0;
}

/* All messages that there are; what the judge cannot take is its failure. */
static fv_err receive_messages(server *s)
{
    int from;
    FV_TRY(fv_mailbox_receive(s->mailbox, is_busy(s) ? 0 : every_s, &from, &s->message));
    while (from >= 0) {
        fv_err err = receive_message(s, from);
        if (err != FV_OK)
            FV_TRY(tell_failure(s, err));
        FV_TRY(fv_mailbox_receive(s->mailbox, 0, &from, &s->message));
    }
    return FV_OK;
}

static fv_err serve(server *s)
{
    FV_TRY(tell_alive(s, 1));
    while (s->n_gone < s->n_askers) {
        fv_phase_set(is_busy(s) ? "judging" : "waiting for cases");
        FV_TRY(receive_messages(s));
        if (!is_busy(s))
            continue;
        FV_TRY(tell_alive(s, 0));
        fv_err err = fv_judge_poll(s->judge, every_s);
        if (err != FV_OK)
            FV_TRY(tell_failure(s, err));
    }
    return s->err;
}

fv_err fv_judge_serve(fv_judge *judge, fv_mailbox *mailbox, int n_askers)
{
    server s = {.judge = judge, .mailbox = mailbox, .n_askers = n_askers};
    s.n_cases = calloc((size_t)mailbox->comm->size, sizeof *s.n_cases);
    FV_CHECK(s.n_cases, FV_ERR_MEMORY, "cannot allocate a server of %d ranks", mailbox->comm->size);
    fv_err err = serve(&s);
    if (s.err != FV_OK)
        fv_error_scope_set(FV_ERROR_AGREED_OTHER);
    while (s.cases)
        let_go(s.cases);
    fv_buffer_fini(&s.message);
    free(s.n_cases);
    return err;
}
