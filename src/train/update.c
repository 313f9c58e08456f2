/* The update of a mini-batch.
 *
 * Every rank has all groups. They are cut into trees, and the trees are dealt out: the largest that is left
 * goes to the rank with the least. All ranks work this out for themselves. A rank then goes through its own
 * trees in micro-batches: pack, forward, loss, backward; gradients add up in one buffer. What a token weighs
 * in the loss is counted over the whole mini-batch before, so the sum over micro-batches and ranks is the
 * gradient, and nothing is divided afterwards. The optimizer adds up the ranks' sums, clips and moves the
 * weights once; if a number is not finite, nothing moves.
 *
 * The reference policy goes through the same micro-batches, forward alone, after its weights have traded
 * places with the policy's. */
#include "train/update_internal.h"

#include "fovea/base/point.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static fv_err check_args(const fv_updater_args *args)
{
    const fv_update_settings *settings = &args->settings;
    FV_TRY(fv_loss_check(&settings->loss));
    FV_CHECK(settings->micro_tokens > 0, FV_ERR_ARGUMENT, "micro_tokens is %lld, expected 1 or more",
             (long long)settings->micro_tokens);
    int has_kl = fv_loss_needs_reference(&settings->loss) || fv_loss_charges_kl(&settings->loss);
    FV_CHECK(args->reference || !has_kl, FV_ERR_ARGUMENT,
             "the loss or the reward has a KL term but there is no reference policy");
    return FV_OK;
}

fv_err fv_updater_create(const fv_updater_args *args, fv_updater **out)
{
    fv_model *model = args->optimizer->model;
    *out = NULL;
    FV_TRY(check_args(args));
    fv_updater *u = calloc(1, sizeof *u);
    FV_CHECK(u, FV_ERR_MEMORY, "cannot allocate an updater");
    u->args = *args;
    fv_err err = fv_model_alloc_weights(model, fv_model_precision(model)->gradient, &u->grads);
    if (err == FV_OK)
        *out = u;
    else
        free(u);
    return err;
}

void fv_updater_destroy(fv_updater *u)
{
    if (!u)
        return;
    fv_micro_fini(u);
    fv_model_free_weights(u->args.optimizer->model, &u->grads);
    free(u);
}

const fv_updater_args *fv_updater_args_of(const fv_updater *u)
{
    return &u->args;
}

/* The mini-batch. */

/* Forward, loss, backward; the mini-batch's counts are in stats. */
static fv_err compute(fv_updater *u, fv_micro *m, void *context)
{
    fv_update_stats *stats = context;
    const fv_loss_settings *loss = &u->args.settings.loss;
    int has_entropy = loss->entropy_weight > 0;
    fv_loss_sums sums;
    FV_TRY(fv_point("micro"));
    FV_TRY(fv_policy_forward(u->args.policy, &m->packed, u->args.settings.save, m->now, m->entropy));
    if (u->args.settings.is_supervised)
        memcpy(m->then, m->now, (size_t)m->packed.n_logprobs * sizeof *m->then);
    fv_loss_args args = {.new_logprob = m->now,
                         .old_logprob = m->then,
                         .ref_logprob = fv_loss_needs_reference(loss) ? m->reference : NULL,
                         .entropy = m->entropy,
                         .mask = m->mask,
                         .advantages = m->advantages,
                         .starts = m->starts,
                         .n_sequences = m->n_sequences,
                         .all_sequences = stats->n_sequences,
                         .all_tokens = stats->n_tokens,
                         .logprob_grad = m->logprob_grad,
                         .entropy_grad = has_entropy ? m->entropy_grad : NULL};
    FV_TRY(fv_loss_compute(loss, &args, &sums));
    fv_loss_sums_add(&stats->sums, &sums);
    stats->computed_tokens += m->packed.run.n;
    for (int i = 0; i < m->packed.n_views; i++)
        stats->vision_patches += fv_grid_patches(m->packed.grids[i]);
    return fv_policy_backward(u->args.policy, m->logprob_grad, args.entropy_grad, &u->grads);
}

