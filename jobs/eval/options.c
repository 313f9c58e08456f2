#include "jobs/eval/options.h"
#include "jobs/option.h"
#include "jobs/terminal.h"
#include "jobs/views_options.h"

#include "fovea/model/nn/pages.h"

#include <limits.h>

enum {
    KEY_DATA = 'd',
    KEY_OUT = 'o',
    KEY_MODE = 256,
    KEY_PROMPTS,
    KEY_TASK,
    KEY_MERGE,
    KEY_KEEP,
    KEY_SHARD,
    KEY_LIMIT,
    KEY_TOO_LONG,
    KEY_BY,
    KEY_VERIFIER,
    KEY_EXTRACTION,
    KEY_SAMPLES,
    KEY_TEMPERATURE,
    KEY_SEED,
    KEY_TENSOR,
    KEY_PENALTY,
    KEY_TURN_TOKENS,
    KEY_TOKENS,
    KEY_RUNNING,
    KEY_PASS_TOKENS,
    KEY_CACHE
};

static const struct argp_option options[] = {
    {"data", KEY_DATA, "PACK.h5", 0, "the data set, made by fovea pack (required)", 1},
    {"mode", KEY_MODE, "NAME", 0,
     "low: the low-resolution view, one turn; high: the high-resolution view, one turn; policy: the low "
     "one, then the tool "
     "(required)",
     1},
    {"prompts", KEY_PROMPTS, "FILE", 0,
     "the wording: in the sources configs/prompts/answer.yaml for low and high, look-closer.yaml for policy "
     "(required, unless the task names it)",
     1},
    {"task", KEY_TASK, "FILE", 0,
     "a benchmark of configs/eval: how answers are scored and what figures come of them, with a wording and "
     "bounds where no option says others",
     1},
    {"out", KEY_OUT, "DIR", 0, "receives summary.json, samples.jsonl and samples.h5 (required)", 1},
    {"keep", KEY_KEEP, NULL, 0,
     "if the folder has the results of this very evaluation, print their table; of another, say in what it "
     "differs",
     1},
    {0, 0, 0, 0, "Rows:", 3},
    {"limit", KEY_LIMIT, "N", 0, "the first N rows (all)", 3},
    {"too-long", KEY_TOO_LONG, "refuse|skip", 0,
     "what becomes of rows that are too long: none is evaluated, or they are left out (refuse)", 3},
    {"shard", KEY_SHARD, "I/N", 0, "only every N-th row, from the I-th (1/1)", 3},
    {"merge", KEY_MERGE, "DIR", 0, "join the folders of all shards in DIR; evaluate nothing", 3},
    {"by", KEY_BY, "FIELD", 0, "sums over rows that have the same in this extra field (by their sources)", 3},
    {0, 0, 0, 0, "Answers:", 4},
    {"verifier", KEY_VERIFIER, "NAME", 0, "what makes an answer right (exact)", 4},
    {"extraction", KEY_EXTRACTION, "NAME", 0,
     "split; strict: without tags no credit; none: the whole text (split)", 4},
    {"samples", KEY_SAMPLES, "N", 0,
     "of a row, each with its draws: figures of all of them, how many rows one of k is right for, and what "
     "most say "
     "(1)",
     4},
    {"temperature", KEY_TEMPERATURE, "X", 0,
     "of the draws; 0: the likeliest token (0; 1 with several samples)", 4},
    {"seed", KEY_SEED, "N", 0, "other seeds give other draws (0)", 4},
    {"repetition-penalty", KEY_PENALTY, "X", 0,
     "make tokens that were there before less likely; 1: do not (as generation_config.json says)", 4},
    {"max-turn-tokens", KEY_TURN_TOKENS, "N", 0, "generated in one turn (1024)", 4},
    {"max-tokens", KEY_TOKENS, "N", 0,
     "of prompt and response together (32768, or what the model has room for)", 4},
    {0, 0, 0, 0, "Machine:", 5},
    {"tensor", KEY_TENSOR, "T", 0, "ranks that hold one copy of the model together (1)", 5},
    {"max-running", KEY_RUNNING, "N", 0, "samples at once on a copy of the model (16, on a GPU 256)", 5},
    {"pass-tokens", KEY_PASS_TOKENS, "N", 0, "tokens of a pass at most (1024, on a GPU 8192)", 5},
    {"cache-pages", KEY_CACHE, "N", 0,
     "of 64 tokens each (for all samples at once, or what there is room for: on a GPU its memory, else 1 GB)",
     5},
    {0}};

