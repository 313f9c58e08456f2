/* fovea pack --select: the rows of a data set that a model shows to be worth training on. */
#ifndef FOVEA_JOBS_PACK_SELECT_H
#define FOVEA_JOBS_PACK_SELECT_H

typedef struct fv_pack_select_options {
    const char *config;     /* of training: model, prompts, data.train, layout, rollout, reward */
    const char **overrides; /* KEY=VALUE, (n_overrides); borrowed. To merge: the files of the shards */
    int n_overrides;
    const char *out;     /* the pack to write; of a shard the file (selection.h) that is merged */
    int gain;            /* right answers that the high-resolution view must add */
    int shard, n_shards; /* 1 and 1: all rows */
} fv_pack_select_options;

/* Return the exit status. */
int fv_pack_select(const fv_pack_select_options *options);
int fv_pack_merge(const fv_pack_select_options *options);

#endif
