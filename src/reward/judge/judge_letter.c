#include "reward/judge/judge_letter.h"

#include <string.h>

fv_err fv_letter_send(fv_mail *mail, int to, const fv_letter_head *head, const fv_slice *texts)
{
    fv_letter_head whole = *head;
    fv_buffer letter = {0};
    fv_err err = FV_OK;
    for (int i = 0; i < FV_LETTER_TEXTS; i++)
        whole.sizes[i] = texts ? texts[i].size : 0;
    FV_TRY_DONE(fv_buffer_append(&letter, &whole, sizeof whole));
    for (int i = 0; texts && i < FV_LETTER_TEXTS; i++)
        FV_TRY_DONE(fv_buffer_append(&letter, texts[i].data, texts[i].size));
    FV_TRY_DONE(fv_mail_send(mail, to, letter.data, letter.size));
done:
    fv_buffer_fini(&letter);
    return err;
}

fv_err fv_letter_read(const fv_buffer *letter, int from, fv_letter_head *head, fv_slice *texts)
{
    size_t left = letter->size, at = sizeof *head;
    FV_CHECK(left >= sizeof *head, FV_ERR_COMM, "a letter of %zu bytes from rank %d", left, from);
    memcpy(head, letter->data, sizeof *head);
    left -= sizeof *head;
    for (int i = 0; i < FV_LETTER_TEXTS; i++) {
        FV_CHECK(head->sizes[i] <= left, FV_ERR_COMM, "a letter of %zu bytes from rank %d", letter->size,
                 from);
        texts[i] = (fv_slice){letter->data + at, (size_t)head->sizes[i]};
        at += (size_t)head->sizes[i];
        left -= (size_t)head->sizes[i];
    }
    return FV_OK;
}
