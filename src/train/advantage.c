#include "fovea/train/advantage.h"

#include "fovea/base/buffer.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Turns the n rewards in place into advantages within their group; baseline: the greedy sample's reward. */
typedef void (*group_estimate)(double *values, int64_t n, double baseline, double eps);

struct fv_estimator {
    const char *name;
    group_estimate estimate; /* NULL: rewards stay as they are */
    int least_samples;       /* of a group */
    int needs_greedy;
    int whitens_batch; /* afterwards */
};

/* What rounding may do to a task reward, as a share of its parts: products of up to four numbers. */
static const double rounding = 8 * DBL_EPSILON;

static double sum_of(const double *values, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += values[i];
    return sum;
}

static double mean_of(const double *values, int64_t n)
{
    return sum_of(values, n) / (double)n;
}

static double squares_around(const double *values, int64_t n, double centre)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (values[i] - centre) * (values[i] - centre);
    return sum;
}

/* Unbiased, from a sum of squares over n values. */
static double deviation(double squares, int64_t n)
{
    return n > 1 ? sqrt(squares / (double)(n - 1)) : 0;
}

static void shift_and_scale(double *values, int64_t n, double shift, double scale)
{
    for (int64_t i = 0; i < n; i++)
        values[i] = (values[i] - shift) * scale;
}

static void grpo(double *values, int64_t n, double baseline, double eps)
{
    (void)baseline;
    double mean = mean_of(values, n);
    shift_and_scale(values, n, mean, 1 / (deviation(squares_around(values, n, mean), n) + eps));
}

static void dr_grpo(double *values, int64_t n, double baseline, double eps)
{
    (void)baseline, (void)eps;
    shift_and_scale(values, n, mean_of(values, n), 1);
}

/* R - (sum - R) / (n - 1) = (R - mean) n / (n - 1) */
static void rloo(double *values, int64_t n, double baseline, double eps)
{
    (void)baseline, (void)eps;
    shift_and_scale(values, n, mean_of(values, n), n > 1 ? (double)n / (double)(n - 1) : 0);
}

static void remax(double *values, int64_t n, double baseline, double eps)
{
    (void)eps;
    shift_and_scale(values, n, baseline, 1);
}

static const fv_estimator estimators[] = {
    {"grpo", grpo, 2, 0, 0},   {"dr_grpo", dr_grpo, 2, 0, 0},   {"rloo", rloo, 2, 0, 0},
    {"remax", remax, 1, 1, 0}, {"reinforce_pp", NULL, 1, 0, 1},
};
enum { N_ESTIMATORS = sizeof estimators / sizeof estimators[0] };

fv_err fv_estimator_find(const char *name, const fv_estimator **out)
{
    fv_buffer names = {0};
    fv_err err = FV_OK;
    for (int i = 0; i < N_ESTIMATORS; i++) {
        if (strcmp(estimators[i].name, name) == 0) {
            *out = &estimators[i];
            goto done;
        }
        FV_TRY_DONE(fv_buffer_print(&names, "%s%s", i ? ", " : "", estimators[i].name));
    }
    err = FV_FAIL(FV_ERR_ARGUMENT, "there is no estimator \"%s\"; there are %s", name, names.data);
done:
    fv_buffer_fini(&names);
    return err;
}

const char *fv_estimator_name(const fv_estimator *estimator)
{
    return estimator->name;
}

int fv_estimator_least_samples(const fv_estimator *estimator)
{
    return estimator->least_samples;
}

int fv_estimator_needs_greedy(const fv_estimator *estimator)
{
    return estimator->needs_greedy;
}

fv_err fv_advantage_check(const fv_advantage_settings *settings)
{
    FV_CHECK(settings->estimator, FV_ERR_ARGUMENT, "no estimator of advantages is set");
    FV_CHECK(isfinite(settings->eps) && settings->eps > 0, FV_ERR_ARGUMENT,
             "an eps of advantages of %g; above 0", settings->eps);
    return fv_reward_weights_check(&settings->weights);
}

static int64_t group_size(const fv_advantage_args *args, int64_t group)
{
    return args->starts[group + 1] - args->starts[group];
}

static double *group_values(const fv_advantage_args *args, int64_t group)
{
    return args->advantages + args->starts[group];
}

static fv_err total(const fv_reward_weights *weights, const fv_reward *reward, int64_t group, double *out)
{
    *out = fv_reward_total(weights, reward);
    FV_CHECK(isfinite(*out), FV_ERR_NUMERIC,
             "group %lld: a reward of %g from accuracy %g, format %g, tool penalty %g, over-long %g, kl %g",
             (long long)group, *out, reward->accuracy, reward->format, reward->tool_penalty, reward->overlong,
             reward->kl);
    return FV_OK;
}

/* Fates. */

/* Whether the task rewards of two samples are the same number, however their parts were rounded. */
static int is_equal(const fv_reward_weights *weights, const fv_reward *a, const fv_reward *b)
{
    double difference = fv_reward_of_task(weights, a) - fv_reward_of_task(weights, b);
    double parts = weights->accuracy * (fabs(a->accuracy) + fabs(b->accuracy)) +
                   weights->format * (a->format + b->format) + a->tool_penalty + b->tool_penalty +
                   a->overlong + b->overlong;
    return fabs(difference) <= rounding * parts;
}

