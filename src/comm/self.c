/* One process: every collective is a copy or nothing. */
#include "fovea/comm/mailbox.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static fv_err self_split(fv_comm *comm, int color, int key, fv_comm **out)
{
    (void)comm;
    (void)color;
    (void)key;
    return fv_comm_self(out);
}

static fv_err self_barrier(fv_comm *comm)
{
    (void)comm;
    return FV_OK;
}

static fv_err self_copy(fv_comm *comm, const void *in, size_t bytes, void *out)
{
    (void)comm;
    if (bytes)
        memmove(out, in, bytes);
    return FV_OK;
}

static fv_err self_broadcast(fv_comm *comm, void *data, size_t bytes, int root)
{
    (void)comm;
    (void)data;
    (void)bytes;
    (void)root;
    return FV_OK;
}

typedef struct self_counter {
    int64_t next;
    int is_closed;
} self_counter;

static fv_err self_counter_create(fv_comm *comm, fv_counter *counter)
{
    (void)comm;
    counter->state = calloc(1, sizeof(self_counter));
    FV_CHECK(counter->state, FV_ERR_MEMORY, "cannot allocate a counter");
    return FV_OK;
}

static fv_err self_counter_next(fv_counter *counter, int64_t *value)
{
    *value = ((self_counter *)counter->state)->next++;
    return FV_OK;
}

static fv_err self_counter_close(fv_counter *counter)
{
    ((self_counter *)counter->state)->is_closed = 1;
    return FV_OK;
}

static fv_err self_counter_poll(fv_counter *counter, int *is_closed)
{
    *is_closed = ((self_counter *)counter->state)->is_closed;
    return FV_OK;
}

static void self_counter_destroy(fv_counter *counter)
{
    free(counter->state);
}

/* Messages to oneself. */

typedef struct message {
    struct message *next;
    size_t bytes;
    char data[];
} message;

typedef struct mailbox_state {
    message *first, **end;
} mailbox_state;

static fv_err self_mailbox_create(fv_comm *comm, fv_mailbox *mailbox)
{
    (void)comm;
    mailbox_state *box = calloc(1, sizeof *box);
    FV_CHECK(box, FV_ERR_MEMORY, "cannot allocate a mailbox");
    box->end = &box->first;
    mailbox->state = box;
    return FV_OK;
}

static fv_err self_mailbox_send(fv_mailbox *mailbox, int to, const void *data, size_t bytes)
{
    (void)to;
    mailbox_state *box = mailbox->state;
    message *made = malloc(sizeof *made + bytes);
    FV_CHECK(made, FV_ERR_MEMORY, "cannot allocate a message of %zu bytes", bytes);
    made->next = NULL;
    made->bytes = bytes;
    if (bytes > 0)
        memcpy(made->data, data, bytes);
    *box->end = made;
    box->end = &made->next;
    return FV_OK;
}

static fv_err self_mailbox_receive(fv_mailbox *mailbox, int *from, fv_buffer *out)
{
    mailbox_state *box = mailbox->state;
    message *first = box->first;
    out->size = 0;
    *from = -1;
    if (!first)
        return FV_OK;
    FV_TRY(fv_buffer_append(out, first->data, first->bytes));
    box->first = first->next;
    if (!box->first)
        box->end = &box->first;
    free(first);
    *from = 0;
    return FV_OK;
}

static void self_mailbox_destroy(fv_mailbox *mailbox)
{
    mailbox_state *box = mailbox->state;
    for (message *l = box->first, *next; l; l = next) {
        next = l->next;
        free(l);
    }
    free(box);
}

static void self_abort(fv_comm *comm, int status)
{
    (void)comm;
    _exit(status);
}

static void self_destroy(fv_comm *comm)
{
    free(comm);
}

static const fv_comm_table self_table = {.name = "self",
                                         .split = self_split,
                                         .barrier = self_barrier,
                                         .all_gather = self_copy,
                                         .all_to_all = self_copy,
                                         .broadcast = self_broadcast,
                                         .counter_create = self_counter_create,
                                         .counter_next = self_counter_next,
                                         .counter_close = self_counter_close,
                                         .counter_poll = self_counter_poll,
                                         .counter_destroy = self_counter_destroy,
                                         .mailbox_create = self_mailbox_create,
                                         .mailbox_send = self_mailbox_send,
                                         .mailbox_receive = self_mailbox_receive,
                                         .mailbox_destroy = self_mailbox_destroy,
                                         .abort = self_abort,
                                         .destroy = self_destroy};

fv_err fv_comm_self(fv_comm **out)
{
    *out = NULL;
    fv_comm *comm = calloc(1, sizeof *comm);
    FV_CHECK(comm, FV_ERR_MEMORY, "cannot allocate a process group");
    comm->table = &self_table;
    comm->size = 1;
    *out = comm;
    return FV_OK;
}
