#include "fovea/run/retention.h"

#include "fovea/model/checkpoint/checkpoint.h"
#include "fovea/base/file.h"
#include "fovea/run/progress.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int fv_retention_keeps(const fv_retention *retention, const uint64_t *steps, int n, int i, int best)
{
    return i >= n - retention->last || i == best ||
           (retention->every > 0 && steps[i] % (uint64_t)retention->every == 0);
}

/* NaN if the checkpoint has none, or cannot be read. */
static double score_of(const char *folder)
{
    char path[PATH_MAX];
    fv_hdf5 *index;
    double score = (double)NAN;
    if (fv_file_path(path, sizeof path, folder, "index.h5") != FV_OK ||
        fv_hdf5_open_own(path, &index) != FV_OK)
        return score;
    if (fv_progress_read_score(index, &score) != FV_OK)
        score = (double)NAN;
    fv_hdf5_close(index);
    return score;
}

static fv_err path_of(const fv_lease *lease, uint64_t step, char out[PATH_MAX])
{
    char name[FV_CHECKPOINT_NAME_BYTES];
    fv_checkpoint_name(step, name);
    return fv_file_path(out, PATH_MAX, lease->checkpoints, name);
}

/* The index of the largest score, the newest of equals; -1 if there is none. */
static fv_err find_best(const fv_lease *lease, const uint64_t *steps, int n, int *best)
{
    char path[PATH_MAX];
    double largest = 0;
    *best = -1;
    for (int i = 0; i < n; i++) {
        FV_TRY(path_of(lease, steps[i], path));
        double score = score_of(path);
        if (isnan(score) || (*best >= 0 && score < largest))
            continue;
        largest = score;
        *best = i;
    }
    return FV_OK;
}

static fv_err drop(const fv_lease *lease, uint64_t step)
{
    char path[PATH_MAX], gone[PATH_MAX], name[FV_CHECKPOINT_NAME_BYTES + 8];
    snprintf(name, sizeof name, "dropped_%llu", (unsigned long long)step);
    FV_TRY(path_of(lease, step, path));
    FV_TRY(fv_file_path(gone, sizeof gone, lease->own, name));
    FV_CHECK(rename(path, gone) == 0, FV_ERR_IO, "cannot rename %s to %s: %s", path, gone, strerror(errno));
    return fv_file_remove_tree(gone);
}

fv_err fv_retention_prune(const fv_retention *retention, const fv_lease *lease, uint64_t newest)
{
    uint64_t *steps;
    int n, best = -1;
    FV_TRY(fv_checkpoint_list(lease->checkpoints, &steps, &n));
    while (n > 0 && steps[n - 1] > newest)
        n--;
    fv_err err = retention->best ? find_best(lease, steps, n, &best) : FV_OK;
    for (int i = 0; i < n && err == FV_OK; i++)
        if (!fv_retention_keeps(retention, steps, n, i, best))
            err = drop(lease, steps[i]);
    free(steps);
    return err;
}
