/* Letters between ranks that ask and ranks that judge: a head and, of some, texts behind it. */
#ifndef FOVEA_SRC_REWARD_JUDGE_JUDGE_LETTER_H
#define FOVEA_SRC_REWARD_JUDGE_JUDGE_LETTER_H

#include "fovea/reward/judge/judge.h"
#include "fovea/comm/mail.h"

typedef enum fv_letter_kind {
    FV_LETTER_CASE,    /* to judge: the texts of a case */
    FV_LETTER_VERDICT, /* on a case */
    FV_LETTER_ALIVE,   /* one text: which process judges */
    FV_LETTER_FAILED,  /* one text: why it judges no more */
    FV_LETTER_GOODBYE  /* there will be no more cases */
} fv_letter_kind;

enum { FV_LETTER_TEXTS = 3 };

typedef struct fv_letter_head {
    int64_t kind;
    int64_t number; /* of the case, to who asks */
    fv_verdict verdict;
    int64_t code; /* of a failure */
    uint64_t sizes[FV_LETTER_TEXTS];
} fv_letter_head;

/* Send head with texts (FV_LETTER_TEXTS, or NULL), whose sizes are set. */
fv_err fv_letter_send(fv_mail *mail, int to, const fv_letter_head *head, const fv_slice *texts);

/* texts (FV_LETTER_TEXTS) lie in letter. FV_ERR_COMM if it is none of these letters. */
fv_err fv_letter_read(const fv_buffer *letter, int from, fv_letter_head *head, fv_slice *texts);

#endif