static fv_err check_asked(const fv_updater *u, const fv_group *groups, int n)
{
    if (!fv_loss_needs_reference(&u->args.settings.loss))
        return FV_OK;
    for (int g = 0; g < n; g++)
        for (int a = 0; a < groups[g].n_samples; a++)
            FV_CHECK(groups[g].responses[a].reference, FV_ERR_INTERNAL,
                     "sample %d of prompt %lld: the reference policy was not asked", a,
                     (long long)groups[g].prompt_index);
    return FV_OK;
}

static void count(const fv_group *groups, int n, fv_update_stats *stats)
{
    for (int g = 0; g < n; g++) {
        const fv_tree whole = {&groups[g], 0, groups[g].n_samples};
        stats->n_sequences += groups[g].n_samples;
        stats->n_tokens += fv_tree_generated(&whole);
    }
}

/* The sums of all data ranks. */
static fv_err join(fv_comm *data, fv_update_stats *stats)
{
    fv_loss_sums *s = &stats->sums;
    enum { N = 11 };
    double sums[N] = {s->policy,
                      s->kl,
                      s->entropy,
                      s->ratio,
                      s->approx_kl,
                      s->plain_kl,
                      s->plain_entropy,
                      (double)s->n_tokens,
                      (double)s->n_clipped,
                      (double)stats->computed_tokens,
                      (double)stats->vision_patches};
    FV_TRY(fv_comm_all_reduce_f64(data, sums, N));
    s->policy = sums[0], s->kl = sums[1], s->entropy = sums[2], s->ratio = sums[3], s->approx_kl = sums[4];
    s->plain_kl = sums[5], s->plain_entropy = sums[6];
    s->n_tokens = (int64_t)sums[7];
    s->n_clipped = (int64_t)sums[8];
    stats->computed_tokens = (int64_t)sums[9];
    stats->vision_patches = (int64_t)sums[10];
    return fv_comm_all_reduce_max(data, &s->max_logprob_diff);
}

static fv_err step(fv_updater *u, const fv_group *groups, int n, double rate, fv_update_stats *stats)
{
    fv_optimizer *optimizer = u->args.optimizer;
    FV_TRY(fv_fill(fv_model_backend(optimizer->model), &(fv_fill_args){.x = u->grads.flat}));
    FV_TRY(fv_comm_agree(optimizer->data, fv_micro_run(u, groups, n, "update", compute, stats)));
    FV_TRY(join(optimizer->data, stats));
    stats->loss = fv_loss_value(&u->args.settings.loss, &stats->sums);
    return fv_optimizer_step(optimizer, &u->grads, (float)rate, &stats->norm);
}

fv_err fv_update(fv_updater *u, const fv_group *groups, int n, double rate, fv_update_stats *stats)
{
    *stats = (fv_update_stats){0};
    FV_TRY(check_asked(u, groups, n));
    FV_TRY(fv_comm_agree(u->args.optimizer->data, fv_point("update")));
    count(groups, n, stats);
    fv_err err = step(u, groups, n, rate, stats);
    stats->is_skipped = err == FV_ERR_NUMERIC;
    return stats->is_skipped ? FV_OK : err;
}

fv_err fv_updater_rehearse(fv_updater *u, const fv_packed *packed)
{
    fv_micro *m = &u->micro;
    fv_optimizer *optimizer = u->args.optimizer;
    int step = optimizer->step;
    double norm;
    FV_TRY(fv_policy_forward(u->args.policy, packed, u->args.settings.save, m->now, m->entropy));
    FV_TRY(fv_policy_backward(u->args.policy, m->logprob_grad, m->entropy_grad, &u->grads));
    FV_TRY(fv_optimizer_step(optimizer, &u->grads, 0, &norm));
    optimizer->step = step;
    return FV_OK;
}

