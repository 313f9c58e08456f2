#include "fovea/train/loss.h"

#include <math.h>
#include <string.h>

static const double most_log_ratio = 20, most_low_var = 10;

/* A term of the loss at one token, and its slope in the new log-prob. */
typedef struct term {
    double value, slope;
} term;

typedef struct policy_term {
    term term;
    double ratio;
    int is_clipped;
} policy_term;

/* One sequence of the batch. */
typedef struct response_span {
    int64_t index, first, end, n_tokens;
    double advantage;
    double weight;         /* w_t */
    double mean_log_ratio; /* of new - old */
} response_span;

static int is_weight(double value)
{
    return isfinite(value) && value >= 0;
}

fv_err fv_loss_check(const fv_loss_settings *settings)
{
    FV_CHECK(settings->clip_low >= 0 && settings->clip_low <= 1, FV_ERR_ARGUMENT,
             "a lower clip of %g; 0 to 1", settings->clip_low);
    FV_CHECK(is_weight(settings->clip_high), FV_ERR_ARGUMENT, "an upper clip of %g; 0 or more",
             settings->clip_high);
    FV_CHECK(settings->dual_clip == 0 || (isfinite(settings->dual_clip) && settings->dual_clip > 1),
             FV_ERR_ARGUMENT, "a dual clip of %g; above 1, or 0 for none", settings->dual_clip);
    FV_CHECK(settings->dual_clip == 0 || settings->ratio != FV_RATIO_CISPO, FV_ERR_ARGUMENT,
             "a dual clip of %g, but the ratio cispo has none", settings->dual_clip);
    FV_CHECK(is_weight(settings->kl_weight), FV_ERR_ARGUMENT, "a weight of the KL of %g; 0 or more",
             settings->kl_weight);
    FV_CHECK(is_weight(settings->entropy_weight), FV_ERR_ARGUMENT, "a weight of the entropy of %g; 0 or more",
             settings->entropy_weight);
    FV_CHECK(settings->mean != FV_MEAN_CONSTANT || settings->constant > 0, FV_ERR_ARGUMENT,
             "sums over tokens are divided by %lld; above 0", (long long)settings->constant);
    return FV_OK;
}

int fv_loss_needs_reference(const fv_loss_settings *settings)
{
    return settings->kl_place == FV_KL_IN_LOSS && settings->kl_weight > 0;
}

int fv_loss_charges_kl(const fv_loss_settings *settings)
{
    return settings->kl_place == FV_KL_IN_REWARD && settings->kl_weight > 0;
}

static double held_within(double value, double low, double high)
{
    return value < low ? low : value > high ? high : value;
}

/* The slope of the sequence's ratio is the token's: each of n tokens moves the mean by 1/n, and the loss n
 * times. */
static policy_term clipped(const fv_loss_settings *settings, double log_ratio, double advantage)
{
    double ratio = exp(held_within(log_ratio, -most_log_ratio, most_log_ratio));
    double plain = -ratio * advantage;
    double held = -held_within(ratio, 1 - settings->clip_low, 1 + settings->clip_high) * advantage;
    double value = fmax(plain, held), most = -settings->dual_clip * advantage;
    int is_dual = settings->dual_clip > 0 && advantage < 0 && value > most;
    int is_clipped = held > plain || is_dual, is_steep = !is_clipped && fabs(log_ratio) <= most_log_ratio;
    return (policy_term){{is_dual ? most : value, is_steep ? plain : 0}, ratio, is_clipped};
}

static policy_term cispo(const fv_loss_settings *settings, double log_ratio, double advantage, double logprob)
{
    double ratio = exp(held_within(log_ratio, -most_log_ratio, most_log_ratio));
    double weight = held_within(ratio, 1 - settings->clip_low, 1 + settings->clip_high);
    return (policy_term){{-weight * advantage * logprob, -weight * advantage}, ratio, weight != ratio};
}

static policy_term policy_at(const fv_loss_settings *settings, const response_span *span, double new_logprob,
                             double old_logprob)
{
    double log_ratio = new_logprob - old_logprob;
    switch (settings->ratio) {
    case FV_RATIO_TOKEN:
        break;
    case FV_RATIO_SEQUENCE:
        log_ratio = span->mean_log_ratio;
        break;
    case FV_RATIO_CISPO:
        return cispo(settings, log_ratio, span->advantage, new_logprob);
    }
    return clipped(settings, log_ratio, span->advantage);
}

static term low_var(double d)
{
    double value = expm1(d) - d;
    return value > most_low_var ? (term){most_low_var, 0} : (term){value, -expm1(d)};
}

/* d: reference less new log-prob. */
static term kl_at(fv_kl_kind kind, double d)
{
    switch (kind) {
    case FV_KL_PLAIN:
        return (term){-d, 1};
    case FV_KL_ABS:
        return (term){fabs(d), (d < 0) - (d > 0)};
    case FV_KL_MSE:
        return (term){d * d / 2, -d};
    case FV_KL_LOW_VAR:
        return low_var(d);
    }
    return (term){0, 0};
}

static double weight_of(const fv_loss_settings *settings, const fv_loss_args *args, int64_t n_tokens)
{
    switch (settings->mean) {
    case FV_MEAN_SEQUENCE:
        return 1 / ((double)args->all_sequences * (double)n_tokens);
    case FV_MEAN_TOKEN:
        return 1 / (double)args->all_tokens;
    case FV_MEAN_CONSTANT:
        return 1 / ((double)args->all_sequences * (double)settings->constant);
    }
    return 0;
}

