#include "jobs/texts.h"

fv_err fv_texts_open(fv_texts *t, const char *model, const char *prompts)
{
    FV_TRY(fv_tokenizer_load(model, &t->tokenizer));
    FV_TRY(fv_chat_init(&t->chat, t->tokenizer));
    FV_TRY(fv_prompts_load(prompts, &t->prompts));
    t->n_vision_ids = fv_chat_vision_ids(&t->chat, t->vision_ids);
    return FV_OK;
}

void fv_texts_close(fv_texts *t)
{
    fv_prompts_destroy(t->prompts);
    fv_tokenizer_destroy(t->tokenizer);
    *t = (fv_texts){0};
}
