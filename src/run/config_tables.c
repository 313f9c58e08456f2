#include "fovea/run/config.h"

#include "fovea/model/nn/pages.h"
#include "fovea/train/advantage.h"
#include "fovea/train/trajectory.h"

#include <math.h>

#define FROM(least)       \
    {                     \
        (least), INFINITY \
    }
#define ABOVE(bound)                      \
    {                                     \
        (bound), INFINITY, .above_min = 1 \
    }

/* What no machine has, or no pass needs. */
enum { MOST_THREADS = 1024, MOST_TOKENS = 1 << 24 };

static const char *const view_names[] = {"low", "high", NULL};
static const char *const alpha_names[] = {"white", "drop", NULL};
static const char *const too_long_names[] = {"refuse", "skip", NULL};
static const char *const judge_names[] = {"verifier", "api", "local", "program", "replay", NULL};
static const char *const judge_precision_names[] = {"run", "fp32", "bf16", NULL};
static const char *const method_names[] = {"compare", "think", NULL};
static const char *const service_names[] = {"openai", "azure", NULL};
static const char *const product_names[] = {"general", "efficient", NULL};
static const char *const tool_penalty_names[] = {"none", "paper", "code", NULL};
static const char *const master_names[] = {"whole", "split", NULL};
static const char *const moments_names[] = {"fp32", "bf16", NULL};
static const char *const on_host_names[] = {"none", "moments", "all", NULL};
static const char *const ratio_names[] = {"token", "sequence", "cispo", NULL};
static const char *const kl_names[] = {"plain", "abs", "mse", "low_var", NULL};
static const char *const kl_place_names[] = {"loss", "reward", NULL};
static const char *const mean_names[] = {"sequence", "token", "constant", NULL};
static const char *const partial_names[] = {"keep", "drop", "spread", NULL};
static const char *const schedule_names[] = {"constant", "linear", "cosine", NULL};

/* Sections. */

#define RUN(member) FV_SETTING_AT(fv_run_config, member)
static const fv_setting run_fields[] = {
    {"model", FV_SETTING_PATH, RUN(model), "the folder of the model", FROM(1)},
    {"out", FV_SETTING_PATH, RUN(out), "the folder of the run", FROM(1)},
    {"prompts", FV_SETTING_PATH, RUN(prompts), "the file with the wording around a question", FROM(1)},
    {"seed", FV_SETTING_INTEGER, RUN(seed), "of every draw and order", FROM(0)},
    {"steps", FV_SETTING_INTEGER, RUN(steps), "steps of training", FROM(1)},
    {"threads",
     FV_SETTING_INTEGER,
     RUN(threads),
     "of a rank; 0 = as OMP_NUM_THREADS says",
     {0, MOST_THREADS}},
    {"backend", FV_SETTING_CHOICE, RUN(backend), "what computes: auto, cpu or cuda",
     .names = fv_backend_kind_names},
    {"kernels", FV_SETTING_TEXT, RUN(kernels), "avx512, avx2 or portable; '' = the best", FROM(0)},
    {"precision", FV_SETTING_CHOICE, RUN(precision), "as what weights, activations and cache are stored",
     .names = fv_precision_names},
    {"memory_gigabytes", FV_SETTING_REAL, RUN(memory_gigabytes),
     "of tensors that a rank may hold; 0 = what its device has", FROM(0)},
    {0},
};

#define RESUME(member) FV_SETTING_AT(fv_resume_config, member)
static const fv_setting resume_fields[] = {
    {"from", FV_SETTING_TEXT, RESUME(from), "auto, none, or the checkpoint to go on from", FROM(1)},
    {"accept", FV_SETTING_LIST, RESUME(accept), "settings that are meant to differ from it", FROM(0)},
    {0},
};

#define DATA(member) FV_SETTING_AT(fv_data_config, member)
static const fv_setting data_fields[] = {
    {"train", FV_SETTING_PATH, DATA(train), "the pack to train on", FROM(1)},
    {"validate", FV_SETTING_PATH, DATA(validate), "the pack to validate on; '' = no validation", FROM(0)},
    {"too_long", FV_SETTING_CHOICE, DATA(too_long), "rows that need more than there is room for",
     .names = too_long_names},
    {0},
};

