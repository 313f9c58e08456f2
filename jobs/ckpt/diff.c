#include "jobs/ckpt/ckpt.h"

#include "fovea/model/checkpoint/checkpoint.h"
#include "fovea/model/hf/folder.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 1 << 20 /* numbers compared at a time, if a row is not longer */ };

/* How two tensors differ. */
typedef struct difference {
    int64_t n;      /* numbers of other bits */
    double largest; /* absolute; NaN if one of them is NaN */
} difference;

typedef struct comparison {
    fv_folder folders[2];
    float *blocks[2];
    int n_tensors; /* that differ */
} comparison;

static void compare(const float *a, const float *b, int64_t n, difference *d)
{
    for (int64_t i = 0; i < n; i++) {
        if (memcmp(&a[i], &b[i], sizeof *a) == 0)
            continue;
        double apart = fabs((double)a[i] - (double)b[i]);
        d->n++;
        d->largest = isnan(apart) || apart > d->largest ? apart : d->largest;
    }
}

static fv_err read_rows(const fv_folder *folder, fv_checkpoint_set set, int param, const int64_t rows[2],
                        float *out)
{
    int64_t cols = folder->params.items[param].cols;
    if (folder->checkpoint)
        return fv_checkpoint_read_param(folder->checkpoint, set, param, rows[0] * cols, rows[1] * cols, out);
    return fv_folder_read_rows(folder, param, rows[0], rows[1], out);
}

static fv_err compare_param(comparison *with, fv_checkpoint_set set, int param)
{
    const fv_param *of = &with->folders[0].params.items[param];
    int64_t n_block = of->cols < BLOCK ? BLOCK / of->cols : 1;
    difference d = {0};
    for (int64_t first = 0; first < of->rows; first += n_block) {
        int64_t rows[2] = {first, of->rows - first < n_block ? of->rows - first : n_block};
        for (int i = 0; i < 2; i++)
            FV_TRY(read_rows(&with->folders[i], set, param, rows, with->blocks[i]));
        compare(with->blocks[0], with->blocks[1], rows[1] * of->cols, &d);
    }
    if (d.n == 0)
        return FV_OK;
    with->n_tensors++;
    printf("%s/%s: %lld of %lld numbers differ, by at most %g\n", fv_checkpoint_set_name(set), of->name,
           (long long)d.n, (long long)(of->rows * of->cols), d.largest);
    return FV_OK;
}

static fv_err check_shapes(const comparison *with)
{
    const fv_param_list *a = &with->folders[0].params, *b = &with->folders[1].params;
    FV_CHECK(a->n == b->n, FV_ERR_ARGUMENT, "%s has %d tensors, %s has %d", with->folders[0].path, a->n,
             with->folders[1].path, b->n);
    for (int i = 0; i < a->n; i++)
        FV_CHECK(strcmp(a->items[i].name, b->items[i].name) == 0 && a->items[i].rows == b->items[i].rows &&
                     a->items[i].cols == b->items[i].cols,
                 FV_ERR_ARGUMENT, "tensor %s has another shape in %s", a->items[i].name,
                 with->folders[1].path);
    return FV_OK;
}

static fv_err allocate(comparison *with)
{
    int64_t n = BLOCK;
    for (int i = 0; i < with->folders[0].params.n; i++)
        n = with->folders[0].params.items[i].cols > n ? with->folders[0].params.items[i].cols : n;
    for (int i = 0; i < 2; i++) {
        with->blocks[i] = malloc((size_t)n * sizeof *with->blocks[i]);
        FV_CHECK(with->blocks[i], FV_ERR_MEMORY, "no memory for %lld numbers", (long long)n);
    }
    return FV_OK;
}

static fv_err compare_all(comparison *with, char **paths)
{
    for (int i = 0; i < 2; i++)
        FV_TRY(fv_folder_open(paths[i], &with->folders[i]));
    FV_TRY(check_shapes(with));
    FV_TRY(allocate(with));
    int has_moments = with->folders[0].checkpoint && with->folders[1].checkpoint;
    for (fv_checkpoint_set s = 0; s < (has_moments ? FV_CHECKPOINT_N_SETS : 1); s++)
        for (int i = 0; i < with->folders[0].params.n; i++)
            FV_TRY(compare_param(with, s, i));
    FV_CHECK(with->n_tensors == 0, FV_ERR_ARGUMENT, "%d tensors differ", with->n_tensors);
    printf("the same\n");
    return FV_OK;
}

fv_err fv_ckpt_diff(char **paths)
{
    comparison with = {0};
    fv_err err = compare_all(&with, paths);
    for (int i = 0; i < 2; i++) {
        free(with.blocks[i]);
        fv_folder_close(&with.folders[i]);
    }
    return err;
}
