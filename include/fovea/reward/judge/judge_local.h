/* A text model run by this program as a judge: Qwen2, Qwen2.5 or Qwen3 text. Local.
 *
 * The verdict is the word of the prompt's grammar (1 or 0, YES or NO) that the model finds likelier at the
 * place where its reply would say it, so no text is parsed; a draw is no verdict. Or the model thinks: its
 * reply is generated greedily, and what follows the last "</think>" is read (verdict.h).
 *
 * The tokens of the prompt around the data are the same for every case, for each piece of data is made tokens
 * by itself and as plain text: no answer can become a special token or part of the prompt's. All up to the
 * first data is computed once. A verdict does not depend on what other cases it is computed beside. */
#ifndef FOVEA_REWARD_JUDGE_JUDGE_LOCAL_H
#define FOVEA_REWARD_JUDGE_JUDGE_LOCAL_H

#include "fovea/model/precision.h"
#include "fovea/ops/backend.h"
#include "fovea/reward/judge/judge_prompt.h"
#include "fovea/model/tokenizer/tokenizer.h"

typedef enum fv_judge_method { FV_JUDGE_COMPARE, FV_JUDGE_THINK } fv_judge_method;

typedef struct fv_judge_local_settings {
    const char *folder;     /* of the model; borrowed for the call */
    fv_precision precision; /* as what the model's numbers are stored */
    fv_judge_method method;
    int reply_tokens; /* of a reply that thinks, at most, thoughts too */
    int running;      /* cases at once */
    int pass_tokens;  /* of a pass of the model */
    int cache_pages;  /* of the key-value cache (cache.h) */
} fv_judge_local_settings;

/* backend is borrowed, prompt taken, also on failure. Polled without a wait it computes full passes only. */
fv_err fv_judge_local_create(fv_backend *backend, const fv_judge_local_settings *settings,
                             fv_judge_prompt *prompt, fv_judge **out);

/* The tokens of cases. Starts as {0}. */
typedef struct fv_judge_tokens {
    const fv_tokenizer *tokenizer;        /* borrowed */
    const fv_judge_prompt *prompt;        /* borrowed */
    fv_tokens fixed[FV_JUDGE_PLACES + 1]; /* around the data; the first is the beginning of every case */
    int32_t stop;                         /* ends a reply */
    int32_t words[2]; /* of right and wrong: what follows the last fixed one, if compared */
} fv_judge_tokens;

fv_err fv_judge_tokens_init(fv_judge_tokens *tokens, const fv_tokenizer *tokenizer,
                            const fv_judge_prompt *prompt, fv_judge_method method);
void fv_judge_tokens_fini(fv_judge_tokens *tokens); /* back to {0} */

/* Append the tokens of a case after the beginning. starts (FV_JUDGE_PLACES) and ends: where in out each data
 * lies; may both be NULL. */
fv_err fv_judge_tokens_case(const fv_judge_tokens *tokens, const fv_case *asked, fv_tokens *out,
                            size_t *starts, size_t *ends);

#endif