#define LAYOUT(member) FV_SETTING_AT(fv_layout_config, member)
static const fv_setting layout_fields[] = {
    {"tensor", FV_SETTING_INTEGER, LAYOUT(tensor), "ranks that share one copy of the model", FROM(1)},
    {"judge_ranks", FV_SETTING_INTEGER, LAYOUT(judge_ranks), "ranks that judge and do not train", FROM(0)},
    {"chunks", FV_SETTING_INTEGER, LAYOUT(chunks), "of the sums that these share; 1, 2, 4 or 8", FROM(1)},
    {0},
};

#define VIEWS(member) FV_SETTING_AT(fv_views_config, member)
static const fv_setting views_fields[] = {
    {"prompt", FV_SETTING_CHOICE, VIEWS(prompt), "the resolution that a question starts with",
     .names = view_names},
    {"min_pixels", FV_SETTING_INTEGER, VIEWS(bounds.min_pixels), "of the high-resolution view, at least",
     FROM(1)},
    {"max_pixels", FV_SETTING_INTEGER, VIEWS(bounds.max_pixels), "of the high-resolution view, at most",
     FROM(1)},
    {"transparency", FV_SETTING_CHOICE, VIEWS(bounds.transparency), "white behind it, or drop the alpha",
     .names = alpha_names},
    {"filter", FV_SETTING_CHOICE, VIEWS(bounds.filter), "how an image becomes a view",
     .names = fv_view_filter_names},
    {"tool", FV_SETTING_CHOICE, VIEWS(bounds.tool), "what the tool shows: the image, or twice the low view",
     .names = fv_tool_view_names},
    {"workers",
     FV_SETTING_INTEGER,
     VIEWS(workers),
     "threads that make views ahead; -1 = the cores left",
     {-1, MOST_THREADS}},
    {"cache_megabytes", FV_SETTING_INTEGER, VIEWS(cache_megabytes), "of views that a rank keeps for a step",
     FROM(0)},
    {0},
};

#define SFT(member) FV_SETTING_AT(fv_sft_config, member)
static const fv_setting sft_fields[] = {
    {"answer", FV_SETTING_TEXT, SFT(answer), "the turn that answers, with {answer} in it", FROM(1)},
    {"call", FV_SETTING_TEXT, SFT(call), "the turn before it that calls the tool; '' = none", FROM(0)},
    {"call_share", FV_SETTING_REAL, SFT(call_share), "of the examples that call", {0, 1}},
    {"plain_prompts", FV_SETTING_PATH, SFT(plain_prompts), "a wording without tool; '' = none", FROM(0)},
    {"plain_share", FV_SETTING_REAL, SFT(plain_share), "of the examples in that wording", {0, 1}},
    {0},
};

#define ROLLOUT(member) FV_SETTING_AT(fv_rollout_config, member)
static const fv_setting rollout_fields[] = {
    {"prompts", FV_SETTING_INTEGER, ROLLOUT(prompts), "groups of a step", FROM(1)},
    {"samples", FV_SETTING_INTEGER, ROLLOUT(samples), "samples of a prompt: the size of a group", FROM(1)},
    {"temperature", FV_SETTING_REAL, ROLLOUT(temperature), "of sampling", ABOVE(0)},
    {"top_p",
     FV_SETTING_REAL,
     ROLLOUT(top_p),
     "draw from the likeliest tokens of this much probability",
     {0, 1, .above_min = 1}},
    {"top_k", FV_SETTING_INTEGER, ROLLOUT(top_k), "draw from so many of the likeliest tokens; 0 = all",
     FROM(0)},
    {"max_turn_tokens", FV_SETTING_INTEGER, ROLLOUT(max_turn_tokens), "generated in one turn, at most",
     FROM(1)},
    {"max_tokens", FV_SETTING_INTEGER, ROLLOUT(max_tokens), "of a prompt and its response, at most", FROM(2)},
    {"max_turns", FV_SETTING_INTEGER, ROLLOUT(max_turns), "turns of a sample", {1, FV_MAX_TURNS}},
    {"max_images", FV_SETTING_INTEGER, ROLLOUT(max_images), "in a prompt and its response", FROM(1)},
    {"max_running", FV_SETTING_INTEGER, ROLLOUT(max_running), "samples at once on a copy of the model",
     FROM(1)},
    {"pass_tokens", FV_SETTING_INTEGER, ROLLOUT(pass_tokens), "tokens of a pass, at most", {2, MOST_TOKENS}},
    {"cache_pages",
     FV_SETTING_INTEGER,
     ROLLOUT(cache_pages),
     "pages of 64 tokens of the key-value cache",
     {1, FV_MAX_PAGES}},
    {"sampling_rounds", FV_SETTING_INTEGER, ROLLOUT(sampling_rounds),
     "times a step may replace dropped groups", FROM(0)},
    {0},
};

