/* fovea import: a model folder as the first checkpoint of a run. */
#include "jobs/jobs.h"
#include "jobs/option.h"
#include "jobs/terminal.h"

#include "fovea/model/checkpoint/checkpoint.h"
#include "fovea/model/checkpoint/import.h"
#include "fovea/run/lease.h"
#include "fovea/base/file.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

typedef struct import_options {
    const char *model, *out;
} import_options;

enum { KEY_MODEL = 256, KEY_OUT };

static const struct argp_option options[] = {
    {"model", KEY_MODEL, "DIR", 0, "the folder to read (required)", 0},
    {"out", KEY_OUT, "RUN", 0, "the run's folder, which has no checkpoints yet (required)", 0},
    {0}};

static const fv_option table[] = {{KEY_MODEL, FV_OPTION_PATH, offsetof(import_options, model)},
                                  {KEY_OUT, FV_OPTION_PATH, offsetof(import_options, out)},
                                  {0}};

static error_t parse(int key, char *text, struct argp_state *state)
{
    import_options *out = state->input;
    if (key == ARGP_KEY_END && (!out->model || !out->out))
        argp_error(state, "--model and --out are required");
    return fv_option_set(table, options, key, text, state, out);
}

/* The name of a checkpoint appears when it is whole. */
static fv_err publish(const fv_lease *lease, const char *made)
{
    static const char latest[] = "step_000000\n";
    char path[PATH_MAX];
    FV_TRY(fv_file_path(path, sizeof path, lease->checkpoints, "step_000000"));
    FV_TRY(fv_file_replace_folder(made, path));
    FV_TRY(fv_file_path(path, sizeof path, lease->checkpoints, "latest"));
    return fv_file_write(path, latest, strlen(latest)); /* and the names in its folder */
}

static fv_err make(const import_options *with, const fv_lease *lease)
{
    char path[PATH_MAX];
    uint64_t *steps;
    int n;
    FV_TRY(fv_checkpoint_list(lease->checkpoints, &steps, &n));
    free(steps);
    FV_CHECK(n == 0, FV_ERR_ARGUMENT, "%s has checkpoints already: give another run", with->out);
    FV_TRY(fv_file_path(path, sizeof path, lease->own, "step_000000"));
    FV_TRY(fv_file_make_folder(path));
    FV_TRY(fv_checkpoint_import(with->model, path));
    return publish(lease, path);
}

static fv_err import(const import_options *with)
{
    fv_lease lease;
    FV_TRY(fv_lease_take(with->out, &lease));
    fv_err err = make(with, &lease);
    fv_lease_release(&lease);
    return err;
}

int fv_job_import(int argc, char **argv)
{
    import_options with = {0};
    const struct argp argp = {
        .options = options,
        .parser = parse,
        .doc = "Make a model folder the checkpoint RUN/checkpoints/step_000000, with an optimiser that has "
               "not moved yet: training with resume: auto starts from it."};
    fv_terminal_parse(&argp, argc, argv, &with);
    return fv_job_finish(import(&with));
}