static void parse_verifier(struct argp_state *state, const char *text, fv_eval_options *out)
{
    if (fv_verifier_find(text, &out->verifier) != FV_OK)
        argp_error(state, "--verifier: %s", fv_error_text());
}

#define AT(member) offsetof(fv_eval_options, member)
enum { MOST = INT32_MAX / 2 };
static const char *const too_long_names[] = {"refuse", "skip", NULL};
static const fv_option table[] = {
    {KEY_DATA, FV_OPTION_PATH, AT(data)},
    {KEY_OUT, FV_OPTION_PATH, AT(out)},
    {KEY_PROMPTS, FV_OPTION_PATH, AT(prompts)},
    {KEY_TASK, FV_OPTION_PATH, AT(task)},
    {KEY_KEEP, FV_OPTION_FLAG, AT(keeps)},
    {KEY_MODE, FV_OPTION_CHOICE, AT(mode), .names = fv_eval_mode_names},
    {KEY_EXTRACTION, FV_OPTION_CHOICE, AT(extraction), .names = fv_extraction_names},
    {KEY_TOO_LONG, FV_OPTION_CHOICE, AT(too_long), .names = too_long_names},
    {KEY_BY, FV_OPTION_TEXT, AT(by)},
    {KEY_LIMIT, FV_OPTION_INTEGER, AT(limit), .low = 1, .high = INT32_MAX},
    {KEY_SAMPLES, FV_OPTION_INT, AT(n_samples), .low = 1, .high = 1024},
    {KEY_TEMPERATURE, FV_OPTION_FLOAT, AT(temperature), .least = 0, .most = 100},
    {KEY_SEED, FV_OPTION_LONG, AT(seed), .low = 0, .high = LONG_MAX},
    {KEY_PENALTY, FV_OPTION_REAL, AT(repetition_penalty), .least = 1e-3, .most = 1e3},
    {KEY_TURN_TOKENS, FV_OPTION_INT, AT(max_turn_tokens), .low = 1, .high = MOST},
    {KEY_TOKENS, FV_OPTION_INTEGER, AT(max_tokens), .low = 2, .high = MOST},
    {KEY_TENSOR, FV_OPTION_INT, AT(runtime.tensor), .low = 1, .high = MOST},
    {KEY_RUNNING, FV_OPTION_INT, AT(max_running), .low = 1, .high = MOST},
    {KEY_PASS_TOKENS, FV_OPTION_INT, AT(pass_tokens), .low = 2, .high = 1 << 24},
    {KEY_CACHE, FV_OPTION_INT, AT(cache_pages), .low = 1, .high = FV_MAX_PAGES},
    {0}};

