/* A sweep: runs of training that differ in some settings. Local.
 *
 *     config: configs/train/glance.yaml
 *     out: runs/rates                # the folder of the run NAME is out/NAME
 *     set: {steps: 100}              # of all runs
 *     grid:                          # every combination
 *       optimizer.rate: [1e-4, 2e-4]
 *       seed: [1, 2, 3]
 *     list:                          # and these
 *       - {optimizer.rate: 1e-3, seed: 1}
 *     random:                        # and as many draws, each the same however many there are
 *       runs: 20
 *       seed: 1
 *       values:
 *         optimizer.rate: {from: 1e-5, to: 1e-3, scale: log}     # or linear; whole numbers if both ends are
 *         rollout.samples: [4, 8, 16]
 *     except:                        # but not those that are like one of these
 *       - {optimizer.rate: 1e-4, seed: 3}
 *     name: rate-{optimizer.rate}-{seed}    # without it: all that differs, "rate=0.0001_seed=1"
 *     command: train                 # or sft
 *     metric: reward                 # a figure of metrics.jsonl; what is best is
 *     best: largest                  # or smallest
 *
 * A run's name follows from its own values alone, so a sweep that grows keeps the runs that it had. A run
 * that is planned twice is one. */
#ifndef FOVEA_SWEEP_SWEEP_H
#define FOVEA_SWEEP_SWEEP_H

#include "fovea/base/buffer.h"
#include "fovea/run/config.h"
#include "fovea/io/json.h"

typedef struct fv_sweep_run {
    char *name;      /* owned; a file name */
    fv_json *values; /* owned: an object, the settings that are this run's own */
} fv_sweep_run;

/* Starts as {0}. */
typedef struct fv_sweep {
    char *config, *out, *command, *name, *metric; /* owned; name, a template, may be NULL */
    int is_least_best;
    fv_json *common; /* owned: an object, the settings of all runs */
    char **keys;     /* owned, (n_keys): of all runs' own settings, in the order of the file */
    int n_keys;
    fv_sweep_run *runs; /* owned, (n_runs) */
    int n_runs;
} fv_sweep;

/* FV_ERR_FORMAT names the file and what is wrong with it: an unknown key, an empty list, two runs of one
 * name, a run that its configuration refuses. */
fv_err fv_sweep_load(const char *path, fv_sweep *out);
void fv_sweep_fini(fv_sweep *sweep); /* back to {0} */

/* Append the arguments of fovea that make the run, each followed by end: the command, the configuration,
 * out=..., and KEY=VALUE for all settings. */
fv_err fv_sweep_arguments(const fv_sweep *sweep, const fv_sweep_run *run, char end, fv_buffer *out);

/* The settings of the run; the caller ends them with fv_settings_fini (fv_train_settings). */
fv_err fv_sweep_settings(const fv_sweep *sweep, const fv_sweep_run *run, fv_train_config *out);

/* Append a value as it is written on a command line; of an absent one (NULL) nothing. */
fv_err fv_sweep_print_value(const fv_json *value, fv_buffer *out);

#endif