static response_span span_of(const fv_loss_settings *settings, const fv_loss_args *args, int64_t index)
{
    response_span out = {.index = index,
                         .first = args->starts[index],
                         .end = args->starts[index + 1],
                         .advantage = args->advantages[index]};
    double sum = 0;
    for (int64_t t = out.first; t < out.end; t++)
        if (args->mask[t]) {
            out.n_tokens++;
            sum += (double)args->new_logprob[t] - args->old_logprob[t];
        }
    out.mean_log_ratio = out.n_tokens ? sum / (double)out.n_tokens : 0;
    out.weight = out.n_tokens ? weight_of(settings, args, out.n_tokens) : 0;
    return out;
}

static fv_err check_finite(const response_span *span, int64_t t, const char *what, const float *values)
{
    FV_CHECK(!values || isfinite(values[t]), FV_ERR_NUMERIC, "sequence %lld, token %lld: %s is %g",
             (long long)span->index, (long long)(t - span->first), what, (double)values[t]);
    return FV_OK;
}

static fv_err check_token(const fv_loss_args *args, const response_span *span, int64_t t)
{
    FV_TRY(check_finite(span, t, "the log-prob", args->new_logprob));
    FV_TRY(check_finite(span, t, "the log-prob when it was generated", args->old_logprob));
    FV_TRY(check_finite(span, t, "the reference's log-prob", args->ref_logprob));
    return check_finite(span, t, "the entropy", args->entropy);
}

static void add_policy(fv_loss_sums *sums, const policy_term *policy, double weight, double diff)
{
    sums->policy += weight * policy->term.value;
    sums->ratio += policy->ratio;
    sums->approx_kl -= diff;
    sums->max_logprob_diff = fmax(sums->max_logprob_diff, fabs(diff));
    sums->n_tokens++;
    sums->n_clipped += policy->is_clipped;
}

static void add_token(const fv_loss_settings *settings, const fv_loss_args *args, const response_span *span,
                      int64_t t, fv_loss_sums *sums)
{
    double new_logprob = args->new_logprob[t], old_logprob = args->old_logprob[t];
    policy_term policy = policy_at(settings, span, new_logprob, old_logprob);
    double slope = policy.term.slope;
    add_policy(sums, &policy, span->weight, new_logprob - old_logprob);
    if (fv_loss_needs_reference(settings)) {
        term kl = kl_at(settings->kl, args->ref_logprob[t] - new_logprob);
        sums->kl += span->weight * kl.value;
        sums->plain_kl += kl.value;
        slope += settings->kl_weight * kl.slope;
    }
    args->logprob_grad[t] = (float)(span->weight * slope);
    if (args->entropy) {
        sums->entropy += span->weight * args->entropy[t];
        sums->plain_entropy += args->entropy[t];
    }
    if (settings->entropy_weight > 0)
        args->entropy_grad[t] = (float)(-span->weight * settings->entropy_weight);
}

static fv_err check_args(const fv_loss_settings *settings, const fv_loss_args *args)
{
    FV_TRY(fv_loss_check(settings));
    FV_CHECK(args->all_sequences >= args->n_sequences && args->all_tokens > 0, FV_ERR_ARGUMENT,
             "a mini-batch of %lld sequences and %lld tokens, with %lld sequences here",
             (long long)args->all_sequences, (long long)args->all_tokens, (long long)args->n_sequences);
    FV_CHECK(args->ref_logprob || !fv_loss_needs_reference(settings), FV_ERR_ARGUMENT,
             "a KL in the loss needs the reference's log-probs");
    FV_CHECK((args->entropy && args->entropy_grad) || settings->entropy_weight == 0, FV_ERR_ARGUMENT,
             "an entropy bonus needs the entropies and a place for their gradients");
    return FV_OK;
}

fv_err fv_loss_compute(const fv_loss_settings *settings, const fv_loss_args *args, fv_loss_sums *sums)
{
    *sums = (fv_loss_sums){0};
    FV_TRY(check_args(settings, args));
    size_t bytes = (size_t)args->starts[args->n_sequences] * sizeof(float);
    memset(args->logprob_grad, 0, bytes);
    if (args->entropy_grad)
        memset(args->entropy_grad, 0, bytes);
    for (int64_t i = 0; i < args->n_sequences; i++) {
        response_span one = span_of(settings, args, i);
        FV_CHECK(isfinite(one.advantage), FV_ERR_NUMERIC, "sequence %lld: an advantage of %g", (long long)i,
                 one.advantage);
        for (int64_t t = one.first; t < one.end; t++)
            if (args->mask[t]) {
                FV_TRY(check_token(args, &one, t));
                add_token(settings, args, &one, t, sums);
            }
    }
    return FV_OK;
}

void fv_loss_sums_add(fv_loss_sums *sums, const fv_loss_sums *part)
{
    sums->policy += part->policy;
    sums->kl += part->kl;
    sums->entropy += part->entropy;
    sums->plain_kl += part->plain_kl;
    sums->plain_entropy += part->plain_entropy;
    sums->ratio += part->ratio;
    sums->approx_kl += part->approx_kl;
    sums->max_logprob_diff = fmax(sums->max_logprob_diff, part->max_logprob_diff);
    sums->n_tokens += part->n_tokens;
    sums->n_clipped += part->n_clipped;
}

double fv_loss_value(const fv_loss_settings *settings, const fv_loss_sums *sums)
{
    return sums->policy + settings->kl_weight * sums->kl - settings->entropy_weight * sums->entropy;
}

double fv_loss_kl_of_answer(const fv_loss_settings *settings, const float *logprob, const float *ref_logprob,
                            const uint8_t *mask, int64_t n)
{
    double sum = 0;
    for (int64_t t = 0; t < n; t++)
        if (mask[t])
            sum += kl_at(settings->kl, (double)ref_logprob[t] - logprob[t]).value;
    return settings->kl_weight * sum;
}
