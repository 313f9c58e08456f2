/* Letters between ranks: bytes that one sends to another, which takes them up when it looks. Local but for
 * fv_mail_create.
 *
 * Letters from one rank arrive in the order in which it sent them. A rank that waits for a letter sleeps in
 * between, so that it takes no core from others. */
#ifndef FOVEA_COMM_MAIL_H
#define FOVEA_COMM_MAIL_H

#include "fovea/base/buffer.h"
#include "fovea/comm/comm.h"

/* Between the ranks of comm, which is borrowed. Collective over comm. */
fv_err fv_mail_create(fv_comm *comm, fv_mail **out);

/* What nobody has taken up may be lost. NULL is fine. */
void fv_mail_destroy(fv_mail *mail);

/* Send a copy of bytes, at most 2^31 - 1 of them; waits for nobody. */
fv_err fv_mail_send(fv_mail *mail, int to, const void *data, size_t bytes);

/* The next letter, waiting up to wait_s for one: its bytes are letter's. *from: the rank that sent it; -1 if
 * there is none. */
fv_err fv_mail_receive(fv_mail *mail, double wait_s, int *from, fv_buffer *letter);

#endif