static int are_equal(const fv_reward_weights *weights, const fv_reward *rewards, int64_t n,
                     const fv_reward *to)
{
    for (int64_t i = 0; i < n; i++)
        if (!is_equal(weights, &rewards[i], to))
            return 0;
    return 1;
}

static int has_verdicts(const fv_estimator *estimator, const fv_advantage_args *args, int64_t group)
{
    return fv_rewards_have_verdicts(args->rewards + args->starts[group], group_size(args, group)) &&
           (!estimator->needs_greedy || args->greedy[group].has_verdict);
}

/* An estimator that looks at the whole batch compares a single sample with those of other groups. */
static int has_signal(const fv_advantage_settings *settings, const fv_advantage_args *args, int64_t group)
{
    const fv_estimator *estimator = settings->estimator;
    const fv_reward *rewards = args->rewards + args->starts[group];
    int64_t n = group_size(args, group);
    if (n == 1 && estimator->whitens_batch)
        return 1;
    return !are_equal(&settings->weights, rewards, n,
                      estimator->needs_greedy ? &args->greedy[group] : rewards);
}

static fv_err decide(const fv_advantage_settings *settings, const fv_advantage_args *args, int64_t group)
{
    FV_CHECK(group_size(args, group) > 0, FV_ERR_ARGUMENT, "group %lld has no samples", (long long)group);
    if (!has_verdicts(settings->estimator, args, group))
        args->statuses[group] = FV_GROUP_NO_VERDICT;
    else
        args->statuses[group] = has_signal(settings, args, group) ? FV_GROUP_KEPT : FV_GROUP_NO_SIGNAL;
    return FV_OK;
}

/* A batch of single samples that are all worth the same. */
static void drop_equal_batch(const fv_advantage_settings *settings, const fv_advantage_args *args)
{
    const fv_reward *first = NULL;
    for (int64_t g = 0; g < args->n_groups; g++) {
        const fv_reward *rewards = args->rewards + args->starts[g];
        if (args->statuses[g] != FV_GROUP_KEPT)
            continue;
        first = first ? first : rewards;
        if (!are_equal(&settings->weights, rewards, group_size(args, g), first))
            return;
    }
    for (int64_t g = 0; g < args->n_groups; g++)
        if (args->statuses[g] == FV_GROUP_KEPT)
            args->statuses[g] = FV_GROUP_NO_SIGNAL;
}

/* Values. */

static fv_err estimate_group(const fv_advantage_settings *settings, const fv_advantage_args *args,
                             int64_t group)
{
    const fv_estimator *estimator = settings->estimator;
    double *values = group_values(args, group), baseline = 0;
    int64_t n = group_size(args, group);
    if (args->statuses[group] != FV_GROUP_KEPT) {
        memset(values, 0, (size_t)n * sizeof *values);
        return FV_OK;
    }
    for (int64_t i = 0; i < n; i++)
        FV_TRY(total(&settings->weights, &args->rewards[args->starts[group] + i], group, &values[i]));
    if (estimator->needs_greedy)
        FV_TRY(total(&settings->weights, &args->greedy[group], group, &baseline));
    if (estimator->estimate)
        estimator->estimate(values, n, baseline, settings->eps);
    return FV_OK;
}

/* Over the samples of kept groups, group after group. */
static void whiten_batch(const fv_advantage_args *args, double eps)
{
    double sum = 0, squares = 0;
    int64_t n = 0;
    for (int64_t g = 0; g < args->n_groups; g++)
        if (args->statuses[g] == FV_GROUP_KEPT) {
            sum += sum_of(group_values(args, g), group_size(args, g));
            n += group_size(args, g);
        }
    double mean = n ? sum / (double)n : 0;
    for (int64_t g = 0; g < args->n_groups; g++)
        if (args->statuses[g] == FV_GROUP_KEPT)
            squares += squares_around(group_values(args, g), group_size(args, g), mean);
    double scale = 1 / (deviation(squares, n) + eps);
    for (int64_t g = 0; g < args->n_groups; g++)
        if (args->statuses[g] == FV_GROUP_KEPT)
            shift_and_scale(group_values(args, g), group_size(args, g), mean, scale);
}

fv_err fv_advantage_compute(const fv_advantage_settings *settings, const fv_advantage_args *args)
{
    FV_TRY(fv_advantage_check(settings));
    FV_CHECK(args->greedy || !settings->estimator->needs_greedy, FV_ERR_ARGUMENT,
             "the estimator %s needs a greedy sample of every prompt", settings->estimator->name);
    for (int64_t g = 0; g < args->n_groups; g++)
        FV_TRY(decide(settings, args, g));
    if (settings->estimator->whitens_batch)
        drop_equal_batch(settings, args);
    for (int64_t g = 0; g < args->n_groups; g++)
        FV_TRY(estimate_group(settings, args, g));
    if (settings->estimator->whitens_batch)
        whiten_batch(args, settings->eps);
    return FV_OK;
}
