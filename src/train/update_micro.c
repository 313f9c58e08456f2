/* Micro-batches: a rank's trees, as many at a time as micro_tokens allow. Their arrays lie in rooms that the
 * updater keeps, so a step allocates nothing. */
#include "train/update_internal.h"

#include "fovea/base/meter.h"

#include <string.h>

typedef struct taking {
    fv_micro *micro;
    const fv_packed_size *size;
} taking;

static fv_err take_micro(void *context, fv_arena *arena)
{
    const taking *t = context;
    fv_micro *m = t->micro;
    int64_t n = t->size->logprobs, samples = t->size->responses;
    float **const floats[] = {&m->now,     &m->then,         &m->reference,
                              &m->entropy, &m->logprob_grad, &m->entropy_grad};
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++)
        FV_TRY(FV_TAKE_ARRAY(arena, n, floats[i]));
    FV_TRY(FV_TAKE_ARRAY(arena, n, &m->mask));
    FV_TRY(FV_TAKE_ARRAY(arena, samples, &m->advantages));
    return FV_TAKE_ARRAY(arena, samples + 1, &m->starts);
}

static fv_err make_room(fv_micro *m, const fv_packed_size *size)
{
    taking t = {m, size};
    m->room.name = "micro-batch";
    return fv_room_fit(&m->room, take_micro, &t);
}

static fv_err take_list(void *context, fv_arena *arena)
{
    fv_update_list *list = context;
    FV_TRY(FV_TAKE_ARRAY(arena, list->samples, &list->trees));
    return FV_TAKE_ARRAY(arena, list->samples + list->n_ranks, &list->scratch);
}

static fv_err make_list(fv_updater *u, int64_t samples)
{
    fv_update_list *list = &u->list;
    list->samples = samples;
    list->n_ranks = u->args.optimizer->data->size;
    list->room.name = "sharing out of samples";
    return fv_room_fit(&list->room, take_list, list);
}

fv_err fv_updater_reserve(fv_updater *u, const fv_packed_size *most, int64_t samples)
{
    FV_TRY(fv_packed_reserve(&u->micro.packed, most));
    FV_TRY(make_room(&u->micro, most));
    return make_list(u, samples);
}

void fv_micro_fini(fv_updater *u)
{
    fv_packed_fini(&u->micro.packed);
    fv_room_fini(&u->micro.room);
    fv_room_fini(&u->list.room);
}

/* What the rollout left of each sample, in the order of the packed log-probs. */
static void collect(fv_micro *m)
{
    int64_t at = 0;
    m->n_sequences = 0;
    memset(m->mask, 1, (size_t)m->packed.n_logprobs);
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

static fv_err run_micro(fv_updater *u, fv_micro_work work, void *context)
{
    fv_micro *m = &u->micro;
    const fv_packed_size size = fv_packed_size_of(m->trees, m->n_trees);
    FV_TRY(fv_packed_fill(&m->packed, fv_model_shape_of(u->args.optimizer->model), m->trees, m->n_trees,
                          u->args.view, u->args.view_context));
    fv_err err = make_room(m, &size);
    if (err == FV_OK) {
        collect(m);
        err = work(u, m, context);
    }
    fv_packed_drop(&m->packed);
    return err;
}

static fv_err run_own(fv_updater *u, int n_trees, fv_micro_work work, void *context)
{
    const fv_tree *trees = u->list.trees;
    int64_t n_ranks = u->args.optimizer->data->size, all = 0;
    for (int first = 0, n; first < n_trees; first += n) {
        int64_t tokens = fv_tree_tokens(&trees[first]);
        for (n = 1; first + n < n_trees; n++) {
            int64_t more = fv_tree_tokens(&trees[first + n]);
            if (tokens + more > u->args.settings.micro_tokens)
                break;
            tokens += more;
        }
        u->micro.trees = trees + first;
        u->micro.n_trees = n;
        FV_TRY(run_micro(u, work, context));
        all += tokens;
        fv_meter_at(first + n, all * n_ranks);
    }
    return FV_OK;
}

fv_err fv_micro_run(fv_updater *u, const fv_group *groups, int n, const char *name, fv_micro_work work,
                    void *context)
{
    const fv_comm *data = u->args.optimizer->data;
    int64_t samples = 0;
    for (int g = 0; g < n; g++)
        samples += groups[g].n_samples;
    FV_TRY(make_list(u, samples));
    int n_trees = fv_update_share(groups, n, u->args.settings.micro_tokens, data->rank, data->size,
                                  u->list.trees, u->list.scratch);
    fv_meter_phase(name, n_trees);
    for (int i = 0; i < n_trees && u->args.want; i++)
        fv_tree_want_views(&u->list.trees[i], u->args.want, u->args.view_context);
    return run_own(u, n_trees, work, context);
}
