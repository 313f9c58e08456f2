#include "fovea/run/progress.h"

#include "fovea/io/settings/settings.h"
#include "fovea/train/changeable_settings.h"
#include "base/hash.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

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

fv_err fv_progress_write(const fv_progress *p, fv_hdf5 *file)
{
    const int64_t one = 1;
    FV_TRY(fv_hdf5_write_attribute(file, "config_hash", XXH3_64bits(p->config, strlen(p->config))));
    for (int i = 0; i < N_COUNTS; i++)
        FV_TRY(fv_hdf5_write(file, counts[i].name, FV_U64, 0, NULL, (const char *)p + counts[i].offset));
    FV_TRY(fv_hdf5_write(file, "state/score", FV_F64, 0, NULL, &p->score));
    FV_TRY(fv_hdf5_write(file, "state/config", FV_HDF5_TEXT, 1, &one, &p->config));
    FV_TRY(fv_batch_write(&p->batch, file, "state/batch"));
    return fv_batch_write(&p->begun, file, "state/begun");
}

static fv_err read_one(const fv_hdf5 *file, const char *name, fv_dtype type, void *out)
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
    return read_one(file, "state/score", FV_F64, out);
}

/* Numbers that a run could have come to. */
static fv_err check_counts(const fv_progress *p)
{
    const uint64_t most[] = {p->step,           p->next_prompt,   p->optimizer_step,
                             p->validated_step, p->metrics_bytes, p->trajectories_bytes};
    int are_small = p->is_supervised <= 1 && p->sampling_round <= INT_MAX && p->skipped_updates <= INT_MAX;
    for (size_t i = 0; i < sizeof most / sizeof *most; i++)
        are_small &= most[i] <= INT64_MAX / 16;
    FV_CHECK(are_small, FV_ERR_FORMAT, "the state of the run cannot be: step %llu, prompt %llu",
             (unsigned long long)p->step, (unsigned long long)p->next_prompt);
    return FV_OK;
}

