#include "fovea/progress.h"

#include "fovea/settings.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

typedef struct count {
    const char *name;
    size_t offset;
} count;

static const count counts[] = {
#define X(member) {"state/" #member, offsetof(fv_progress, member)},
    FV_PROGRESS_COUNTS(X)
#undef X
};
enum { N_COUNTS = sizeof counts / sizeof *counts };

/* Settings whose change leaves every token and every weight as it is, or that say how far to go and how. A
 * dot at the end: the whole section. */
static const char *const free_settings[] = {"model",
                                            "out",
                                            "prompts",
                                            "resume",
                                            "steps",
                                            "threads",
                                            "kernels",
                                            "data.train",
                                            "data.validate",
                                            "layout.",
                                            "rollout.max_running",
                                            "rollout.pass_tokens",
                                            "rollout.cache_pages",
                                            "reward.max_unjudged_share",
                                            "judge.url",
                                            "judge.key_file",
                                            "judge.ca_file",
                                            "judge.headers",
                                            "judge.key_over_http",
                                            "judge.in_flight",
                                            "judge.deadline_s",
                                            "judge.tries",
                                            "judge.budget_s",
                                            "judge.log",
                                            "judge.log_verdicts",
                                            "update.micro_tokens",
                                            "update.recompute",
                                            "update.skip_limit",
                                            "validate.",
                                            "save.",
                                            "log.",
                                            NULL};

fv_err fv_progress_write(const fv_progress *p, fv_hdf5 *file)
{
    const int64_t one = 1;
    FV_TRY(fv_hdf5_write_attribute(file, "config_hash", XXH3_64bits(p->config, strlen(p->config))));
    for (int i = 0; i < N_COUNTS; i++)
        FV_TRY(fv_hdf5_write(file, counts[i].name, FV_HDF5_U64, 0, NULL, (const char *)p + counts[i].offset));
    FV_TRY(fv_hdf5_write(file, "state/score", FV_HDF5_F64, 0, NULL, &p->score));
    FV_TRY(fv_hdf5_write(file, "state/config", FV_HDF5_TEXT, 1, &one, &p->config));
    FV_TRY(fv_batch_write(&p->batch, file, "state/batch"));
    return fv_batch_write(&p->begun, file, "state/begun");
}

static fv_err read_one(const fv_hdf5 *file, const char *name, fv_hdf5_type type, void *out)
{
    void *value;
    size_t n;
    FV_TRY(fv_hdf5_read(file, name, type, &value, &n));
    if (n == 1)
        memcpy(out, value, 8);
    free(value);
    FV_CHECK(n == 1, FV_ERR_FORMAT, "\"%s\" has %zu numbers, expected one", name, n);
    return FV_OK;
}

fv_err fv_progress_read_score(const fv_hdf5 *file, double *out)
{
    return read_one(file, "state/score", FV_HDF5_F64, out);
}

/* Numbers that a run could have come to. */
static fv_err check_counts(const fv_progress *p)
{
    const uint64_t most[] = {p->step,           p->place,         p->optimizer_step,
                             p->validated_step, p->metrics_bytes, p->trajectories_bytes};
    int are_small = p->is_supervised <= 1 && p->refill <= INT_MAX && p->skipped_updates <= INT_MAX;
    for (size_t i = 0; i < sizeof most / sizeof *most; i++)
        are_small &= most[i] <= INT64_MAX / 16;
    FV_CHECK(are_small, FV_ERR_FORMAT, "the state of the run cannot be: step %llu, prompt %llu",
             (unsigned long long)p->step, (unsigned long long)p->place);
    return FV_OK;
}

static fv_err read_all(const fv_hdf5 *file, fv_progress *out)
{
    for (int i = 0; i < N_COUNTS; i++)
        FV_TRY(read_one(file, counts[i].name, FV_HDF5_U64, (char *)out + counts[i].offset));
    FV_TRY(check_counts(out));
    FV_TRY(fv_progress_read_score(file, &out->score));
    FV_TRY(fv_hdf5_read_range(file, "state/config", FV_HDF5_TEXT, 0, 1, &out->config));
    FV_TRY(fv_batch_read(file, "state/batch", &out->batch));
    return fv_batch_read(file, "state/begun", &out->begun);
}

fv_err fv_progress_read(const fv_hdf5 *file, fv_progress *out)
{
    *out = (fv_progress){0};
    fv_err err = read_all(file, out);
    if (err != FV_OK)
        fv_progress_fini(out);
    return err;
}

void fv_progress_fini(fv_progress *p)
{
    free(p->config);
    fv_batch_fini(&p->batch);
    fv_batch_fini(&p->begun);
    *p = (fv_progress){0};
}

static fv_err check_config(const fv_progress *saved, const fv_progress *now)
{
    fv_buffer differences = {0};
    fv_err err = fv_settings_compare(saved->config, now->config, free_settings, &differences);
    if (err == FV_OK && differences.size)
        err = FV_FAIL(FV_ERR_ARGUMENT,
                      "the run was begun with other settings: %s; go on with those, or begin a new run from "
                      "its weights (model: the checkpoint)",
                      differences.data);
    fv_buffer_fini(&differences);
    return err;
}

fv_err fv_progress_check(const fv_progress *saved, const fv_progress *now)
{
    FV_CHECK(saved->is_supervised == now->is_supervised, FV_ERR_ARGUMENT,
             "this checkpoint is of `fovea %s`: go on with that", saved->is_supervised ? "sft" : "train");
    FV_TRY(check_config(saved, now));
    FV_CHECK(
        saved->data_identity == now->data_identity, FV_ERR_ARGUMENT,
        "data.train is another data set, or other rows of it are too long, than when the run was begun (hash "
        "%016llx, was %016llx)",
        (unsigned long long)now->data_identity, (unsigned long long)saved->data_identity);
    FV_CHECK(saved->model_identity == now->model_identity, FV_ERR_ARGUMENT,
             "model is another one than the run was begun with (hash %016llx, was %016llx)",
             (unsigned long long)now->model_identity, (unsigned long long)saved->model_identity);
    FV_CHECK(saved->prompts_identity == now->prompts_identity, FV_ERR_ARGUMENT,
             "prompts has another wording than the run was begun with (hash %016llx, was %016llx)",
             (unsigned long long)now->prompts_identity, (unsigned long long)saved->prompts_identity);
    return FV_OK;
}