/* The reference policy. */

static fv_err ask_micro(fv_updater *u, fv_micro *m, void *context)
{
    int64_t at = 0, *tokens = context;
    FV_TRY(fv_policy_forward(u->args.policy, &m->packed, FV_SAVE_NONE, m->reference, NULL));
    *tokens += m->packed.run.n;
    for (int i = 0; i < m->n_trees; i++)
        for (int a = m->trees[i].first; a < m->trees[i].first + m->trees[i].n; a++) {
            fv_response *response = &m->trees[i].group->responses[a];
            for (size_t t = 0; t < response->ids.n; t++)
                if (response->loss_mask[t])
                    response->reference[t] = m->reference[at++];
        }
    return FV_OK;
}

/* Zeros for samples that other ranks ask about. */
static fv_err make_room(const fv_group *groups, int n)
{
    for (int g = 0; g < n; g++)
        for (int a = 0; a < groups[g].n_samples; a++) {
            fv_response *response = &groups[g].responses[a];
            free(response->reference);
            response->reference = calloc(response->ids.n + 1, sizeof *response->reference);
            FV_CHECK(response->reference, FV_ERR_MEMORY, "cannot allocate %zu log-probs", response->ids.n);
        }
    return FV_OK;
}

static fv_err ask(fv_updater *u, const fv_group *groups, int n, int64_t *tokens)
{
    FV_TRY(make_room(groups, n));
    FV_TRY(fv_reference_exchange(u->args.reference));
    FV_TRY(fv_micro_run(u, groups, n, "reference", ask_micro, tokens));
    return fv_reference_exchange(u->args.reference);
}

/* All samples' log-probs into all, or back; returns how many. all NULL: only that. */
static size_t carry(const fv_group *groups, int n, float *all, int is_back)
{
    size_t at = 0;
    for (int g = 0; g < n; g++)
        for (int a = 0; a < groups[g].n_samples; a++) {
            const fv_response *response = &groups[g].responses[a];
            size_t bytes = response->ids.n * sizeof *all;
            if (all && is_back)
                memcpy(response->reference, all + at, bytes);
            else if (all)
                memcpy(all + at, response->reference, bytes);
            at += response->ids.n;
        }
    return at;
}

static fv_err share_answers(fv_comm *data, const fv_group *groups, int n)
{
    size_t count = carry(groups, n, NULL, 0);
    float *all = malloc(count * sizeof *all + 1);
    fv_err err = all ? FV_OK : FV_FAIL(FV_ERR_MEMORY, "cannot allocate %zu log-probs", count);
    FV_TRY_DONE(fv_comm_agree(data, err));
    carry(groups, n, all, 0);
    FV_TRY_DONE(fv_comm_all_reduce_f32(data, all, count));
    carry(groups, n, all, 1);
done:
    free(all);
    return err;
}

fv_err fv_update_ask_reference(fv_updater *u, const fv_group *groups, int n, int64_t *tokens)
{
    fv_comm *data = u->args.optimizer->data;
    int64_t own = 0;
    FV_TRY(fv_comm_agree(data, ask(u, groups, n, &own)));
    double all = (double)own;
    FV_TRY(fv_comm_all_reduce_f64(data, &all, 1));
    *tokens += (int64_t)all;
    return data->size > 1 ? share_answers(data, groups, n) : FV_OK;
}

fv_err fv_update_charge_kl(fv_updater *u, const fv_group *groups, int n, int64_t *tokens)
{
    FV_TRY(fv_update_ask_reference(u, groups, n, tokens));
    for (int g = 0; g < n; g++)
        for (int a = 0; a < groups[g].n_samples; a++) {
            fv_response *response = &groups[g].responses[a];
            response->reward.kl =
                fv_loss_kl_of_answer(&u->args.settings.loss, response->logprobs, response->reference,
                                     response->loss_mask, (int64_t)response->ids.n);
        }
    return FV_OK;
}
