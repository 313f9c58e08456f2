/* Messages over MPI, in a group of their own, so that they meet no other message. */
#include "comm/mpi_internal.h"

#include <mpi.h>
#include <stdlib.h>
#include <string.h>

/* A message on its way. */
typedef struct sent {
    MPI_Request request;
    void *data; /* owned */
    struct sent *next;
} sent;

typedef struct mailbox_state {
    MPI_Comm group;
    sent *sent;
} mailbox_state;

fv_err fv_mpi_mailbox_create(fv_comm *comm, fv_mailbox *mailbox)
{
    mailbox_state *box = calloc(1, sizeof *box);
    fv_err err = box ? FV_OK : FV_FAIL(FV_ERR_MEMORY, "cannot allocate a mailbox");
    err = fv_comm_agree(comm, err);
    if (err == FV_OK)
        err = fv_mpi_check(MPI_Comm_dup(*(MPI_Comm *)comm->state, &box->group), "MPI_Comm_dup");
    if (err == FV_OK)
        err = fv_mpi_check(MPI_Comm_set_errhandler(box->group, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
    if (err != FV_OK)
        free(box);
    mailbox->state = err == FV_OK ? box : NULL;
    return err;
}

/* Let go of messages that have arrived. */
static fv_err tidy(mailbox_state *box)
{
    for (sent **at = &box->sent, *s; (s = *at);) {
        int has_arrived;
        TRY_MPI(MPI_Test, &s->request, &has_arrived, MPI_STATUS_IGNORE);
        if (!has_arrived) {
            at = &s->next;
            continue;
        }
        *at = s->next;
        free(s->data);
        free(s);
    }
    return FV_OK;
}

static fv_err post(mailbox_state *box, int to, const void *data, size_t bytes)
{
    sent *s = malloc(sizeof *s);
    void *copy = malloc(bytes + 1);
    if (!s || !copy) {
        free(s);
        free(copy);
        return FV_FAIL(FV_ERR_MEMORY, "cannot allocate a message of %zu bytes", bytes);
    }
    if (bytes > 0)
        memcpy(copy, data, bytes);
    *s = (sent){.data = copy, .next = box->sent};
    fv_err err =
        fv_mpi_check(MPI_Isend(copy, (int)bytes, MPI_BYTE, to, 0, box->group, &s->request), "MPI_Isend");
    if (err != FV_OK) {
        free(copy);
        free(s);
        return err;
    }
    box->sent = s;
    return FV_OK;
}

fv_err fv_mpi_mailbox_send(fv_mailbox *mailbox, int to, const void *data, size_t bytes)
{
    FV_TRY(tidy(mailbox->state));
    return post(mailbox->state, to, data, bytes);
}

fv_err fv_mpi_mailbox_receive(fv_mailbox *mailbox, int *from, fv_buffer *message)
{
    mailbox_state *box = mailbox->state;
    MPI_Status status;
    int is_there, bytes;
    *from = -1;
    message->size = 0;
    FV_TRY(tidy(box));
    TRY_MPI(MPI_Iprobe, MPI_ANY_SOURCE, 0, box->group, &is_there, &status);
    if (!is_there)
        return FV_OK;
    TRY_MPI(MPI_Get_count, &status, MPI_BYTE, &bytes);
    FV_TRY(fv_buffer_reserve(message, (size_t)bytes));
    TRY_MPI(MPI_Recv, message->data, bytes, MPI_BYTE, status.MPI_SOURCE, 0, box->group, MPI_STATUS_IGNORE);
    message->size = (size_t)bytes;
    message->data[bytes] = '\0';
    *from = status.MPI_SOURCE;
    return FV_OK;
}

/* MPI still reads a message that nobody has taken up, so its memory stays. */
void fv_mpi_mailbox_destroy(fv_mailbox *mailbox)
{
    mailbox_state *box = mailbox->state;
    tidy(box); /* a failure shows in the next collective */
    for (sent *s = box->sent, *next; s; s = next) {
        next = s->next;
        MPI_Request_free(&s->request);
        free(s);
    }
    MPI_Comm_free(&box->group);
    free(box);
}
