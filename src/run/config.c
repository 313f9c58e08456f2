#include "fovea/run/config.h"

#include "fovea/train/advantage.h"
#include "fovea/base/file.h"
#include "fovea/model/nn/pages.h"
#include "fovea/reward/verifier.h"

#include <limits.h>
#include <math.h>

static fv_err check_layout(const fv_layout_config *layout, int n_ranks)
{
    int left = n_ranks - layout->judge_ranks, tensor = layout->tensor;
    FV_CHECK(left > 0, FV_ERR_ARGUMENT,
             "layout.judge_ranks is %d, but there are %d ranks: none is left to train", layout->judge_ranks,
             n_ranks);
    FV_CHECK(left % tensor == 0, FV_ERR_ARGUMENT,
             "layout.tensor is %d, but %d ranks - layout.judge_ranks %d = %d = %d x %d + %d: it must divide "
             "what is left",
             tensor, n_ranks, layout->judge_ranks, left, left / tensor, tensor, left % tensor);
    int chunks = layout->chunks;
    FV_CHECK(chunks <= FV_MAX_CHUNKS && (chunks & (chunks - 1)) == 0, FV_ERR_ARGUMENT,
             "layout.chunks is %d; 1, 2, 4 or 8", chunks);
    FV_CHECK(chunks % tensor == 0, FV_ERR_ARGUMENT,
             "layout.tensor is %d, but layout.chunks %d = %d x %d + %d: it must divide them, at most 8",
             tensor, chunks, chunks / tensor, tensor, chunks % tensor);
    return FV_OK;
}

static fv_err check_views(const fv_views_config *views, const fv_rollout_config *rollout)
{
    FV_CHECK(views->prompt == FV_VIEW_LOW || rollout->max_turns == 1, FV_ERR_ARGUMENT,
             "views.prompt is high, so the tool has nothing more to show, but rollout.max_turns is %d; "
             "expected 1",
             rollout->max_turns);
    FV_CHECK(views->bounds.min_pixels <= views->bounds.max_pixels, FV_ERR_ARGUMENT,
             "views.min_pixels is %lld, more than views.max_pixels, %lld",
             (long long)views->bounds.min_pixels, (long long)views->bounds.max_pixels);
    return FV_OK;
}

static fv_err check_optimizer(const fv_optimizer_config *optimizer, int64_t steps)
{
    FV_CHECK(optimizer->warmup_steps <= steps, FV_ERR_ARGUMENT,
             "optimizer.warmup_steps is %lld, more than steps, %lld", (long long)optimizer->warmup_steps,
             (long long)steps);
    return FV_OK;
}

static fv_err check_rollout(const fv_rollout_config *r)
{
    FV_CHECK(r->pass_tokens / 2 >= r->max_running, FV_ERR_ARGUMENT,
             "rollout.pass_tokens is %d, expected at least 2 x rollout.max_running = 2 x %d = %lld",
             r->pass_tokens, r->max_running, 2LL * r->max_running);
    FV_CHECK(
        r->max_turns == 1 || r->max_images > 1, FV_ERR_ARGUMENT,
        "rollout.max_images is %d, so the tool has nothing to show, but rollout.max_turns is %d: expected "
        "2 images or more, or 1 turn",
        r->max_images, r->max_turns);
    /* A prompt and its sample share no page: one more than their tokens fill. */
    int64_t pages = (r->max_tokens - 1) / FV_PAGE + 2;
    FV_CHECK(
        r->cache_pages >= pages, FV_ERR_ARGUMENT,
        "rollout.cache_pages is %d, but a prompt and its response of rollout.max_tokens = %lld tokens may "
        "take %lld pages of %d tokens",
        r->cache_pages, (long long)r->max_tokens, (long long)pages, FV_PAGE);
    return FV_OK;
}

static fv_err check_update(const fv_update_config *update, const fv_rollout_config *rollout)
{
    int prompts = rollout->prompts, groups = update->groups;
    FV_CHECK(prompts % groups == 0, FV_ERR_ARGUMENT,
             "update.groups is %d, but rollout.prompts is %d = %d x %d + %d: it must be made of whole "
             "mini-batches",
             groups, prompts, prompts / groups, groups, prompts % groups);
    return FV_OK;
}