#define REWARD(member) FV_SETTING_AT(fv_reward_config, member)
static const fv_setting reward_fields[] = {
    {"judge", FV_SETTING_CHOICE, REWARD(judge), "who judges answers", .names = judge_names},
    {"verifier", FV_SETTING_TEXT, REWARD(verifier),
     "exact, number, choice, boxed, relaxed, anls or containment", FROM(1)},
    {"max_unjudged_share",
     FV_SETTING_REAL,
     REWARD(max_unjudged_share),
     "without verdict; more ends the run",
     {0, 1}},
    {"extraction", FV_SETTING_CHOICE, REWARD(extraction), "how the answer is cut out of the text",
     .names = fv_extraction_names},
    {"product", FV_SETTING_CHOICE, REWARD(format.product), "the format: one turn, or calls of the tool",
     .names = product_names},
    {"needs_valid_call", FV_SETTING_SWITCH, REWARD(format.needs_valid_call), "a bad call breaks the format"},
    {"accuracy_weight", FV_SETTING_REAL, REWARD(weights.accuracy), "of accuracy in the reward", FROM(0)},
    {"format_weight", FV_SETTING_REAL, REWARD(weights.format), "of the format in the reward", FROM(0)},
    {"tool_penalty", FV_SETTING_CHOICE, REWARD(tool_penalty.kind),
     "who pays for calling, or not calling, the tool", .names = tool_penalty_names},
    {"tool_penalty_theta",
     FV_SETTING_REAL,
     REWARD(tool_penalty.theta),
     "share of direct answers where the penalty turns",
     {0, 1}},
    {"tool_penalty_size", FV_SETTING_REAL, REWARD(tool_penalty.size), "what the tool penalty costs", FROM(0)},
    {"overlong_tokens", FV_SETTING_INTEGER, REWARD(overlong.max_tokens),
     "length that costs all of overlong_size", FROM(0)},
    {"overlong_buffer", FV_SETTING_INTEGER, REWARD(overlong.buffer_tokens),
     "tokens before, over which it grows", FROM(0)},
    {"overlong_size", FV_SETTING_REAL, REWARD(overlong.size), "what length costs; 0 = nothing", FROM(0)},
    {0},
};

#define JUDGE(member) FV_SETTING_AT(fv_judge_config, member)
static const fv_setting judge_fields[] = {
    {"prompt", FV_SETTING_PATH, JUDGE(prompt), "the file with the wording for a model", FROM(0)},
    {"service", FV_SETTING_CHOICE, JUDGE(api.service), "the form of the API", .names = service_names},
    {"url", FV_SETTING_TEXT, JUDGE(api.url), "of the API; '' = OPENAI_BASE_URL, or AZURE_ENDPOINT", FROM(0)},
    {"model", FV_SETTING_TEXT, JUDGE(api.model), "its name at the API, or the folder of a local one",
     FROM(0)},
    {"key_file", FV_SETTING_PATH, JUDGE(api.key_file), "'' = OPENAI_API_KEY or AZURE_API_KEY", FROM(0)},
    {"ca_file", FV_SETTING_PATH, JUDGE(api.ca_file),
     "certificates to trust; '' = SSL_CERT_FILE, or the system's", FROM(0)},
    {"headers", FV_SETTING_TEXT, JUDGE(api.headers), "more headers, 'Name: value; Name: $VARIABLE'", FROM(0)},
    {"key_over_http", FV_SETTING_SWITCH, JUDGE(api.key_over_http),
     "the key may go over plain http to another machine"},
    {"in_flight", FV_SETTING_INTEGER, JUDGE(api.in_flight), "cases asked at once, of all ranks", FROM(1)},
    {"deadline_s", FV_SETTING_REAL, JUDGE(api.deadline_s), "seconds for one request", ABOVE(0)},
    {"tries", FV_SETTING_INTEGER, JUDGE(api.tries), "for one verdict", FROM(1)},
    {"budget_s", FV_SETTING_REAL, JUDGE(api.budget_s), "seconds for one verdict", ABOVE(0)},
    {"temperature", FV_SETTING_REAL, JUDGE(api.temperature), "of the first try", FROM(0)},
    {"temperature_step", FV_SETTING_REAL, JUDGE(api.temperature_step), "added for each further try", FROM(0)},
    {"reply_tokens", FV_SETTING_INTEGER, JUDGE(api.reply_tokens), "of a reply, at most; 0 = the API's bound",
     FROM(0)},
    {"precision", FV_SETTING_CHOICE, JUDGE(precision), "of a local model: run = the run's",
     .names = judge_precision_names},
    {"method", FV_SETTING_CHOICE, JUDGE(local.method), "of a local model: to compare words, or to think",
     .names = method_names},
    {"pass_tokens",
     FV_SETTING_INTEGER,
     JUDGE(local.pass_tokens),
     "tokens of a pass of it, at most",
     {1, MOST_TOKENS}},
    {"cache_pages",
     FV_SETTING_INTEGER,
     JUDGE(local.cache_pages),
     "pages of 64 tokens of its cache",
     {1, FV_MAX_PAGES}},
    {"program", FV_SETTING_TEXT, JUDGE(program), "command of a judge that talks JSON lines", FROM(0)},
    {"verifier_first", FV_SETTING_SWITCH, JUDGE(verifier_first), "what reward.verifier finds right is right"},
    {"audit", FV_SETTING_REAL, JUDGE(audit), "share of that which is asked all the same", {0, 1}},
    {"log", FV_SETTING_PATH, JUDGE(log), "folder of the verdicts; '' = in the run's", FROM(0)},
    {"log_verdicts", FV_SETTING_INTEGER, JUDGE(log_verdicts), "kept, at most", FROM(1)},
    {0},
};

