/* The texts of a model: how it reads and writes, and the wording around a question. */
#ifndef FOVEA_JOBS_TEXTS_H
#define FOVEA_JOBS_TEXTS_H

#include "fovea/model/tokenizer/chat.h"
#include "fovea/train/prompt_template.h"

/* Starts as {0}; stays where it is while it is open. */
typedef struct fv_texts {
    fv_tokenizer *tokenizer;
    fv_chat chat;
    fv_prompts *prompts;
    int32_t vision_ids[FV_CHAT_VISION_IDS]; /* (n_vision_ids): never generated */
    int n_vision_ids;
} fv_texts;

/* model: its folder. prompts: the file of the wording. On failure what is open is still to be closed. */
fv_err fv_texts_open(fv_texts *texts, const char *model, const char *prompts);
void fv_texts_close(fv_texts *texts); /* back to {0} */

#endif
