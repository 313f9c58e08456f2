/* Letters over MPI, in a group of their own, so that they meet no other message. */
#include "comm/mpi_internal.h"

#include <mpi.h>
#include <stdlib.h>
#include <string.h>

/* A letter on its way. */
typedef struct sent {
    MPI_Request request;
    void *data; /* owned */
    struct sent *next;
} sent;

typedef struct mailbox {
    MPI_Comm group;
    sent *sent;
} mailbox;

fv_err fv_mpi_mail_create(fv_comm *comm, fv_mail *mail)
{
    mailbox *box = calloc(1, sizeof *box);
    fv_err err = box ? FV_OK : FV_FAIL(FV_ERR_MEMORY, "cannot allocate a mailbox");
    err = fv_comm_agree(comm, err);
    if (err == FV_OK)
        err = fv_mpi_check(MPI_Comm_dup(*(MPI_Comm *)comm->state, &box->group), "MPI_Comm_dup");
    if (err == FV_OK)
        err = fv_mpi_check(MPI_Comm_set_errhandler(box->group, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
    if (err != FV_OK)
        free(box);
    mail->state = err == FV_OK ? box : NULL;
    return err;
}

/* Let go of letters that have arrived. */
static fv_err tidy(mailbox *box)
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

static fv_err post(mailbox *box, int to, const void *data, size_t bytes)
{
    sent *s = malloc(sizeof *s);
    void *copy = malloc(bytes + 1);
    if (!s || !copy) {
        free(s);
        free(copy);
        return FV_FAIL(FV_ERR_MEMORY, "cannot allocate a letter of %zu bytes", bytes);
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

fv_err fv_mpi_mail_send(fv_mail *mail, int to, const void *data, size_t bytes)
{
    FV_TRY(tidy(mail->state));
    return post(mail->state, to, data, bytes);
}

fv_err fv_mpi_mail_receive(fv_mail *mail, int *from, fv_buffer *letter)
{
    mailbox *box = mail->state;
    MPI_Status status;
    int is_there, bytes;
    *from = -1;
    letter->size = 0;
    FV_TRY(tidy(box));
    TRY_MPI(MPI_Iprobe, MPI_ANY_SOURCE, 0, box->group, &is_there, &status);
    if (!is_there)
        return FV_OK;
    TRY_MPI(MPI_Get_count, &status, MPI_BYTE, &bytes);
    FV_TRY(fv_buffer_reserve(letter, (size_t)bytes));
    TRY_MPI(MPI_Recv, letter->data, bytes, MPI_BYTE, status.MPI_SOURCE, 0, box->group, MPI_STATUS_IGNORE);
    letter->size = (size_t)bytes;
    letter->data[bytes] = '\0';
    *from = status.MPI_SOURCE;
    return FV_OK;
}

/* MPI still reads a letter that nobody has taken up, so its memory stays. */
void fv_mpi_mail_destroy(fv_mail *mail)
{
    mailbox *box = mail->state;
    tidy(box); /* a failure shows in the next collective */
    for (sent *s = box->sent, *next; s; s = next) {
        next = s->next;
        MPI_Request_free(&s->request);
        free(s);
    }
    MPI_Comm_free(&box->group);
    free(box);
}
