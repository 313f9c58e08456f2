#include "reward/judge/judge_message.h"

#include <string.h>

fv_err fv_judge_message_send(fv_mailbox *mailbox, int to, const fv_judge_message_head *head,
                             const fv_slice *texts)
{
    fv_judge_message_head whole = *head;
    fv_buffer message = {0};
    fv_err err = FV_OK;
    for (int i = 0; i < FV_JUDGE_MESSAGE_TEXTS; i++)
        whole.sizes[i] = texts ? texts[i].size : 0;
    FV_TRY_DONE(fv_buffer_append(&message, &whole, sizeof whole));
    for (int i = 0; texts && i < FV_JUDGE_MESSAGE_TEXTS; i++)
        FV_TRY_DONE(fv_buffer_append(&message, texts[i].data, texts[i].size));
    FV_TRY_DONE(fv_mailbox_send(mailbox, to, message.data, message.size));
done:
    fv_buffer_fini(&message);
    return err;
}

fv_err fv_judge_message_read(const fv_buffer *message, int from, fv_judge_message_head *head, fv_slice *texts)
{
    size_t left = message->size, at = sizeof *head;
    FV_CHECK(left >= sizeof *head, FV_ERR_COMM, "a message of %zu bytes from rank %d", left, from);
    memcpy(head, message->data, sizeof *head);
    left -= sizeof *head;
    for (int i = 0; i < FV_JUDGE_MESSAGE_TEXTS; i++) {
        FV_CHECK(head->sizes[i] <= left, FV_ERR_COMM, "a message of %zu bytes from rank %d", message->size,
                 from);
        texts[i] = (fv_slice){message->data + at, (size_t)head->sizes[i]};
        at += (size_t)head->sizes[i];
        left -= (size_t)head->sizes[i];
    }
    return FV_OK;
}
