/* Messages between ranks that ask and ranks that judge: a head and, of some, texts behind it. */
#ifndef FOVEA_SRC_REWARD_JUDGE_JUDGE_MESSAGE_H
#define FOVEA_SRC_REWARD_JUDGE_JUDGE_MESSAGE_H

#include "fovea/reward/judge/judge.h"
#include "fovea/comm/mailbox.h"

typedef enum fv_judge_message_kind {
    FV_JUDGE_MESSAGE_CASE,    /* to judge: the texts of a case */
    FV_JUDGE_MESSAGE_VERDICT, /* on a case */
    FV_JUDGE_MESSAGE_ALIVE,   /* one text: which process judges */
    FV_JUDGE_MESSAGE_FAILED,  /* one text: why it judges no more */
    FV_JUDGE_MESSAGE_GOODBYE  /* there will be no more cases */
} fv_judge_message_kind;

enum { FV_JUDGE_MESSAGE_TEXTS = 3 };

typedef struct fv_judge_message_head {
    int64_t kind;
    int64_t number; /* of the case, to who asks */
    fv_verdict verdict;
    int64_t code; /* of a failure */
    uint64_t sizes[FV_JUDGE_MESSAGE_TEXTS];
} fv_judge_message_head;

/* Send head with texts (FV_JUDGE_MESSAGE_TEXTS, or NULL), whose sizes are set. */
fv_err fv_judge_message_send(fv_mailbox *mailbox, int to, const fv_judge_message_head *head,
                             const fv_slice *texts);

/* texts (FV_JUDGE_MESSAGE_TEXTS) lie in message. FV_ERR_COMM if it is none of these messages. */
fv_err fv_judge_message_read(const fv_buffer *message, int from, fv_judge_message_head *head,
                             fv_slice *texts);

#endif
