/* What `fovea train` and `fovea sft` share: the command line, and what is built from a configuration. */
#ifndef FOVEA_JOBS_TRAINING_H
#define FOVEA_JOBS_TRAINING_H

#include "jobs/runtime.h"
#include "jobs/texts.h"

#include "fovea/run/config.h"
#include "fovea/run/journal.h"
#include "fovea/run/judge_demands.h"
#include "fovea/train/row_demands.h"
#include "fovea/run/saver.h"
#include "fovea/train/step/step.h"

typedef struct fv_training_options {
    const char *config;     /* CONFIG */
    const char **overrides; /* KEY=VALUE; owned list */
    int n_overrides;
    int dry_run; /* --dry-run */
    /* Set by the program: it samples in one turn from either view. rollout.max_turns and views.prompt are not
     * looked at, both views are checked and must differ. */
    int is_selection;
    int wants_folder;                                            /* --folder: printed, and the program ends */
    fv_err (*check)(const fv_train_config *config, int n_ranks); /* set by the program */
} fv_training_options;

/* A child parser; its input is a fv_training_options. --keys prints the reference and ends the program. */
extern const struct argp fv_training_argp;
extern const char fv_training_args_doc[];

/* A run by its nouns. Each starts as {0}. */

/* The questions of data.train: rows that are asked, and what their images go through. */
typedef struct fv_run_questions {
    fv_dataset *dataset;
    fv_rows rows; /* of dataset: those that are asked */
    fv_processor processor;
    fv_view_cache *view_cache; /* NULL: the data has no images */
    fv_largest_views largest;  /* of all rows that are asked, those of a validation too, */
    fv_largest_views trained;  /* and of those that are trained on */
} fv_run_questions;

/* How they are asked and answered. */
typedef struct fv_run_rollout {
    fv_prompt_builder builder;
    fv_dialogue dialogue;
    fv_rollout_settings settings;
    fv_engine *engine; /* for the whole run; NULL: nothing is rolled out */
    int has_penalties; /* of repetition, in validation */
} fv_run_rollout;

/* How samples are judged. */
typedef struct fv_run_judging {
    fv_mailbox *mailbox; /* to the ranks that judge; NULL: there are none */
    fv_judge *judge;
    fv_judge_demands *demands; /* NULL: not looked at yet, or the judge has none that is known */
    fv_score_settings score;
} fv_run_judging;

/* How the weights move. */
typedef struct fv_run_learning {
    fv_update_settings settings;
    const fv_reference *reference; /* NULL: none */
    fv_policy *policy;
    fv_optimizer optimizer;
    fv_updater *updater;
} fv_run_learning;

/* The folder of the run, and what is saved in it. */
typedef struct fv_run_saving {
    fv_lease lease; /* of rank 0 */
    fv_watch *watch;
    fv_saver *saver;
    fv_journal journal;   /* of rank 0 */
    uint64_t identity[3]; /* of data set, model and prompts */
    int64_t saved_step;   /* of the last save that was begun; -1: none */
    int is_due;           /* one has failed */
    int64_t failing_from; /* the step when saves began to fail; -1: they do not */
} fv_run_saving;

typedef struct fv_training {
    fv_runtime runtime;
    fv_train_config config;
    int has_config, is_selection;
    int is_plan; /* of a dry run: on the plan back end */
    fv_texts texts;
    fv_run_questions questions;
    fv_run_rollout rollout;
    fv_run_judging judging;
    fv_run_learning learning;
    fv_run_saving saving;
} fv_training;

/* Starts as {0}. Signals request a stop from now on. Collective over all processes. A process that judges
 * (runtime.is_judge) has its judge, and no model. */
fv_err fv_training_open(fv_training *training, const fv_training_options *options);

/* Measure rows before anything is generated (row_demands.h): the first dialogues and first views that they
 * are asked in (n_rooms), by the judge if they are judged, and by other measurers. rows receives those that
 * are asked, as data.too_long says. Collective over the processes that train. */
typedef struct fv_training_rows {
    const fv_dataset *data;
    const char *name; /* of data */
    const fv_dialogue_room *rooms;
    int n_rooms;
    int is_judged;
    const fv_measurer *others;
    int n_others;
} fv_training_rows;
fv_err fv_training_measure(fv_training *training, const fv_training_rows *what, fv_rows *rows);

/* What a prompt and its sample may take in this run. */
fv_dialogue_room fv_training_room(const fv_training *training, const fv_prompt_builder *builder,
                                  const fv_dialogue *dialogue);

