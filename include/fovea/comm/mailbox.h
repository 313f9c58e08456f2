/* Messages between ranks: bytes that one sends to another, which takes them up when it looks. Local but for
 * fv_mailbox_create.
 *
 * Messages from one rank arrive in the order in which it sent them. A rank that waits for a message sleeps in
 * between, so that it takes no core from others. */
#ifndef FOVEA_COMM_MAILBOX_H
#define FOVEA_COMM_MAILBOX_H

#include "fovea/base/buffer.h"
#include "fovea/comm/comm.h"

/* Between the ranks of comm, which is borrowed. Collective over comm. */
fv_err fv_mailbox_create(fv_comm *comm, fv_mailbox **out);

/* What nobody has taken up may be lost. NULL is fine. */
void fv_mailbox_destroy(fv_mailbox *mailbox);

/* Send a copy of bytes, at most 2^31 - 1 of them; waits for nobody. */
fv_err fv_mailbox_send(fv_mailbox *mailbox, int to, const void *data, size_t bytes);

/* The next message, waiting up to wait_s for one: its bytes are message's. *from: the rank that sent it; -1
 * if there is none. */
fv_err fv_mailbox_receive(fv_mailbox *mailbox, double wait_s, int *from, fv_buffer *message);

#endif
