#include "fovea/comm/mailbox.h"

#include "fovea/base/clock.h"

#include <limits.h>
#include <stdlib.h>
#include <time.h>

enum { FIRST_NAP_NS = 50000, LONGEST_NAP_NS = 2000000 };

fv_err fv_mailbox_create(fv_comm *comm, fv_mailbox **out)
{
    fv_mailbox *mailbox = calloc(1, sizeof *mailbox);
    *out = NULL;
    fv_err err = mailbox ? FV_OK : FV_FAIL(FV_ERR_MEMORY, "cannot allocate a mailbox");
    err = fv_comm_agree(comm, err);
    if (err == FV_OK) {
        mailbox->comm = comm;
        err = comm->table->mailbox_create(comm, mailbox);
    }
    if (err != FV_OK)
        free(mailbox);
    else
        *out = mailbox;
    return err;
}

void fv_mailbox_destroy(fv_mailbox *mailbox)
{
    if (!mailbox)
        return;
    mailbox->comm->table->mailbox_destroy(mailbox);
    free(mailbox);
}

fv_err fv_mailbox_send(fv_mailbox *mailbox, int to, const void *data, size_t bytes)
{
    FV_CHECK(bytes <= INT_MAX, FV_ERR_ARGUMENT, "a message of %zu bytes to rank %d, at most %d", bytes, to,
             INT_MAX);
    return mailbox->comm->table->mailbox_send(mailbox, to, data, bytes);
}

fv_err fv_mailbox_receive(fv_mailbox *mailbox, double wait_s, int *from, fv_buffer *message)
{
    double until = fv_clock_now() + wait_s;
    for (long nap_ns = FIRST_NAP_NS;;) {
        FV_TRY(mailbox->comm->table->mailbox_receive(mailbox, from, message));
        if (*from >= 0 || wait_s <= 0 || fv_clock_now() >= until)
            return FV_OK;
        nanosleep(&(struct timespec){0, nap_ns}, NULL);
        nap_ns = 2 * nap_ns < LONGEST_NAP_NS ? 2 * nap_ns : LONGEST_NAP_NS;
    }
}
