/* fovea score: answers that are there already, scored as a task says. No model is needed. */
#include "jobs/jobs.h"
#include "jobs/option.h"
#include "jobs/score/samples.h"
#include "jobs/score/verdicts.h"
#include "jobs/terminal.h"

#include "fovea/base/file.h"
#include "fovea/eval/answers.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct score_options {
    const char *task, *answers, *data, *out, *samples;
    const char **overrides; /* of the task, (n_overrides); borrowed from argv */
    int n_overrides;
    int is_json, wants_keys;
    fv_verdict_settings verdicts;
} score_options;

enum {
    KEY_TASK = 256,
    KEY_ANSWERS,
    KEY_DATA,
    KEY_OUT,
    KEY_SAMPLES,
    KEY_JSON,
    KEY_KEYS,
    KEY_PRODUCT,
    KEY_CALLS,
    KEY_PENALTY,
    KEY_THETA,
    KEY_SIZE
};

static const struct argp_option options[] = {
    {"task", KEY_TASK, "FILE", 0, "a benchmark of configs/eval (required)", 1},
    {"answers", KEY_ANSWERS, "FILE", 0,
     "JSON lines, or a folder of fovea eval: what is taken of a line is said below (required)", 1},
    {"data", KEY_DATA, "PACK.h5", 0, "the data set that was asked; without it lines hold their truths", 1},
    {"out", KEY_OUT, "FILE", 0,
     "receives a line an answer: the answer proper, reading, score, format, call and tool penalty", 1},
    {"samples", KEY_SAMPLES, "FILE", 0, "receives the answers in the form of lmms-eval's samples", 1},
    {"json", KEY_JSON, 0, 0, "print the sums as JSON, not as a table", 1},
    {"keys", KEY_KEYS, 0, 0, "print all keys of a task with their defaults, and stop", 1},
    {0, 0, 0, 0, "Rewards:", 2},
    {"product", KEY_PRODUCT, "NAME", 0, "whose format answers keep to: efficient or general (efficient)", 2},
    {"calls", KEY_CALLS, "NAME", 0,
     "valid: a bad call breaks the format, as in the paper; tags: its tags are enough, as in the released "
     "program "
     "(valid)",
     2},
    {"tool-penalty", KEY_PENALTY, "NAME", 0,
     "none, paper or code: over the answers to the same row (fovea/reward/tool_penalty.h) (paper)", 2},
    {"theta", KEY_THETA, "X", 0, "share of direct answers where the tool penalty turns (0.2)", 2},
    {"size", KEY_SIZE, "X", 0, "what the tool penalty costs (0.1)", 2},
    {0}};

#define AT(member) offsetof(score_options, member)
static const char *const product_names[] = {"general", "efficient", NULL};
static const char *const call_names[] = {"tags", "valid", NULL};
static const char *const penalty_names[] = {"none", "paper", "code", NULL};
static const fv_option table[] = {
    {KEY_TASK, FV_OPTION_PATH, AT(task)},
    {KEY_ANSWERS, FV_OPTION_PATH, AT(answers)},
    {KEY_DATA, FV_OPTION_PATH, AT(data)},
    {KEY_OUT, FV_OPTION_PATH, AT(out)},
    {KEY_SAMPLES, FV_OPTION_PATH, AT(samples)},
    {KEY_JSON, FV_OPTION_FLAG, AT(is_json)},
    {KEY_KEYS, FV_OPTION_FLAG, AT(wants_keys)},
    {KEY_PRODUCT, FV_OPTION_CHOICE, AT(verdicts.format.product), .names = product_names},
    {KEY_CALLS, FV_OPTION_CHOICE, AT(verdicts.format.needs_valid_call), .names = call_names},
    {KEY_PENALTY, FV_OPTION_CHOICE, AT(verdicts.tool_penalty.kind), .names = penalty_names},
    {KEY_THETA, FV_OPTION_REAL, AT(verdicts.tool_penalty.theta), .least = 0, .most = 1},
    {KEY_SIZE, FV_OPTION_REAL, AT(verdicts.tool_penalty.size), .least = 0, .most = 1e6},
    {0}};

static error_t parse(int key, char *text, struct argp_state *state)
{
    score_options *o = state->input;
    switch (key) {
    case ARGP_KEY_ARGS:
        o->overrides = (const char **)state->argv + state->next;
        o->n_overrides = state->argc - state->next;
        return 0;
    case ARGP_KEY_END:
        if (!o->wants_keys && (!o->task || !o->answers))
            argp_error(state, "--task FILE and --answers FILE are required");
        return 0;
    default:
        return fv_option_set(table, options, key, text, state, o);
    }
}

typedef struct scoring {
    const score_options *options;
    fv_task task;
    fv_dataset *dataset; /* NULL: none */
    fv_report report;
} scoring;

/* A folder of fovea eval stands for its samples. */
static fv_err find_answers(const char *given, char path[PATH_MAX])
{
    struct stat status;
    if (stat(given, &status) == 0 && S_ISDIR(status.st_mode))
        return fv_file_path(path, PATH_MAX, given, "samples.jsonl");
    FV_CHECK(snprintf(path, PATH_MAX, "%s", given) < PATH_MAX, FV_ERR_ARGUMENT,
             "the path %.64s... is too long", given);
    return FV_OK;
}

