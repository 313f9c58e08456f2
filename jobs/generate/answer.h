/* What fovea generate tells: text as it comes, or one line of JSON. Local. */
#ifndef FOVEA_JOBS_GENERATE_ANSWER_H
#define FOVEA_JOBS_GENERATE_ANSWER_H

#include "fovea/base/buffer.h"
#include "fovea/model/tokenizer/tokenizer.h"

/* Starts as {0}. */
typedef struct fv_generate_answer {
    int is_streamed; /* text goes to standard output as it comes */
    fv_token_stream stream;
    fv_buffer text;
    fv_tokens ids;   /* that were generated */
    float *logprobs; /* (max_tokens) */
    /* Known at the end. */
    int is_stopped; /* by the model, not by a length */
    int64_t prompt_tokens, visual_tokens;
    int calls; /* of the tool; below 0: there is none */
} fv_generate_answer;

fv_err fv_generate_answer_init(fv_generate_answer *answer, const fv_tokenizer *tokenizer, size_t max_tokens,
                               int is_streamed);
void fv_generate_answer_fini(fv_generate_answer *answer);

/* A token; a turn of the assistant that follows another. The context is the answer. */
fv_err fv_generate_answer_receive(void *context, int32_t id, float logprob);
fv_err fv_generate_answer_turn(void *context);

/* The end of the text, or the line of JSON. */
fv_err fv_generate_answer_end(fv_generate_answer *answer, int prints_json);

#endif
