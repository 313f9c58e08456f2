#include "fovea/comm/mail.h"

#include "fovea/base/clock.h"

#include <limits.h>
#include <stdlib.h>
#include <time.h>

enum { FIRST_NAP_NS = 50000, LONGEST_NAP_NS = 2000000 };

fv_err fv_mail_create(fv_comm *comm, fv_mail **out)
{
    fv_mail *mail = calloc(1, sizeof *mail);
    *out = NULL;
    fv_err err = mail ? FV_OK : FV_FAIL(FV_ERR_MEMORY, "cannot allocate a mailbox");
    err = fv_comm_agree(comm, err);
    if (err == FV_OK) {
        mail->comm = comm;
        err = comm->table->mail_create(comm, mail);
    }
    if (err != FV_OK)
        free(mail);
    else
        *out = mail;
    return err;
}

void fv_mail_destroy(fv_mail *mail)
{
    if (!mail)
        return;
    mail->comm->table->mail_destroy(mail);
    free(mail);
}

fv_err fv_mail_send(fv_mail *mail, int to, const void *data, size_t bytes)
{
    FV_CHECK(bytes <= INT_MAX, FV_ERR_ARGUMENT, "a letter of %zu bytes to rank %d, at most %d", bytes, to,
             INT_MAX);
    return mail->comm->table->mail_send(mail, to, data, bytes);
}

fv_err fv_mail_receive(fv_mail *mail, double wait_s, int *from, fv_buffer *letter)
{
    double until = fv_clock_now() + wait_s;
    for (long nap_ns = FIRST_NAP_NS;;) {
        FV_TRY(mail->comm->table->mail_receive(mail, from, letter));
        if (*from >= 0 || wait_s <= 0 || fv_clock_now() >= until)
            return FV_OK;
        nanosleep(&(struct timespec){0, nap_ns}, NULL);
        nap_ns = 2 * nap_ns < LONGEST_NAP_NS ? 2 * nap_ns : LONGEST_NAP_NS;
    }
}