static fv_err check_reward(const fv_reward_config *reward, const fv_rollout_config *rollout)
{
    const fv_verifier *verifier;
    fv_err err = fv_verifier_find(reward->verifier, &verifier);
    if (err == FV_OK)
        err = fv_overlong_check(&reward->overlong);
    if (err != FV_OK)
        return fv_error_prefix(err, "reward");
    FV_CHECK(reward->format.product != FV_PRODUCT_GENERAL || rollout->max_turns == 1, FV_ERR_ARGUMENT,
             "reward.product is general, which has 1 turn, but rollout.max_turns is %d", rollout->max_turns);
    return FV_OK;
}

fv_judge_choice fv_judge_of(const fv_train_config *config)
{
    char path[PATH_MAX];
    if (config->reward.judge != FV_JUDGE_REPLAY)
        return config->reward.judge;
    if (config->judge.program[0])
        return FV_JUDGE_PROGRAM;
    int is_folder = fv_file_path(path, sizeof path, config->judge.api.model, "config.json") == FV_OK &&
                    fv_file_exists(path);
    return is_folder ? FV_JUDGE_LOCAL : FV_JUDGE_API;
}

fv_precision_choice fv_judge_precision_of(const fv_train_config *config)
{
    return config->judge.precision == FV_JUDGE_AS_RUN
               ? config->run.precision
               : (fv_precision_choice)(config->judge.precision - FV_JUDGE_FP32);
}

static fv_err check_local(const fv_train_config *config)
{
    const fv_judge_config *judge = &config->judge;
    FV_CHECK(judge->local.method == FV_JUDGE_COMPARE || judge->api.reply_tokens > 0, FV_ERR_ARGUMENT,
             "judge.reply_tokens is 0, but a local judge that thinks needs a bound");
    FV_CHECK(
        config->run.backend != FV_BACKEND_CUDA || fv_judge_precision_of(config) == FV_PRECISION_BF16,
        FV_ERR_ARGUMENT,
        "backend is cuda, which computes in bf16, but the local judge in fp32: set judge.precision=bf16, or "
        "ask one over HTTP (reward.judge=api)");
    return FV_OK;
}

static fv_err check_judge(const fv_train_config *config, int n_ranks)
{
    const fv_judge_config *judge = &config->judge;
    fv_judge_choice choice = fv_judge_of(config);
    int n_judges = config->layout.judge_ranks, n_askers = (n_ranks - n_judges) / config->layout.tensor;
    FV_CHECK(n_judges == 0 || config->reward.judge == FV_JUDGE_LOCAL, FV_ERR_ARGUMENT,
             "layout.judge_ranks is %d, but only with reward.judge local do ranks judge", n_judges);
    if (choice == FV_JUDGE_VERIFIER)
        return FV_OK;
    FV_CHECK(choice != FV_JUDGE_PROGRAM || judge->program[0], FV_ERR_ARGUMENT,
             "reward.judge is program, but judge.program is empty");
    FV_CHECK(choice == FV_JUDGE_PROGRAM || (judge->prompt[0] && judge->api.model[0]), FV_ERR_ARGUMENT,
             "a language model as a judge needs judge.model and judge.prompt");
    if (n_judges > 0)
        n_askers = n_judges;
    FV_CHECK(judge->api.in_flight >= n_askers, FV_ERR_ARGUMENT,
             "judge.in_flight is %d, but %d groups of ranks share it: expected at least one each",
             judge->api.in_flight, n_askers);
    return choice == FV_JUDGE_LOCAL ? check_local(config) : FV_OK;
}

static fv_err check_running(const fv_rollout_config *r, int greedy)
{
    FV_CHECK(r->max_running >= r->samples + greedy, FV_ERR_ARGUMENT,
             "rollout.max_running is %d, expected at least rollout.samples%s, %d", r->max_running,
             greedy ? " and a greedy one" : "", r->samples + greedy);
    return FV_OK;
}

