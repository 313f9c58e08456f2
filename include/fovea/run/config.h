/* The configuration of training: one struct, filled from YAML and key=value (settings.h). Local.
 *
 * The keys of a file are those of `fovea train --keys`; a section of the file is a member here. Where a stage
 * has settings of its own, they are embedded as they are. Defaults are those of VisionThink's two-turn
 * product (Yang et al., 2025). A step takes rollout.prompts prompts, generates rollout.samples samples of
 * each, and trains on them in mini-batches of update.groups groups. */
#ifndef FOVEA_RUN_CONFIG_H
#define FOVEA_RUN_CONFIG_H

#include "fovea/reward/tool_penalty.h"
#include "fovea/reward/format.h"
#include "fovea/reward/judge/judge_api.h"
#include "fovea/reward/judge/judge_local.h"
#include "fovea/run/retention.h"
#include "fovea/train/loss.h"
#include "fovea/train/row_demands.h"
#include "fovea/model/optimizer.h"
#include "fovea/reward/reward.h"
#include "fovea/io/settings/settings.h"
#include "fovea/ops/backend_choice.h"
#include "fovea/train/step/step_plan.h"
#include "fovea/data/view.h"
#include "fovea/comm/watch/watch.h"

typedef struct fv_run_config {
    char *model;   /* folder */
    char *out;     /* run folder */
    char *prompts; /* YAML file (prompt_template.h) */
    int64_t seed;
    int64_t steps;
    int threads;             /* of a rank; 0: as OpenMP says */
    fv_backend_kind backend; /* cuda: one rank, precision bf16, of a local judge too; of a run that is open:
                                what was taken */
    char *kernels;           /* fv_backend_cpu_create; "": the best of the processor */
    fv_precision_choice precision;
    double memory_gigabytes; /* of tensors that a rank may hold; 0: what its device has, or no limit on the
                                cpu */
} fv_run_config;

/* The newest checkpoint of out comes first. Where there is none: from "auto" begins anew, any other text is
 * the path of the checkpoint to go on from. "none": out must not hold a run. "resume: auto" is short for
 * from. */
typedef struct fv_resume_config {
    char *from;
    char *accept; /* settings that may differ from the checkpoint's (fv_progress_check), a list */
} fv_resume_config;

typedef struct fv_data_config {
    char *train;          /* a pack */
    char *validate;       /* a pack; "": no validation */
    fv_too_long too_long; /* row_demands.h: of training, validation and selection */
} fv_data_config;

/* Of the ranks, judge_ranks judge; the others, in groups of tensor, hold one copy of the model a group. Which
 * ranks there are changes no bit of what is generated; chunks, the order of its sums, does. */
typedef struct fv_layout_config {
    int tensor, judge_ranks, chunks;
} fv_layout_config;

/* What the prompt shows; the tool shows the high-resolution view. */
typedef enum fv_view_choice { FV_VIEW_LOW, FV_VIEW_HIGH } fv_view_choice;

typedef struct fv_views_config {
    fv_view_choice prompt;
    fv_view_settings bounds; /* keys min_pixels, max_pixels, transparency, filter, tool */
    int workers; /* threads of a rank that make views ahead; -1: as many as cores are left (fv_view_workers)
                  */
    int cache_megabytes; /* of views that a rank keeps during a step */
} fv_views_config;

typedef struct fv_rollout_config {
    int prompts; /* groups of a step */
    int samples; /* of a prompt: the size of its group */
    float temperature, top_p;
    int top_k;
    int max_turn_tokens; /* this and the next three: fv_dialogue */
    int64_t max_tokens;
    int max_turns, max_images;
    int max_running, pass_tokens, cache_pages; /* fv_rollout_settings */
    int sampling_rounds; /* times a step may take further prompts in place of dropped groups, and prompts in
                            all as a multiple of prompts; 0: never */
} fv_rollout_config;

/* Who says whether an answer is right: reward.verifier alone, a model behind an API, a model in the run's own
 * processes, an external program, or the log of what one of the three has said before. */
typedef enum fv_judge_choice {
    FV_JUDGE_VERIFIER,
    FV_JUDGE_API,
    FV_JUDGE_LOCAL,
    FV_JUDGE_PROGRAM,
    FV_JUDGE_REPLAY
} fv_judge_choice;

typedef struct fv_reward_config {
    fv_judge_choice judge;
    char *verifier;            /* of accuracy: fv_verifier_find */
    double max_unjudged_share; /* of a step's samples without a verdict */
    fv_extraction extraction;
    fv_format_settings format; /* keys product, needs_valid_call */
    fv_reward_weights weights; /* keys accuracy_weight, format_weight */
    /* keys tool_penalty (its kind), tool_penalty_theta, tool_penalty_size */
    fv_tool_penalty_settings tool_penalty;
    fv_overlong_settings overlong; /* keys overlong_tokens, overlong_buffer, overlong_size */
} fv_reward_config;

/* A local judge's: that of the run, or its own. */
typedef enum fv_judge_precision {
    FV_JUDGE_AS_RUN,
    FV_JUDGE_FP32 = FV_JUDGE_AS_RUN + 1 + FV_PRECISION_FP32,
    FV_JUDGE_BF16 = FV_JUDGE_AS_RUN + 1 + FV_PRECISION_BF16
} fv_judge_precision;

