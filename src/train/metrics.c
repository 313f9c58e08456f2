#include "fovea/train/metrics.h"

#include "fovea/model/nn/flops.h"

#include <math.h>
#include <sys/resource.h>

/* Sums over the samples of a step. */
typedef struct sums {
    double reward, square, accuracy, format, tool_penalty, overlong, kl, advantage;
    double generated, longest, prompt;
    double tokens;       /* of prompts and responses, those of the tool included */
    double visual, high; /* tokens of the views shown, and of the high-resolution views alone */
    int64_t n, n_judged, n_called, n_right, n_right_called, n_wrong_called, n_cut, n_turns;
    int64_t n_unjudged[FV_N_UNJUDGED];
    int64_t n_groups, n_judged_groups, n_solved_none, n_solved_all;
} sums;

static void add_sample(sums *s, const fv_response *sample, const fv_reward_weights *weights)
{
    const fv_reward *r = &sample->reward;
    double generated = 0;
    for (int i = 0; i < sample->n_turns; i++)
        generated += (double)sample->turns[i].n;
    s->n++;
    s->tokens += (double)sample->ids.n;
    s->generated += generated;
    s->longest = fmax(s->longest, generated);
    s->n_turns += sample->n_turns;
    s->n_cut += sample->turns[sample->n_turns - 1].is_cut;
    s->n_called += sample->is_called;
    s->format += r->format;
    s->overlong += r->overlong;
    s->kl += r->kl;
    s->advantage += fabs(sample->advantage);
    s->n_unjudged[r->why] += !r->has_verdict;
    if (!r->has_verdict)
        return;
    double total = fv_reward_total(weights, r);
    s->n_judged++;
    s->reward += total;
    s->square += total * total;
    s->accuracy += r->accuracy;
    s->tool_penalty += r->tool_penalty;
    s->n_right += r->accuracy >= 0.5;
    s->n_right_called += r->accuracy >= 0.5 && sample->is_called;
    s->n_wrong_called += r->accuracy < 0.5 && sample->is_called;
}

static void add_views(sums *s, const fv_group *group, int merge)
{
    if (!group->has_image)
        return;
    double low = (double)fv_grid_tokens(group->low, merge), high = (double)fv_grid_tokens(group->high, merge);
    for (int i = 0; i < group->n_samples; i++) {
        s->visual += low + group->responses[i].n_shown * high;
        s->high += high;
    }
}

static void add_group(sums *s, const fv_group *group, const fv_reward_weights *weights, int merge)
{
    int64_t right = s->n_right, judged = s->n_judged;
    for (int i = 0; i < group->n_samples; i++)
        add_sample(s, &group->responses[i], weights);
    add_views(s, group, merge);
    s->prompt += (double)group->prompt.n;
    s->tokens += (double)group->n_samples * (double)group->prompt.n;
    s->n_groups++;
    if (s->n_judged - judged < group->n_samples)
        return;
    s->n_judged_groups++;
    s->n_solved_none += s->n_right == right;
    s->n_solved_all += s->n_right - right == group->n_samples;
}

static double over(double value, double n)
{
    return n > 0 ? value / n : 0;
}

/* Deviation of the rewards (unbiased). */
static double deviation(const sums *s)
{
    double n = (double)s->n_judged, mean = over(s->reward, n);
    return n > 1 ? sqrt(fmax(0, (s->square - n * mean * mean) / (n - 1))) : 0;
}

fv_err fv_memory_look(const fv_backend *backend, fv_comm *comm, fv_memory_figures *out)
{
    struct rusage usage;
    *out = (fv_memory_figures){.tensor_megabytes = 1e-6 * (double)backend->memory.peak,
                               .tensor_allocations = (double)backend->memory.n_allocs};
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        out->peak_megabytes = (double)usage.ru_maxrss / 1024;
    FV_TRY(fv_comm_all_reduce_max(comm, &out->peak_megabytes));
    FV_TRY(fv_comm_all_reduce_max(comm, &out->tensor_megabytes));
    return fv_comm_all_reduce_max(comm, &out->tensor_allocations);
}