static fv_err check_samples(const fv_estimator *estimator, const fv_rollout_config *r)
{
    const char *name = fv_estimator_name(estimator);
    int least = fv_estimator_least_samples(estimator), greedy = fv_estimator_needs_greedy(estimator);
    FV_CHECK(r->samples >= least, FV_ERR_ARGUMENT,
             "rollout.samples is %d, but advantage.estimator %s compares the samples of one prompt: "
             "expected at least %d",
             r->samples, name, least);
    FV_CHECK(greedy || (int64_t)r->prompts * r->samples > 1, FV_ERR_ARGUMENT,
             "rollout.prompts and rollout.samples are both 1, but advantage.estimator %s compares the "
             "samples of a step",
             name);
    return check_running(r, greedy);
}

static fv_err check_estimates(const fv_train_config *config)
{
    const fv_estimator *estimator;
    fv_err err = fv_estimator_find(config->advantage.estimator, &estimator);
    if (err != FV_OK)
        return fv_error_prefix(err, "advantage");
    FV_TRY(check_samples(estimator, &config->rollout));
    err = fv_loss_check(&config->loss);
    return err == FV_OK ? FV_OK : fv_error_prefix(err, "loss");
}

static fv_err check_accept(const fv_resume_config *resume)
{
    char name[128];
    for (const char *at = resume->accept; fv_settings_next_name(&at, name, sizeof name);) {
        fv_err err = fv_settings_check_name(&fv_train_settings, name);
        if (err != FV_OK)
            return fv_error_prefix(err, "resume.accept");
    }
    return FV_OK;
}

/* What both kinds of training need. */
static fv_err check_common(const fv_train_config *config, int n_ranks)
{
    FV_TRY(check_layout(&config->layout, n_ranks));
    FV_TRY(check_views(&config->views, &config->rollout));
    FV_TRY(check_accept(&config->resume));
    return check_optimizer(&config->optimizer, config->run.steps);
}

fv_err fv_sft_config_check(const fv_train_config *config, int n_ranks)
{
    const fv_sft_config *c = &config->sft;
    FV_TRY(check_common(config, n_ranks));
    if (config->data.validate[0])
        FV_TRY(check_rollout(&config->rollout));
    FV_CHECK(config->layout.judge_ranks == 0, FV_ERR_ARGUMENT,
             "layout.judge_ranks is %d, but SFT examples are judged by nobody", config->layout.judge_ranks);
    FV_CHECK(c->plain_share == 0 || c->plain_prompts[0], FV_ERR_ARGUMENT,
             "sft.plain_share is %g, but sft.plain_prompts names no wording", c->plain_share);
    return FV_OK;
}

fv_err fv_train_config_check(const fv_train_config *config, int n_ranks)
{
    FV_TRY(check_common(config, n_ranks));
    FV_TRY(check_rollout(&config->rollout));
    FV_TRY(check_reward(&config->reward, &config->rollout));
    FV_TRY(check_judge(config, n_ranks));
    FV_TRY(check_estimates(config));
    return check_update(&config->update, &config->rollout);
}

fv_err fv_select_config_check(const fv_train_config *config, int n_ranks)
{
    FV_TRY(check_layout(&config->layout, n_ranks));
    FV_TRY(check_views(&config->views, &config->rollout));
    FV_TRY(check_rollout(&config->rollout));
    FV_TRY(check_running(&config->rollout, 0));
    FV_TRY(check_reward(&config->reward, &config->rollout));
    return check_judge(config, n_ranks);
}

double fv_rate_at(const fv_optimizer_config *config, int64_t step, int64_t steps)
{
    int64_t warmup = config->warmup_steps;
    if (step < warmup)
        return config->rate * (double)step / (double)warmup;
    int64_t peak = warmup > 0 ? warmup : 1;
    double done = (double)(step - peak) / (double)(steps + 1 - peak), fall = 0;
    if (config->schedule == FV_SCHEDULE_LINEAR)
        fall = done;
    else if (config->schedule == FV_SCHEDULE_COSINE)
        fall = 0.5 * (1 - cos(acos(-1) * done));
    return config->rate * (1 - (1 - config->final_share) * fall);
}