/* From now on all processes are watched (watch.h): for a program that saves what it does. Collective over
 * them. */
fv_err fv_training_watch(fv_training *training);

/* Judge until those that train have come to their end. Of a process that judges. */
fv_err fv_training_judge(fv_training *training);

/* The engine of the run's rollouts, once all rows are measured. */
fv_engine_settings fv_training_engine_settings(const fv_training *training);
fv_err fv_training_open_engine(fv_training *training);

/* Who answers and judges in this run, once the engine is open. Local. */
fv_collector fv_training_collector(const fv_training *training);

/* Make the updater. reference: as in fv_updater_args. */
fv_err fv_training_prepare_updates(fv_training *training, const fv_loss_settings *loss, int is_supervised,
                                   fv_reference *reference);

/* Memory of a rank, in bytes: what a run takes for good and its largest passes. X(name, its words). */
#define FV_MEMORY_LIST(X)                                           \
    X(FV_MEMORY_WEIGHTS, "weights")                                 \
    X(FV_MEMORY_GRADIENTS, "gradients")                             \
    X(FV_MEMORY_MASTERS, "the optimizer but for moments")           \
    X(FV_MEMORY_MOMENTS, "moments of AdamW")                        \
    X(FV_MEMORY_REFERENCE, "reference policy")                      \
    X(FV_MEMORY_CACHE, "key-value cache")                           \
    X(FV_MEMORY_FEATURES, "features of images")                     \
    X(FV_MEMORY_ROLLOUT, "largest pass of the rollout")             \
    X(FV_MEMORY_VISION, "its images, encoded together")             \
    X(FV_MEMORY_UPDATE, "largest micro-batch of the update")        \
    X(FV_MEMORY_STATE_ON_HOST, "the optimizer, on the host")        \
    X(FV_MEMORY_REFERENCE_ON_HOST, "reference policy, on the host") \
    X(FV_MEMORY_VIEWS, "views of a step, on the host")

typedef enum fv_memory_part {
#define X(name, words) name,
    FV_MEMORY_LIST(X)
#undef X
        FV_MEMORY_PARTS,
    FV_MEMORY_TENSORS = FV_MEMORY_STATE_ON_HOST /* how many there are of the back end's memory: the first */
} fv_memory_part;

/* With these settings, before the updater is made. Local. */
fv_err fv_training_memory(const fv_training *training, double bytes[FV_MEMORY_PARTS]);

/* Choose how many layers keep their activations (learning.settings.save). FV_ERR_ARGUMENT, with the
 * arithmetic, if there is not enough memory even so. Collective over the processes that train. */
fv_err fv_training_choose_save(fv_training *training);

/* Of the layers of the taller tower, those that keep them. Local. */
int fv_training_kept_layers(const fv_training *training);

/* The largest micro-batch that settings and rows allow: counts, and grids, which are to be freed. Local. */
fv_err fv_training_largest(const fv_training *training, fv_packed *out);

/* On the plan back end: ask for what the largest micro-batch and the rollout ask for, so that their
 * workspaces are counted. Local. */
fv_err fv_training_rehearse(const fv_training *training);

/* Have the memory of any update before the first step. Local. */
fv_err fv_training_reserve(const fv_training *training);

/* Take the lease of the run folder, keep the log in it, go on from its newest checkpoint if there is one
 * (progress; step 0 otherwise), and open the journal there. */
fv_err fv_training_begin(fv_training *training, int is_supervised, fv_progress *progress);

/* What a program does in a run. */
typedef struct fv_training_work {
    void *context;
    const int64_t *step; /* steps done */
    /* To the end of the next step, if there is one, and what is due there. FV_STOPPED: stopped on request. */
    fv_err (*advance)(void *context);
    /* Tell how far it is: what fv_training_go does not know (it fills in identities, configuration, optimizer
     * and positions in the journal). An unfinished step is given away. */
    void (*describe)(void *context, fv_progress *progress);
} fv_training_work;

/* Advance to the last step and save whenever it is due; then write the model as out/model. Where a stop is
 * requested: save, and FV_STOPPED. */
fv_err fv_training_go(fv_training *training, const fv_training_work *work);

/* The row of a prompt of the run: every epoch in an order of its own. context: the fv_training. */
uint64_t fv_training_row(const void *context, int64_t prompt_index);

/* Print a table of the run's main figures, at its first step and at its last. Local. */
fv_err fv_training_print_table(const fv_training *training);

/* Close everything and end the program as fv_runtime_finish does. */
int fv_training_finish(fv_training *training, fv_err err);

#endif