static fv_err set_all(fv_json *object, const fv_figure *figures, size_t n)
{
    for (size_t i = 0; i < n; i++)
        FV_TRY(fv_json_set(object, figures[i].name,
                           isfinite(figures[i].value) ? fv_json_make_real(figures[i].value)
                                                      : fv_json_make_null()));
    return FV_OK;
}
#define SET_ALL(object, figures) set_all(object, figures, sizeof(figures) / sizeof *(figures))

static fv_err set_answers(fv_json *object, const sums *s)
{
    double n = (double)s->n, judged = (double)s->n_judged, called = (double)s->n_called;
    const fv_figure figures[] = {
        {"reward", over(s->reward, judged)},
        {"reward_deviation", deviation(s)},
        {"accuracy", over(s->accuracy, judged)},
        {"format", over(s->format, n)},
        {"tool_penalty", over(s->tool_penalty, judged)},
        {"overlong", over(s->overlong, n)},
        {"kl_cost", over(s->kl, n)},
        {"unjudged_share", over(n - judged, n)},
        {"advantage_size", over(s->advantage, n)},
        {"response_tokens", over(s->generated, n)},
        {"response_tokens_most", s->longest},
        {"prompt_tokens", over(s->prompt, (double)s->n_groups)},
        {"visual_share", over(s->visual, s->high)},
        {"turns", over((double)s->n_turns, n)},
        {"cut_share", over((double)s->n_cut, n)},
        {"call_rate", over(called, n)},
        {"call_rate_right", over((double)s->n_right_called, (double)s->n_right)},
        {"call_rate_wrong", over((double)s->n_wrong_called, judged - (double)s->n_right)},
        {"solved_none_share", over((double)s->n_solved_none, (double)s->n_judged_groups)},
        {"solved_all_share", over((double)s->n_solved_all, (double)s->n_judged_groups)}};
    return SET_ALL(object, figures);
}

/* Of the judge, and an object with the samples without a verdict by reason. */
static fv_err set_judge(fv_json *object, const sums *s, const fv_judge_counts *judge)
{
    double asked = (double)judge->n_asked;
    const fv_figure figures[] = {
        {"judge_asked", asked},
        {"judge_cached", (double)judge->n_cached},
        {"judge_tries", over((double)judge->n_tries, asked)},
        {"judge_latency_s", over(judge->latency_s, asked)},
        {"judge_compared", (double)judge->n_compared},
        {"judge_agreement", over((double)judge->n_agreed, (double)judge->n_compared)}};
    fv_json *reasons = fv_json_make_object();
    FV_TRY(fv_json_set(object, "unjudged", reasons));
    for (int i = 0; i < FV_N_UNJUDGED; i++)
        FV_TRY(fv_json_set(reasons, fv_unjudged_name(i), fv_json_make_integer(s->n_unjudged[i])));
    return SET_ALL(object, figures);
}

static fv_err set_updates(fv_json *object, const fv_step_stats *stats, double rate)
{
    const fv_loss_sums *s = &stats->sum.sums;
    double updates = stats->n_updates, tokens = (double)s->n_tokens;
    const fv_figure figures[] = {{"learning_rate", rate},
                                 {"groups", stats->n_groups},
                                 {"groups_no_signal", stats->n_no_signal},
                                 {"groups_no_verdict", stats->n_no_verdict},
                                 {"groups_spare", stats->n_spare},
                                 {"updates", updates},
                                 {"updates_skipped", stats->n_skipped},
                                 {"loss", over(stats->sum.loss, updates)},
                                 {"policy_loss", over(s->policy, updates)},
                                 {"kl", over(s->plain_kl, tokens)},
                                 {"entropy", over(s->plain_entropy, tokens)},
                                 {"gradient_norm", over(stats->sum.norm, updates)},
                                 {"ratio", over(s->ratio, tokens)},
                                 {"clip_share", over((double)s->n_clipped, tokens)},
                                 {"approximate_kl", over(s->approx_kl, tokens)},
                                 {"logprob_max_diff", stats->first.sums.max_logprob_diff}};
    return SET_ALL(object, figures);
}

static double idle_share(fv_idle_counts counts)
{
    return fv_idle_share((fv_idle_counts){0}, counts);
}

