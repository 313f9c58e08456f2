#include "train/step/step_internal.h"

void fv_step_add_collected(fv_step_stats *stats, const fv_collect_stats *part)
{
    fv_collect_stats *sum = &stats->collect;
    sum->rollout.n_passes += part->rollout.n_passes;
    sum->rollout.n_groups += part->rollout.n_groups;
    sum->rollout.computed_tokens += part->rollout.computed_tokens;
    sum->rollout.generated_tokens += part->rollout.generated_tokens;
    sum->rollout.vision_patches += part->rollout.vision_patches;
    sum->rollout.n_evictions += part->rollout.n_evictions;
    sum->rollout_s += part->rollout_s;
    sum->judge_s += part->judge_s;
    sum->judge.n_asked += part->judge.n_asked;
    sum->judge.n_tries += part->judge.n_tries;
    sum->judge.n_cached += part->judge.n_cached;
    sum->judge.n_compared += part->judge.n_compared;
    sum->judge.n_agreed += part->judge.n_agreed;
    sum->judge.latency_s += part->judge.latency_s;
}

void fv_step_add_update(fv_step_stats *stats, const fv_update_stats *part)
{
    if (stats->n_updates++ == 0)
        stats->first = *part;
    stats->n_skipped += part->is_skipped;
    stats->sum.loss += part->loss;
    stats->sum.norm += part->norm;
    stats->sum.n_sequences += part->n_sequences;
    stats->sum.n_tokens += part->n_tokens;
    stats->sum.computed_tokens += part->computed_tokens;
    stats->sum.vision_patches += part->vision_patches;
    fv_loss_sums_add(&stats->sum.sums, &part->sums);
}