static fv_err read_answers(scoring *s)
{
    const score_options *o = s->options;
    char path[PATH_MAX];
    const fv_answers_args args = {.path = path, .task = &s->task, .dataset = s->dataset, .data = o->data};
    FV_TRY(find_answers(o->answers, path));
    return fv_answers_read(&args, &s->report);
}

static fv_err score_answers(scoring *s)
{
    for (size_t i = 0; i < s->report.n; i++) {
        fv_err err = fv_task_score(&s->task, &s->report.records[i]);
        if (err != FV_OK)
            return fv_error_prefix(err, "%s: these are answers to another task", s->options->answers);
    }
    return FV_OK;
}

static fv_err print_json(const fv_report *report, double format, fv_buffer *out)
{
    fv_json *object = fv_json_make_object();
    fv_err err = FV_OK;
    FV_TRY_DONE(fv_json_set(object, "settings", fv_json_copy(report->settings)));
    FV_TRY_DONE(fv_report_sum(report, object));
    FV_TRY_DONE(fv_json_set(object, "format", fv_json_make_real(format)));
    FV_TRY_DONE(fv_json_print(object, 2, out));
    FV_TRY_DONE(fv_buffer_append(out, "\n", 1));
done:
    fv_json_destroy(object);
    return err;
}

static fv_err print_table(const fv_report *report, double format, fv_buffer *out)
{
    fv_summary summary;
    fv_results figures;
    FV_TRY(fv_report_results(report, &figures));
    fv_err err = fv_summary_init(&summary, report);
    if (err == FV_OK)
        err = fv_summary_print(&summary, (double)NAN, out);
    if (err == FV_OK)
        err = fv_buffer_print(out, "%-40s %10.4f\n", "format", format);
    if (err == FV_OK)
        err = fv_results_print(&figures, out);
    if (err == FV_OK)
        err = fv_report_print_published(report, out);
    fv_summary_fini(&summary);
    fv_results_fini(&figures);
    return err;
}

static fv_err print(const scoring *s, const fv_verdicts *verdicts)
{
    fv_buffer text = {0};
    double format = fv_verdicts_format(verdicts);
    fv_err err =
        s->options->is_json ? print_json(&s->report, format, &text) : print_table(&s->report, format, &text);
    if (err == FV_OK)
        fwrite(text.data, 1, text.size, stdout); /* main sees whether it was written */
    fv_buffer_fini(&text);
    return err;
}

static fv_err tell(const scoring *s)
{
    const score_options *o = s->options;
    fv_verdicts verdicts;
    FV_TRY(fv_verdicts_init(&verdicts, &o->verdicts, &s->report));
    fv_err err = o->out ? fv_verdicts_write(&verdicts, &s->task, o->out) : FV_OK;
    if (err == FV_OK && o->samples)
        err = fv_samples_write(&s->report, &s->task, o->samples);
    if (err == FV_OK)
        err = print(s, &verdicts);
    fv_verdicts_fini(&verdicts);
    return err;
}

static fv_err print_keys(void)
{
    fv_buffer text = {0};
    fv_err err = fv_task_print_keys(&text);
    if (err == FV_OK)
        fwrite(text.data, 1, text.size, stdout);
    fv_buffer_fini(&text);
    return err;
}

static fv_err score(const score_options *o)
{
    scoring s = {.options = o};
    fv_err err = FV_OK;
    FV_TRY_DONE(fv_tool_penalty_check(&o->verdicts.tool_penalty));
    FV_TRY_DONE(fv_task_load(o->task, o->overrides, o->n_overrides, &s.task));
    if (o->data)
        FV_TRY_DONE(fv_dataset_open(o->data, &s.dataset));
    s.report.settings = fv_json_make_object();
    FV_TRY_DONE(fv_task_describe(&s.task, s.report.settings));
    FV_TRY_DONE(read_answers(&s));
    FV_TRY_DONE(score_answers(&s));
    FV_TRY_DONE(tell(&s));
done:
    fv_report_fini(&s.report);
    fv_dataset_close(s.dataset);
    fv_task_fini(&s.task);
    return err;
}

int fv_job_score(int argc, char **argv)
{
    score_options o = {
        .verdicts = {.format = {FV_PRODUCT_EFFICIENT, 1}, .tool_penalty = FV_TOOL_PENALTY_DEFAULT}};
    const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "[KEY=VALUE...]",
        .doc =
            "Score answers that are there already by the rules of a benchmark: figures on standard output. "
            "KEY=VALUE overrides a key of the task.\v"
            "Of a line is taken what it has: \"row\" or \"doc_id\", else its place; the answer in \"turns\", "
            "\"response\", \"prediction\", \"filtered_resps\" or \"resps\"; unless --data is given the truth "
            "in "
            "\"truth\", \"target\" or the task's field, the question in \"question\", \"input\" or the "
            "task's "
            "field, and category and group in the task's fields. So it may be samples.jsonl of fovea eval, "
            "trajectories.jsonl of a run (with --data), samples that lmms-eval has logged, or rows of the "
            "benchmark with an answer to each. Several answers to one row are its samples."};
    fv_terminal_parse(&argp, argc, argv, &o);
    return fv_job_finish(o.wants_keys ? print_keys() : score(&o));
}