#define ADVANTAGE(member) FV_SETTING_AT(fv_advantage_config, member)
static const fv_setting advantage_fields[] = {
    {"estimator", FV_SETTING_TEXT, ADVANTAGE(estimator), "grpo, dr_grpo, rloo, remax or reinforce_pp",
     FROM(1)},
    {"eps", FV_SETTING_REAL, ADVANTAGE(eps), "added to a standard deviation", ABOVE(0)},
    {0},
};

#define LOSS(member) FV_SETTING_AT(fv_loss_settings, member)
static const fv_setting loss_fields[] = {
    {"ratio", FV_SETTING_CHOICE, LOSS(ratio), "what is clipped", .names = ratio_names},
    {"clip_low", FV_SETTING_REAL, LOSS(clip_low), "the ratio is held above 1 - this", {0, 1}},
    {"clip_high", FV_SETTING_REAL, LOSS(clip_high), "the ratio is held below 1 + this", FROM(0)},
    {"dual_clip", FV_SETTING_REAL, LOSS(dual_clip),
     "where the advantage is below 0, up to this; 0 = no bound", FROM(0)},
    {"kl", FV_SETTING_CHOICE, LOSS(kl), "estimate of the distance from the reference", .names = kl_names},
    {"kl_place", FV_SETTING_CHOICE, LOSS(kl_place), "where that distance counts", .names = kl_place_names},
    {"kl_weight", FV_SETTING_REAL, LOSS(kl_weight), "of that distance; 0 = no reference", FROM(0)},
    {"entropy_weight", FV_SETTING_REAL, LOSS(entropy_weight), "of the entropy bonus", FROM(0)},
    {"mean", FV_SETTING_CHOICE, LOSS(mean), "what the loss is a mean over", .names = mean_names},
    {"constant", FV_SETTING_INTEGER, LOSS(constant), "tokens that mean: constant divides by", FROM(0)},
    {0},
};

#define UPDATE(member) FV_SETTING_AT(fv_update_config, member)
static const fv_setting update_fields[] = {
    {"groups", FV_SETTING_INTEGER, UPDATE(groups), "groups (rows, if supervised) of a mini-batch", FROM(1)},
    {"partial", FV_SETTING_CHOICE, UPDATE(partial), "groups that do not fill a mini-batch",
     .names = partial_names},
    {"micro_tokens", FV_SETTING_INTEGER, UPDATE(micro_tokens), "tokens of a micro-batch", {1, MOST_TOKENS}},
    {"recompute", FV_SETTING_SWITCH, UPDATE(recompute), "compute activations twice to save memory"},
    {"kept_layers", FV_SETTING_INTEGER, UPDATE(kept_layers),
     "that keep them all the same; -1 = as many as fit", FROM(-1)},
    {"reference_on_host", FV_SETTING_SWITCH, UPDATE(reference_on_host),
     "the reference policy waits in host memory"},
    {"skip_limit", FV_SETTING_INTEGER, UPDATE(skip_limit), "updates in a row skipped as not finite, at most",
     FROM(0)},
    {0},
};

