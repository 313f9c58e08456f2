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
#include "fovea/train/update.h"

#include "fovea/base/meter.h"
#include "fovea/base/point.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct fv_updater {
    fv_updater_args args;
    fv_weights grads; /* owned */
};

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
    if (u)
        fv_model_free_weights(u->args.optimizer->model, &u->grads);
    free(u);
}

const fv_updater_args *fv_updater_args_of(const fv_updater *u)
{
    return &u->args;
}

/* One micro-batch. */

/* Host arrays over its generated tokens (N) and answers (S). */
typedef struct micro {
    fv_packed packed;
    const fv_tree *trees; /* (n_trees) */
    int n_trees;
    float *now, *then, *reference, *entropy, *logprob_grad, *entropy_grad; /* (N) */
    uint8_t *mask;                                                         /* (N) */
    double *advantages;                                                    /* (S) */
    int64_t *starts;                                                       /* (S + 1) */
    int64_t n_sequences;
} micro;

static void micro_fini(micro *m)
{
    void *const arrays[] = {m->now,          m->then, m->reference,  m->entropy, m->logprob_grad,
                            m->entropy_grad, m->mask, m->advantages, m->starts};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        free(arrays[i]);
    fv_packed_fini(&m->packed);
}

static fv_err allocate(micro *m)
{
    size_t n = (size_t)m->packed.n_logprobs + 1, answers = 1;
    for (int i = 0; i < m->n_trees; i++)
        answers += (size_t)m->trees[i].n;
    float **const floats[] = {&m->now,     &m->then,         &m->reference,
                              &m->entropy, &m->logprob_grad, &m->entropy_grad};
    int is_there = 1;
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++)
        is_there &= (*floats[i] = malloc(n * sizeof(float))) != NULL;
    m->mask = malloc(n);
    m->advantages = malloc(answers * sizeof *m->advantages);
    m->starts = malloc(answers * sizeof *m->starts);
    is_there &= m->mask && m->advantages && m->starts;
    FV_CHECK(is_there, FV_ERR_MEMORY, "cannot allocate a micro-batch of %zu generated tokens", n);
    memset(m->mask, 1, n);
    return FV_OK;
}

/* What the rollout left of each answer, in the order of the packed log-probs. */
static void collect(micro *m)
{
    int64_t at = 0;
    for (int i = 0; i < m->n_trees; i++)
        for (int a = m->trees[i].first; a < m->trees[i].first + m->trees[i].n; a++) {
            const fv_response *response = &m->trees[i].group->responses[a];
            m->advantages[m->n_sequences] = response->advantage;
            m->starts[m->n_sequences++] = at;
            for (size_t t = 0; t < response->ids.n; t++)
                if (response->loss_mask[t]) {
                    m->reference[at] = response->reference ? response->reference[t] : 0;
                    m->then[at++] = response->logprobs[t];
                }
        }
    m->starts[m->n_sequences] = at;
}

/* What is done with each micro-batch. */
typedef fv_err (*micro_work)(fv_updater *u, micro *m, void *context);

static fv_err run_micro(fv_updater *u, const fv_tree *trees, int n_trees, micro_work work, void *context)
{
    micro m = {.trees = trees, .n_trees = n_trees};
    fv_err err = FV_OK;
    FV_TRY_DONE(fv_packed_init(&m.packed, fv_model_shape_of(u->args.optimizer->model), trees, n_trees,
                               u->args.view, u->args.view_context));
    FV_TRY_DONE(allocate(&m));
    collect(&m);
    FV_TRY_DONE(work(u, &m, context));
done:
    micro_fini(&m);
    return err;
}

static fv_err run_own(fv_updater *u, const fv_tree *trees, int n_trees, micro_work work, void *context)
{
    int64_t n_ranks = u->args.optimizer->data->size, all = 0;
    for (int first = 0, n; first < n_trees; first += n) {
        int64_t tokens = fv_tree_tokens(&trees[first]);
        for (n = 1; first + n < n_trees; n++) {
            int64_t more = fv_tree_tokens(&trees[first + n]);
            if (tokens + more > u->args.settings.micro_tokens)
                break;
            tokens += more;
        }
        FV_TRY(run_micro(u, trees + first, n, work, context));
        all += tokens;
        fv_meter_at(first + n, all * n_ranks);
    }
    return FV_OK;
}

/* This rank's share of the groups' answers. name: of the phase, for people. */
static fv_err run_share(fv_updater *u, const fv_group *groups, int n, const char *name, micro_work work,
                        void *context)
{
    const fv_comm *data = u->args.optimizer->data;
    size_t answers = 0;
    for (int g = 0; g < n; g++)
        answers += (size_t)groups[g].n_samples;
    fv_tree *trees = malloc((answers + 1) * sizeof *trees);
    int64_t *scratch = malloc((answers + (size_t)data->size) * sizeof *scratch);
    fv_err err = FV_OK;
    FV_CHECK_DONE(trees && scratch, FV_ERR_MEMORY, "cannot allocate the sharing out of %zu answers", answers);
    int n_trees =
        fv_update_share(groups, n, u->args.settings.micro_tokens, data->rank, data->size, trees, scratch);
    fv_meter_phase(name, n_trees);
    for (int i = 0; i < n_trees && u->args.want; i++)
        fv_tree_want_views(&trees[i], u->args.want, u->args.view_context);
    FV_TRY_DONE(run_own(u, trees, n_trees, work, context));
done:
    free(trees);
    free(scratch);
    return err;
}

/* The mini-batch. */

/* Forward, loss, backward; the mini-batch's counts are in stats. */
static fv_err compute(fv_updater *u, micro *m, void *context)
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
                     "answer %d of prompt %lld: the reference policy was not asked", a,
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
    FV_TRY(fv_comm_agree(optimizer->data, run_share(u, groups, n, "update", compute, stats)));
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

/* The reference policy. */

static fv_err ask_micro(fv_updater *u, micro *m, void *context)
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

/* Zeros for answers that other ranks ask about. */
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
    FV_TRY(run_share(u, groups, n, "reference", ask_micro, tokens));
    return fv_reference_exchange(u->args.reference);
}

/* All answers' log-probs into all, or back; returns how many. all NULL: only that. */
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