static error_t check(struct argp_state *state, const fv_eval_options *o)
{
    int has_wording = o->prompts || o->task;
    int is_full = o->runtime.model && o->data && o->has_mode && has_wording && o->out;
    if (o->merge && (o->runtime.model || o->data || o->has_mode || has_wording || o->out))
        argp_error(state, "--merge DIR goes with the folders of shards alone");
    if (o->merge && o->n_folders == 0)
        argp_error(state, "--merge DIR needs the folders of the shards");
    if (!o->merge && o->n_folders)
        argp_error(state, "unexpected argument \"%s\"", o->folders[0]);
    if (!o->merge && !is_full)
        argp_error(state,
                   "--model DIR, --data PACK.h5, --mode NAME, --prompts FILE and --out DIR are required");
    if (o->n_samples > 1 && o->temperature == 0)
        argp_error(state, "--samples %d at --temperature 0 are the same answer", o->n_samples);
    if (o->max_running > 0 && o->max_running < o->n_samples)
        argp_error(state, "--max-running is %d, but the %d samples of a row run at once", o->max_running,
                   o->n_samples);
    if (o->task && o->has_scoring)
        argp_error(state,
                   "--verifier, --extraction and --by are what --task says: leave them out, or the task");
    return 0;
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    fv_eval_options *out = state->input;
    out->has_scoring |= key == KEY_VERIFIER || key == KEY_EXTRACTION || key == KEY_BY;
    switch (key) {
    case ARGP_KEY_INIT:
        parse_verifier(state, "exact", out);
        state->child_inputs[0] = &out->runtime;
        state->child_inputs[1] = &out->views;
        return 0;
    case KEY_MERGE:
        out->runtime.needs_no_model = 1;
        return out->merge = fv_parse_path(state, "--merge", text), 0;
    case KEY_MODE:
        out->has_mode = 1;
        break;
    case KEY_VERIFIER:
        return parse_verifier(state, text, out), 0;
    case KEY_SHARD:
        return fv_parse_shard(state, text, &out->shard, &out->n_shards), 0;
    case ARGP_KEY_ARGS:
        out->folders = state->argv + state->next;
        out->n_folders = state->argc - state->next;
        return 0;
    case ARGP_KEY_END:
        return check(state, out);
    default:
        break;
    }
    return fv_option_set(table, options, key, text, state, out);
}

void fv_eval_options_parse(int argc, char **argv, fv_eval_options *out)
{
    const struct argp_child children[] = {{&fv_runtime_argp, 0, NULL, 0}, {&fv_views_argp, 0, NULL, 4}, {0}};
    const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "\n--merge DIR SHARD_DIR...",
        .children = children,
        .doc = "Answer every row of a data set, score the answers by a verifier or as a benchmark publishes, "
               "and report score, "
               "calls of the tool and tokens: a table, and a folder of records.\v"
               "visual: tokens of all views shown, as a share of those of the high-resolution view alone. "
               "response: tokens generated, a sample. seconds: of rollout and scoring; samples of all "
               "sources share them."};
    *out = (fv_eval_options){.runtime.tensor = 1,
                             .n_samples = 1,
                             .temperature = -1,
                             .repetition_penalty = -1,
                             .shard = 1,
                             .n_shards = 1};
    fv_terminal_parse(&argp, argc, argv, out);
}

fv_err fv_eval_options_complete(fv_eval_options *out, const fv_task *task)
{
    if (out->task) {
        const char *prompts = out->mode == FV_EVAL_POLICY ? task->prompts.policy : task->prompts.plain;
        out->prompts = out->prompts ? out->prompts : prompts;
        FV_CHECK(out->prompts[0], FV_ERR_ARGUMENT,
                 "%s names no wording for the mode %s: say prompts.%s there, or give --prompts FILE",
                 out->task, fv_eval_mode_names[out->mode], out->mode == FV_EVAL_POLICY ? "policy" : "plain");
        out->extraction = task->extraction;
        out->views.min_pixels = out->views.min_pixels ? out->views.min_pixels : task->views.min_pixels;
        out->views.max_pixels = out->views.max_pixels ? out->views.max_pixels : task->views.max_pixels;
        if (out->views.filter == FV_VIEW_FILTERS)
            out->views.filter = task->views.filter;
        if (out->views.tool == FV_TOOL_VIEWS)
            out->views.tool = task->views.tool;
        out->max_turn_tokens = out->max_turn_tokens ? out->max_turn_tokens : task->max_turn_tokens;
    }
    if (out->temperature < 0)
        out->temperature = out->n_samples > 1;
    fv_views_complete(&out->views);
    out->max_turn_tokens = out->max_turn_tokens ? out->max_turn_tokens : 1024;
    return FV_OK;
}
