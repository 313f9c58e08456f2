/* The policy loss, token by token, and its slopes. Local.
 *
 * Over the tokens t that the model generated, of log-prob new_t now, old_t when they were generated and ref_t
 * under the reference policy, with the advantage A of their sequence:
 *
 *     loss = sum over t of w_t (policy_t + kl_weight kl_t - entropy_weight entropy_t)
 *
 * policy_t, with clip(x) = x held within [1 - clip_low, 1 + clip_high]:
 *   token     max(-r A, -clip(r) A), r = exp(new - old)
 *             PPO, Schulman et al., 2017, equation 7; two bounds: DAPO, Yu et al., 2025, equation 10
 *             with a dual_clip c, where A < 0: at most -c A, so that a ratio beyond c moves nothing
 *             Ye et al., 2020, equation 5 (Mastering complex control in MOBA games)
 *   sequence  the same with r = exp(mean of new - old over the sequence's tokens)
 *             GSPO, Zheng et al., 2025, equations 5 and 7
 *   cispo     -clip(r) A new, with clip(r) taken as a constant
 *             MiniMax-M1, 2025, equations 4 and 5
 *
 * The exponent is held within [-20, 20]; beyond, the slope of token and sequence is 0. cispo with old = new
 * and advantages of 1 is the cross-entropy of supervised training.
 *
 * kl_t, with d = ref - new; k1, k2 and k3 of Approximating KL divergence, Schulman, 2020, are plain, mse and
 * low_var:
 *   plain    -d
 *   abs      |d|
 *   mse      d^2 / 2
 *   low_var  exp(d) - d - 1, at most 10; beyond, its slope is 0
 *
 * w_t, the same for all tokens of a sequence:
 *   sequence  1 / (sequences x tokens of this one)
 *             DeepSeekMath, Shao et al., 2024, equation 3
 *   token     1 / tokens
 *             DAPO, equation 8
 *   constant  1 / (sequences x constant), constant: the longest response allowed
 *             Understanding R1-Zero-like training, Liu et al., 2025
 *
 * Sequences and tokens are counted over the whole mini-batch, all ranks and micro-batches, so neither shows
 * in the result; a sequence must lie in one micro-batch. */
#ifndef FOVEA_TRAIN_LOSS_H
#define FOVEA_TRAIN_LOSS_H

#include "fovea/base/error.h"

#include <stdint.h>

typedef enum fv_ratio_kind { FV_RATIO_TOKEN, FV_RATIO_SEQUENCE, FV_RATIO_CISPO } fv_ratio_kind;
typedef enum fv_kl_kind { FV_KL_PLAIN, FV_KL_ABS, FV_KL_MSE, FV_KL_LOW_VAR } fv_kl_kind;
typedef enum fv_kl_place { FV_KL_IN_LOSS, FV_KL_IN_REWARD } fv_kl_place;
typedef enum fv_loss_mean { FV_MEAN_SEQUENCE, FV_MEAN_TOKEN, FV_MEAN_CONSTANT } fv_loss_mean;

typedef struct fv_loss_settings {
    fv_ratio_kind ratio;
    double clip_low;  /* 0 to 1 */
    double clip_high; /* 0 or more */
    double dual_clip; /* above 1; 0, the default: none. Of token and sequence only */
    fv_kl_kind kl;
    fv_kl_place kl_place;
    double kl_weight;      /* 0 or more */
    double entropy_weight; /* 0 or more */
    fv_loss_mean mean;
    int64_t constant; /* tokens, above 0; of FV_MEAN_CONSTANT only */
} fv_loss_settings;
#define FV_LOSS_DEFAULT                            \
    ((fv_loss_settings){.ratio = FV_RATIO_TOKEN,   \
                        .clip_low = 0.2,           \
                        .clip_high = 0.2,          \
                        .kl = FV_KL_LOW_VAR,       \
                        .kl_place = FV_KL_IN_LOSS, \
                        .kl_weight = 0.001,        \
                        .entropy_weight = 0.001,   \
                        .mean = FV_MEAN_SEQUENCE})

fv_err fv_loss_check(const fv_loss_settings *settings);

/* Whether the reference policy's log-probs are wanted in the loss. */
int fv_loss_needs_reference(const fv_loss_settings *settings);

/* Whether they are wanted in the reward. */
int fv_loss_charges_kl(const fv_loss_settings *settings);

/* A micro-batch: n_sequences responses in N = starts[n_sequences] tokens. Tokens with mask 0 (prompts, tool
 * texts, images) count nowhere and their numbers are not looked at. */
typedef struct fv_loss_args {
    const float *new_logprob, *old_logprob; /* (N) */
    const float *ref_logprob;               /* (N); NULL unless fv_loss_needs_reference */
    const float *entropy;                   /* (N), of the distribution; may be NULL if entropy_weight is 0 */
    const uint8_t *mask;                    /* (N), 1: generated */
    const double *advantages;               /* (n_sequences) */
    const int64_t *starts;                  /* (n_sequences + 1), rising from 0 */
    int64_t n_sequences;
    int64_t all_sequences, all_tokens; /* of the whole mini-batch; tokens with mask 1 */
    float *logprob_grad;               /* out, (N): d loss / d new_logprob, 0 where mask is 0 */
    float *entropy_grad;               /* out, (N): d loss / d entropy; NULL unless entropy_weight > 0 */
} fv_loss_args;

/* Sums over tokens; added up over micro-batches and ranks they give the mini-batch's figures. */
typedef struct fv_loss_sums {
    double policy, kl, entropy;     /* each of w_t times the term: parts of the loss, before their weights */
    double plain_kl, plain_entropy; /* of the terms alone; / n_tokens: their means, whatever w_t is */
    double ratio;                   /* of r; / n_tokens: the mean ratio */
    double approx_kl;               /* of old - new; / n_tokens: the approximate KL to the sampling policy */
    double max_logprob_diff;        /* the largest |new - old|, no sum: exactly 0 on fresh samples */
    int64_t n_tokens,
        n_clipped; /* tokens; those whose ratio was clipped, by either bound: the loss, or cispo's weight */
} fv_loss_sums;

void fv_loss_sums_add(fv_loss_sums *sums, const fv_loss_sums *part);

/* The loss that the sums make up. */
double fv_loss_value(const fv_loss_settings *settings, const fv_loss_sums *sums);

/* Writes the gradients and *sums. All in double, token after token. FV_ERR_NUMERIC names the sequence and
 * token of a number that is not finite; FV_ERR_ARGUMENT: arrays or counts that are missing. */
fv_err fv_loss_compute(const fv_loss_settings *settings, const fv_loss_args *args, fv_loss_sums *sums);

/* With the KL in the reward: kl_weight x sum of kl_t over the n tokens of one response, at the log-probs it
 * was generated with. For fv_reward.kl. */
double fv_loss_kl_of_answer(const fv_loss_settings *settings, const float *logprob, const float *ref_logprob,
                            const uint8_t *mask, int64_t n);

#endif