#define OPTIMIZER(member) FV_SETTING_AT(fv_optimizer_config, member)
static const fv_setting optimizer_fields[] = {
    {"rate", FV_SETTING_REAL, OPTIMIZER(rate), "the highest learning rate", FROM(0)},
    {"warmup_steps", FV_SETTING_INTEGER, OPTIMIZER(warmup_steps), "steps in which the rate rises", FROM(0)},
    {"schedule", FV_SETTING_CHOICE, OPTIMIZER(schedule), "of the rate afterwards", .names = schedule_names},
    {"final_share", FV_SETTING_REAL, OPTIMIZER(final_share), "of the rate at the end of a schedule", {0, 1}},
    {"beta1", FV_SETTING_REAL, OPTIMIZER(adamw.beta1), "of AdamW", {0, 1, .below_max = 1}},
    {"beta2", FV_SETTING_REAL, OPTIMIZER(adamw.beta2), "of AdamW", {0, 1, .below_max = 1}},
    {"eps", FV_SETTING_REAL, OPTIMIZER(adamw.eps), "of AdamW", ABOVE(0)},
    {"weight_decay", FV_SETTING_REAL, OPTIMIZER(adamw.weight_decay), "of AdamW", FROM(0)},
    {"decay_all", FV_SETTING_SWITCH, OPTIMIZER(adamw.decay_all), "norms, biases and the embedding decay too"},
    {"clip", FV_SETTING_REAL, OPTIMIZER(adamw.clip), "the largest norm of a gradient; 0 = no limit", FROM(0)},
    {"master", FV_SETTING_CHOICE, OPTIMIZER(adamw.master), "of bf16 weights; split: as their missing bits",
     .names = master_names},
    {"moments", FV_SETTING_CHOICE, OPTIMIZER(adamw.moments), "bf16: rounded at random",
     .names = moments_names},
    {"on_host", FV_SETTING_CHOICE, OPTIMIZER(adamw.on_host), "what waits in host memory; all: masters too",
     .names = on_host_names},
    {0},
};

#define VALIDATE(member) FV_SETTING_AT(fv_validate_config, member)
static const fv_setting validate_fields[] = {
    {"every", FV_SETTING_INTEGER, VALIDATE(every), "steps; 0 = only at the end", FROM(0)},
    {"before", FV_SETTING_SWITCH, VALIDATE(before), "also before the first step"},
    {"temperature", FV_SETTING_REAL, VALIDATE(temperature), "0 takes the likeliest token", FROM(0)},
    {"repetition_penalty", FV_SETTING_REAL, VALIDATE(repetition_penalty),
     "1 = none, 0 = as generation_config.json says", FROM(0)},
    {0},
};

#define SAVE(member) FV_SETTING_AT(fv_save_config, member)
static const fv_setting save_fields[] = {
    {"every", FV_SETTING_INTEGER, SAVE(every), "steps; 0 = only at the end", FROM(0)},
    {"keep_last", FV_SETTING_INTEGER, SAVE(retention.last), "checkpoints that are kept", FROM(1)},
    {"keep_every", FV_SETTING_INTEGER, SAVE(retention.every), "and those of every so many steps; 0 = none",
     FROM(0)},
    {"keep_best", FV_SETTING_SWITCH, SAVE(retention.best), "and the best"},
    {"best_by", FV_SETTING_TEXT, SAVE(best_by), "a figure of metrics.jsonl; -NAME: less is better", FROM(1)},
    {"max_unsaved", FV_SETTING_INTEGER, SAVE(max_unsaved),
     "steps that go on while no save succeeds; 0 = to the end", FROM(0)},
    {0},
};

#define WATCH(member) FV_SETTING_AT(fv_watch_settings, member)
static const fv_setting watch_fields[] = {
    {"silence_s", FV_SETTING_REAL, WATCH(silence_s),
     "seconds without sign of a rank that end a run; 0 = never", FROM(0)},
    {"margin_s", FV_SETTING_REAL, WATCH(margin_s), "seconds kept free at the end of the allocation", FROM(0)},
    {0},
};

#define LOG(member) FV_SETTING_AT(fv_log_config, member)
static const fv_setting log_fields[] = {
    {"trajectories", FV_SETTING_INTEGER, LOG(trajectories), "samples of a step that are written out",
     FROM(0)},
    {"peak_flops", FV_SETTING_REAL, LOG(peak_flops), "operations a second of all ranks; 0 = unknown",
     FROM(0)},
    {0},
};