/* Judges other than a verifier. */
typedef struct fv_judge_config {
    char *prompt;                  /* YAML file (judge_prompt.h) */
    fv_judge_api_settings api;     /* keys service to reply_tokens; in_flight is of the whole run */
    fv_judge_local_settings local; /* keys method, pass_tokens, cache_pages; its folder is model */
    fv_judge_precision precision;  /* of a local one; changes verdicts near a draw */
    char *program;                 /* fv_judge_program_settings */
    int verifier_first;            /* what reward.verifier gives 1 is right without more; and */
    double audit;                  /* fv_judge_prefilter_create */
    char *log;                     /* folder (verdict_log.h); "": verdicts in the folder of the run */
    int64_t log_verdicts;          /* kept at most */
} fv_judge_config;

typedef struct fv_advantage_config {
    char *estimator; /* fv_estimator_find */
    double eps;
} fv_advantage_config;

typedef struct fv_update_config {
    int groups;            /* of a mini-batch: one step of the optimizer */
    fv_partial partial;    /* fv_step_plan */
    int64_t micro_tokens;  /* of a micro-batch */
    int recompute;         /* activations are computed again in the backward pass, not kept, */
    int kept_layers;       /* but for so many layers of each tower; -1: as many as memory_gigabytes allow */
    int reference_on_host; /* fv_reference_init */
    int skip_limit;        /* updates in a row that may be skipped for numbers that are not finite */
} fv_update_config;

/* SFT examples (sft_example.h). */
typedef struct fv_sft_config {
    char *answer, *call; /* turns; call "": examples never call */
    double call_share;
    char *plain_prompts; /* YAML file of a wording without tool; "": none */
    double plain_share;  /* of the examples, half from the low-resolution view and half from the
                            high-resolution one */
} fv_sft_config;

typedef enum fv_schedule { FV_SCHEDULE_CONSTANT, FV_SCHEDULE_LINEAR, FV_SCHEDULE_COSINE } fv_schedule;

typedef struct fv_optimizer_config {
    double rate; /* learning rate, at its highest */
    int64_t warmup_steps;
    fv_schedule schedule;
    double final_share;          /* of rate, where linear and cosine end */
    fv_optimizer_settings adamw; /* keys beta1 to moments; its seed is the run's */
} fv_optimizer_config;

typedef struct fv_validate_config {
    int64_t every; /* steps; 0: only at the end */
    int before;    /* also before the first step */
    float temperature;
    float repetition_penalty; /* 1: none; 0: as the model's generation_config.json says */
} fv_validate_config;

typedef struct fv_save_config {
    int64_t every;          /* steps; 0: only at the end, or when the run is stopped */
    fv_retention retention; /* keys keep_last, keep_every, keep_best */
    char *best_by;          /* a figure of metrics.jsonl, with a minus in front if less is better */
    int64_t max_unsaved;    /* steps that go on while saves fail; 0: to the end */
} fv_save_config;

typedef struct fv_log_config {
    int trajectories;  /* of a step that are written into the run folder */
    double peak_flops; /* floating-point operations a second that all ranks can do; 0: unknown */
} fv_log_config;

typedef struct fv_train_config {
    fv_run_config run; /* keys at the top of the file */
    fv_resume_config resume;
    fv_data_config data;
    fv_layout_config layout;
    fv_views_config views;
    fv_rollout_config rollout;
    fv_reward_config reward;
    fv_judge_config judge;
    fv_advantage_config advantage;
    fv_loss_settings loss;
    fv_update_config update;
    fv_optimizer_config optimizer;
    fv_validate_config validate;
    fv_save_config save;
    fv_watch_settings watch;
    fv_log_config log;
    fv_sft_config sft; /* for `fovea sft`, which shares the other sections */
} fv_train_config;

/* To read (fv_settings_read), print and free them. */
extern const fv_settings fv_train_settings;

/* What concerns several fields, and names that stages look up. n_ranks: processes of the run.
 * FV_ERR_ARGUMENT names the keys, with the arithmetic. */
fv_err fv_train_config_check(const fv_train_config *config, int n_ranks);
/* The same for supervised training. */
fv_err fv_sft_config_check(const fv_train_config *config, int n_ranks);
/* The same for the selection of rows (select.h), which has the rollout and the reward of training. */
fv_err fv_select_config_check(const fv_train_config *config, int n_ranks);

/* Whose verdicts they are: reward.judge, but of a replay the program if one is given, else the local model if
 * judge.model is a folder, else the API. */
fv_judge_choice fv_judge_of(const fv_train_config *config);

/* As what the numbers of a local judge are stored. */
fv_precision_choice fv_judge_precision_of(const fv_train_config *config);

/* The learning rate of a step, 1 to steps. It rises over warmup_steps to rate, rate / warmup_steps a step,
 * and then is constant, or falls as a line or half a cosine towards final_share x rate, which the step after
 * the last would have: no step has a rate of 0. */
double fv_rate_at(const fv_optimizer_config *config, int64_t step, int64_t steps);

#endif