static fv_err read_all(const fv_hdf5 *file, fv_progress *out)
{
    for (int i = 0; i < N_COUNTS; i++)
        FV_TRY(read_one(file, counts[i].name, FV_U64, (char *)out + counts[i].offset));
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

/* Differences. */

static int is_accepted(const char *accept, const char *key)
{
    char name[128];
    for (const char *at = accept; fv_settings_next_name(&at, name, sizeof name);)
        if (strcmp(name, key) == 0)
            return 1;
    return 0;
}

/* A run goes on on what there is; that the numbers are rounded otherwise from there on is told. */
static const char told[] = "backend";

static int is_refused(const void *accept, const char *key)
{
    return !fv_setting_may_change(key, FV_CHANGE_IN_RUN) && !is_accepted(accept, key) &&
           strcmp(key, told) != 0;
}

/* What is compared by its contents. */
typedef struct content {
    const char *key, *what; /* the setting that names it; how another one is told */
    size_t identity;        /* in fv_progress */
} content;

static const content contents[] = {
    {"data.train", "is another data set, or leaves out other rows,", offsetof(fv_progress, data_identity)},
    {"model", "is another one", offsetof(fv_progress, model_identity)},
    {"prompts", "has another wording", offsetof(fv_progress, prompts_identity)},
};
enum { N_CONTENTS = sizeof contents / sizeof *contents };

static unsigned long long identity_of(const fv_progress *p, const content *of)
{
    uint64_t identity;
    memcpy(&identity, (const char *)p + of->identity, sizeof identity);
    return identity;
}

static int is_content(const char *key)
{
    for (int i = 0; i < N_CONTENTS; i++)
        if (strcmp(contents[i].key, key) == 0)
            return 1;
    return 0;
}

static int is_meant(const void *accept, const char *key)
{
    return is_accepted(accept, key) && !is_content(key);
}

static fv_err check_config(const fv_progress *saved, const fv_progress *now, const char *accept)
{
    fv_buffer differences = {0};
    fv_err err = fv_settings_compare(saved->config, now->config, is_refused, accept, &differences);
    if (err == FV_OK && differences.size)
        err =
            FV_FAIL(FV_ERR_ARGUMENT,
                    "the run was begun with other settings: %s; go on with those, name them in resume.accept "
                    "if they are meant, or begin a new run from its weights (model: the checkpoint)",
                    differences.data);
    fv_buffer_fini(&differences);
    return err;
}

static fv_err check_contents(const fv_progress *saved, const fv_progress *now, const char *accept)
{
    for (int i = 0; i < N_CONTENTS; i++) {
        unsigned long long was = identity_of(saved, &contents[i]), is = identity_of(now, &contents[i]);
        FV_CHECK(was == is || is_accepted(accept, contents[i].key), FV_ERR_ARGUMENT,
                 "%s %s than the run was begun with (hash %016llx, was %016llx); name it in resume.accept if "
                 "it is meant",
                 contents[i].key, contents[i].what, is, was);
    }
    return FV_OK;
}

/* What of the accepted names differs. */
static fv_err list_accepted(const fv_progress *saved, const fv_progress *now, const char *accept,
                            fv_buffer *out)
{
    FV_TRY(fv_settings_compare(saved->config, now->config, is_meant, accept, out));
    for (int i = 0; i < N_CONTENTS; i++) {
        unsigned long long was = identity_of(saved, &contents[i]), is = identity_of(now, &contents[i]);
        if (was != is && is_accepted(accept, contents[i].key))
            FV_TRY(fv_buffer_print(out, "%s%s is %016llx, was %016llx", out->size ? ", " : "",
                                   contents[i].key, is, was));
    }
    return FV_OK;
}

/* The names that are accepted for nothing. */
static fv_err list_idle(const fv_progress *saved, const fv_progress *now, const char *accept, fv_buffer *idle)
{
    char name[128];
    for (const char *at = accept; fv_settings_next_name(&at, name, sizeof name);) {
        fv_buffer differences = {0};
        fv_err err = list_accepted(saved, now, name, &differences);
        int is_idle = differences.size == 0;
        fv_buffer_fini(&differences);
        FV_TRY(err);
        if (is_idle)
            FV_TRY(fv_buffer_print(idle, "%s%s", idle->size ? ", " : "", name));
    }
    return FV_OK;
}

fv_err fv_progress_check(const fv_progress *saved, const fv_progress *now, const char *accept,
                         fv_buffer *accepted, fv_buffer *idle)
{
    FV_CHECK(saved->is_supervised == now->is_supervised, FV_ERR_ARGUMENT,
             "this checkpoint is of `fovea %s`: go on with that", saved->is_supervised ? "sft" : "train");
    FV_TRY(check_config(saved, now, accept));
    FV_TRY(check_contents(saved, now, accept));
    FV_TRY(list_accepted(saved, now, accept, accepted));
    if (!is_accepted(accept, told))
        FV_TRY(list_accepted(saved, now, told, accepted));
    return list_idle(saved, now, accept, idle);
}

/* What an update does leaves samples as they were generated. */
static int is_of_answers(const void *accept, const char *key)
{
    static const char *const others[] = {"optimizer.", "update.", NULL};
    return (is_meant(accept, key) || strcmp(key, told) == 0) &&
           !fv_setting_may_change(key, FV_CHANGE_IN_RUN) && !fv_setting_is_among(others, key);
}

fv_err fv_progress_adopt(fv_progress *saved, const fv_progress *now, const char *accept)
{
    fv_buffer differences = {0};
    fv_err err = fv_settings_compare(saved->config, now->config, is_of_answers, accept, &differences);
    int is_other = differences.size > 0;
    fv_buffer_fini(&differences);
    FV_TRY(err);
    for (int i = 0; i < N_CONTENTS; i++)
        is_other |= identity_of(saved, &contents[i]) != identity_of(now, &contents[i]);
    if (!is_other)
        return FV_OK;
    saved->next_prompt -= (uint64_t)saved->batch.n;
    saved->sampling_round = 0;
    fv_batch_fini(&saved->batch);
    fv_batch_fini(&saved->begun);
    return FV_OK;
}