/* Reinforcement learning. */

#define OPTIMIZER_DEFAULT                                                                          \
    {                                                                                              \
        .rate = 1e-6, .schedule = FV_SCHEDULE_CONSTANT,                                            \
        .adamw = {.beta1 = 0.9F, .beta2 = 0.999F, .eps = 1e-8F, .weight_decay = 0.01F, .clip = 1}, \
    }
#define VIEWS_DEFAULT                                                                                  \
    {                                                                                                  \
        .prompt = FV_VIEW_LOW, .bounds = {.min_pixels = 262144, .max_pixels = 4194304}, .workers = -1, \
        .cache_megabytes = 2048                                                                        \
    }

#define UPDATE_DEFAULT                                                                     \
    {                                                                                      \
        .groups = 32, .partial = FV_PARTIAL_SPREAD, .micro_tokens = 32768, .recompute = 1, \
        .kept_layers = -1, .skip_limit = 4                                                 \
    }

static const fv_train_config train_defaults = {
    .run = {.seed = 1},
    .resume = {.from = "auto"},
    .layout = {.tensor = 1, .chunks = FV_DEFAULT_CHUNKS},
    .views = VIEWS_DEFAULT,
    .rollout = {.prompts = 512,
                .samples = 16,
                .temperature = 1,
                .top_p = 1,
                .max_turn_tokens = 8192,
                .max_tokens = 32768,
                .max_turns = 2,
                .max_images = 2,
                .max_running = 64,
                .pass_tokens = 4096,
                .cache_pages = 1024,
                .sampling_rounds = 8},
    .reward = {.verifier = "number",
               .max_unjudged_share = 0.1,
               .extraction = FV_EXTRACT_SPLIT,
               .format = {.product = FV_PRODUCT_EFFICIENT, .needs_valid_call = 1},
               .weights = FV_REWARD_WEIGHTS_DEFAULT,
               .tool_penalty = FV_TOOL_PENALTY_DEFAULT,
               .overlong = FV_OVERLONG_DEFAULT},
    .judge = {.api = {.in_flight = 100,
                      .deadline_s = 120,
                      .tries = 3,
                      .budget_s = 600,
                      .temperature_step = 0.3,
                      .reply_tokens = 1024},
              .local = {.pass_tokens = 4096, .cache_pages = 512},
              .verifier_first = 1,
              .log_verdicts = 1000000},
    .advantage = {.estimator = "grpo", .eps = FV_ADVANTAGE_EPS},
    .loss = FV_LOSS_DEFAULT,
    .update = UPDATE_DEFAULT,
    .optimizer = OPTIMIZER_DEFAULT,
    .validate = {.every = 5, .before = 1},
    .save = {.every = 1, .retention = {.last = 2, .best = 1}, .best_by = "validate_score", .max_unsaved = 10},
    .watch = {.silence_s = FV_WATCH_SILENCE_S, .margin_s = FV_WATCH_MARGIN_S, .are_keys = 1},
    .log = {.trajectories = 8},
    .sft = {.answer = "<think>I can read it.</think><answer>{answer}</answer>",
            .call = "<think>It is too small.</think><tool_call>{\"name\": \"resize_image\", \"arguments\": "
                    "{\"action\": \"resize\"}}</tool_call>",
            .call_share = 0.5},
};

#define TRAIN(member) offsetof(fv_train_config, member)
static const fv_settings_section train_sections[] = {
    {"", TRAIN(run), run_fields},
    {"resume", TRAIN(resume), resume_fields, "from"},
    {"data", TRAIN(data), data_fields},
    {"layout", TRAIN(layout), layout_fields},
    {"views", TRAIN(views), views_fields},
    {"rollout", TRAIN(rollout), rollout_fields},
    {"reward", TRAIN(reward), reward_fields},
    {"judge", TRAIN(judge), judge_fields},
    {"advantage", TRAIN(advantage), advantage_fields},
    {"loss", TRAIN(loss), loss_fields},
    {"update", TRAIN(update), update_fields},
    {"optimizer", TRAIN(optimizer), optimizer_fields},
    {"validate", TRAIN(validate), validate_fields},
    {"save", TRAIN(save), save_fields},
    {"watch", TRAIN(watch), watch_fields},
    {"log", TRAIN(log), log_fields},
    {"sft", TRAIN(sft), sft_fields},
    {0},
};
const fv_settings fv_train_settings = {sizeof(fv_train_config), &train_defaults, train_sections};
