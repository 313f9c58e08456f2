/* fovea sweep: many runs of training that differ in some settings. */
#include "jobs/sweep/sweep.h"

#include "jobs/jobs.h"
#include "jobs/option.h"
#include "jobs/terminal.h"

#include <stdio.h>
#include <string.h>

enum { KEY_MAX_PARALLEL = 0x301, KEY_DEPENDENCY, KEY_DRY_RUN, KEY_LAUNCHER, KEY_BEST, KEY_LIMIT };

static const struct argp_option option_list[] = {
    {"max-parallel", KEY_MAX_PARALLEL, "N", 0, "submit, retry, run: so many runs at a time", 0},
    {"limit", KEY_LIMIT, "N", 0, "submit, retry: N runs at most", 0},
    {"dependency", KEY_DEPENDENCY, "SPEC", 0, "submit, retry: begin after another job, e.g. afterok:123", 0},
    {"dry-run", KEY_DRY_RUN, NULL, 0, "submit, retry, run: print what would be done", 0},
    {"launcher", KEY_LAUNCHER, "COMMAND", 0, "run: what starts the ranks of a run, e.g. \"mpirun -n 2\"", 0},
    {"best", KEY_BEST, "N", 0, "collect: print the N best runs only", 0},
    {0}};

static fv_err plan(const fv_sweep *sweep, const fv_sweep_options *options)
{
    (void)options;
    for (int i = 0; i < sweep->n_runs; i++) {
        fv_buffer line = {0};
        fv_err err = fv_sweep_arguments(sweep, &sweep->runs[i], ' ', &line);
        if (err == FV_OK)
            printf("%4d  %-40s fovea %s\n", i + 1, sweep->runs[i].name, line.data);
        fv_buffer_fini(&line);
        FV_TRY(err);
    }
    printf("%d runs\n", sweep->n_runs);
    return FV_OK;
}

static const struct {
    const char *name;
    fv_err (*run)(const fv_sweep *, const fv_sweep_options *);
} verbs[] = {{"plan", plan},
             {"submit", fv_sweep_submit},
             {"status", fv_sweep_status},
             {"retry", fv_sweep_retry},
             {"collect", fv_sweep_collect},
             {"run", fv_sweep_run_here}};
enum { N_VERBS = sizeof verbs / sizeof *verbs };

static int find_verb(const char *name)
{
    int i = 0;
    while (i < N_VERBS && strcmp(verbs[i].name, name) != 0)
        i++;
    return i;
}

static void take_argument(fv_sweep_options *out, char *argument, struct argp_state *state)
{
    if (!out->verb) {
        out->verb = argument;
        if (find_verb(argument) == N_VERBS)
            argp_error(state, "there is no verb \"%s\": plan, submit, status, retry, collect or run",
                       argument);
        return;
    }
    if (!out->file) {
        out->file = fv_parse_path(state, "SWEEP.yaml", argument);
        return;
    }
    if (out->n_others == 0)
        out->others = &state->argv[state->next - 1];
    out->n_others++;
    if (strcmp(out->verb, "submit") != 0 && strcmp(out->verb, "retry") != 0)
        argp_error(state, "unexpected argument \"%s\"", argument);
}

#define AT(member) offsetof(fv_sweep_options, member)
static const fv_option table[] = {
    {KEY_MAX_PARALLEL, FV_OPTION_INT, AT(max_parallel), .low = 1, .high = 100000},
    {KEY_LIMIT, FV_OPTION_INT, AT(limit), .low = 1, .high = 100000},
    {KEY_DEPENDENCY, FV_OPTION_TEXT, AT(dependency)},
    {KEY_DRY_RUN, FV_OPTION_FLAG, AT(dry_run)},
    {KEY_LAUNCHER, FV_OPTION_TEXT, AT(launcher)},
    {KEY_BEST, FV_OPTION_INT, AT(best), .low = 1, .high = 100000},
    {0}};

static error_t parse(int key, char *argument, struct argp_state *state)
{
    fv_sweep_options *out = state->input;
    switch (key) {
    case ARGP_KEY_ARG:
        take_argument(out, argument, state);
        return 0;
    case ARGP_KEY_END:
        if (!out->file)
            argp_error(state, "a verb and a sweep are required");
        return 0;
    default:
        return fv_option_set(table, option_list, key, argument, state, out);
    }
}

int fv_job_sweep(int argc, char **argv)
{
    const struct argp argp = {
        .options = option_list,
        .parser = parse,
        .args_doc = "VERB SWEEP.yaml [-- OPTION OF sbatch...]",
        .doc = "Many runs of training that differ in some settings (include/fovea/sweep/sweep.h). plan "
               "prints them; "
               "submit queues those that are new, as one job array; status tells of each: state, last step, "
               "job, "
               "log and reason; retry queues again those that failed, or were done with other settings than "
               "the file has now; collect makes a table of results; run does without Slurm, here."};
    fv_sweep_options options = {.launcher = ""};
    fv_sweep sweep;
    fv_terminal_parse(&argp, argc, argv, &options);
    fv_err err = fv_sweep_load(options.file, &sweep);
    if (err == FV_OK)
        err = verbs[find_verb(options.verb)].run(&sweep, &options);
    if (err == FV_OK || sweep.n_runs > 0)
        fv_sweep_fini(&sweep);
    int status = fv_job_finish(err);
    return err == FV_STOPPED ? FV_EXIT_AGAIN : status;
}