static fv_err set_idle(fv_json *object, const fv_step_stats *stats)
{
    const fv_idle_counts *a = &stats->sampling_idle, *b = &stats->update_idle;
    const fv_figure figures[] = {
        {"idle_share", idle_share((fv_idle_counts){a->n + b->n, a->n_idle + b->n_idle})},
        {"sampling_idle_share", idle_share(*a)},
        {"update_idle_share", idle_share(*b)}};
    return SET_ALL(object, figures);
}

static fv_err set_phases(fv_json *object, const fv_step_stats *stats, double tokens,
                         const fv_memory_figures *memory)
{
    const fv_collect_stats *c = &stats->collect;
    const fv_figure figures[] = {
        {"step_s", stats->step_s},
        {"step_tokens", tokens},
        {"step_tokens_per_s", over(tokens, stats->step_s)},
        {"rollout_s", c->rollout_s},
        {"judge_s", c->judge_s},
        {"reference_s", stats->reference_s},
        {"update_s", stats->update_s},
        {"generated_tokens", (double)c->rollout.generated_tokens},
        {"rollout_tokens_per_s", over((double)c->rollout.computed_tokens, c->rollout_s)},
        {"generated_tokens_per_s", over((double)c->rollout.generated_tokens, c->rollout_s)},
        {"reference_tokens_per_s", over((double)stats->reference_tokens, stats->reference_s)},
        {"update_tokens_per_s", over((double)stats->sum.computed_tokens, stats->update_s)},
        {"evictions", (double)c->rollout.n_evictions},
        {"peak_megabytes", memory->peak_megabytes},
        {"tensor_megabytes", memory->tensor_megabytes},
        {"tensor_allocations", memory->tensor_allocations}};
    return SET_ALL(object, figures);
}

static double flops(const fv_model_shape *shape, int64_t tokens, int64_t draws, int64_t patches)
{
    return fv_flops_of_token(shape) * (double)tokens + fv_flops_of_draw(shape) * (double)draws +
           fv_flops_of_patch(shape) * (double)patches;
}

static fv_err set_speed(fv_json *object, const fv_metrics_args *args)
{
    const fv_step_stats *stats = args->stats;
    const fv_rollout_stats *rolled = &stats->collect.rollout;
    const fv_update_stats *updated = &stats->sum;
    double rollout =
        flops(args->shape, rolled->computed_tokens, rolled->generated_tokens, rolled->vision_patches);
    double update =
        3 * flops(args->shape, updated->computed_tokens, updated->n_tokens, updated->vision_patches);
    double used = over(rollout + update, stats->step_s);
    const fv_figure figures[] = {{"rollout_flops_per_s", over(rollout, stats->collect.rollout_s)},
                                 {"update_flops_per_s", over(update, stats->update_s)},
                                 {"mfu", args->peak_flops > 0 ? used / args->peak_flops : (double)NAN}};
    return SET_ALL(object, figures);
}

fv_err fv_figures_to_json(const fv_figure *figures, size_t n, fv_json **out)
{
    *out = fv_json_make_object();
    FV_CHECK(*out, FV_ERR_MEMORY, "cannot allocate %zu figures", n);
    fv_err err = set_all(*out, figures, n);
    if (err != FV_OK) {
        fv_json_destroy(*out);
        *out = NULL;
    }
    return err;
}

fv_err fv_metrics_of_step(const fv_metrics_args *args, fv_json **out)
{
    sums s = {0};
    fv_err err = FV_OK;
    fv_json *object = fv_json_make_object();
    *out = NULL;
    for (int g = 0; g < args->batch->n; g++)
        add_group(&s, &args->batch->groups[g], args->weights, args->shape->vision.merge);
    FV_CHECK_DONE(object, FV_ERR_MEMORY, "cannot allocate a step's metrics");
    FV_TRY_DONE(set_answers(object, &s));
    FV_TRY_DONE(set_judge(object, &s, &args->stats->collect.judge));
    FV_TRY_DONE(set_updates(object, args->stats, args->rate));
    FV_TRY_DONE(set_phases(object, args->stats, s.tokens, &args->memory));
    FV_TRY_DONE(set_idle(object, args->stats));
    FV_TRY_DONE(set_speed(object, args));
    *out = object;
    return FV_OK;
done:
    fv_json_destroy(object);
    return err;
}
