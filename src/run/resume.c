#include "fovea/run/resume.h"

#include "fovea/model/checkpoint/checkpoint.h"
#include "fovea/base/file.h"
#include "fovea/base/log.h"
#include "fovea/ops/staging.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 1 << 22 /* numbers on their way through host memory */ };

/* Finding. */

/* Every rank compares its part of the files. */
static fv_err verify(const char *path, fv_comm *world)
{
    return fv_comm_agree(world, fv_checkpoint_verify(path, world->rank, world->size));
}

static fv_err set_aside(const char *checkpoints, const char *name)
{
    char from[PATH_MAX], to[PATH_MAX], aside[FV_CHECKPOINT_NAME_BYTES + 16];
    snprintf(aside, sizeof aside, "damaged_%s", name);
    FV_TRY(fv_file_path(from, sizeof from, checkpoints, name));
    FV_TRY(fv_file_path(to, sizeof to, checkpoints, aside));
    FV_TRY(fv_file_remove_tree(to));
    FV_CHECK(rename(from, to) == 0, FV_ERR_IO, "cannot rename %s to %s: %s", from, to, strerror(errno));
    return fv_file_sync(checkpoints);
}

/* What looks damaged to a program that was taken over may be the work of the one that has the run now. */
static fv_err set_newer_aside(const fv_lease *lease, const uint64_t *steps, int n, int chosen)
{
    char name[FV_CHECKPOINT_NAME_BYTES];
    if (chosen + 1 < n)
        FV_TRY(fv_lease_check(lease));
    for (int i = chosen + 1; i < n; i++) {
        fv_checkpoint_name(steps[i], name);
        FV_TRY(set_aside(lease->checkpoints, name));
    }
    return FV_OK;
}

/* The list of rank 0, on every rank. */
static fv_err list(const char *checkpoints, fv_comm *world, uint64_t **steps, int *n)
{
    *n = 0;
    *steps = NULL;
    FV_TRY(fv_comm_agree(world, world->rank == 0 ? fv_checkpoint_list(checkpoints, steps, n) : FV_OK));
    FV_TRY(fv_comm_broadcast(world, n, sizeof *n, 0));
    if (world->rank > 0)
        *steps = malloc(((size_t)*n + 1) * sizeof **steps);
    FV_TRY(fv_comm_agree(
        world, *steps ? FV_OK : FV_FAIL(FV_ERR_MEMORY, "no memory for a list of %d checkpoints", *n)));
    return fv_comm_broadcast(world, *steps, (size_t)*n * sizeof **steps, 0);
}

static fv_err choose(const fv_lease *lease, fv_comm *world, const uint64_t *steps, int n, char path[PATH_MAX])
{
    char name[FV_CHECKPOINT_NAME_BYTES];
    fv_err err = FV_OK;
    for (int i = n - 1; i >= 0; i--) {
        fv_checkpoint_name(steps[i], name);
        FV_TRY(fv_file_path(path, PATH_MAX, lease->checkpoints, name));
        err = verify(path, world);
        if (err == FV_OK)
            return fv_comm_agree(world, world->rank == 0 ? set_newer_aside(lease, steps, n, i) : FV_OK);
        FV_LOG_ROOT(WARN, "checkpoint %s cannot be used: %s", name, fv_error_text());
    }
    return fv_error_prefix(err, "none of the %d checkpoints in %s is whole; the oldest", n,
                           lease->checkpoints);
}

fv_err fv_resume_find(const fv_lease *lease, fv_comm *world, char path[PATH_MAX])
{
    uint64_t *steps;
    int n;
    path[0] = '\0';
    fv_err err = list(lease->checkpoints, world, &steps, &n);
    if (err == FV_OK && n > 0)
        err = choose(lease, world, steps, n, path);
    free(steps);
    return err;
}

/* Loading. */

typedef struct loader {
    const fv_resume_args *args;
    fv_checkpoint *from;
    float *block; /* owned, (BLOCK) */
} loader;

/* What is fp32 in the checkpoint is rounded to nearest if moments are bf16 now: in place, where halves lie
 * before the numbers that they come from. */
static fv_err write_moment(fv_optimizer *o, fv_state_part part, int64_t first, int64_t n, float *block)
{
    fv_dtype dtype = fv_optimizer_dtype(o, part);
    if (dtype != FV_F32)
        fv_dtype_encode(dtype, block, n, block);
    return fv_optimizer_write_moment(o, part, first, n, block);
}

/* This rank's share of a set, a block at a time. */
static fv_err read_set(const loader *l, fv_checkpoint_set set)
{
    fv_optimizer *o = l->args->optimizer;
    const fv_layout *layout = fv_model_layout(o->model);
    fv_state_part part = set == FV_CHECKPOINT_EXP_AVG ? FV_STATE_M : FV_STATE_V;
    for (int64_t at = 0, n; at < o->held; at += n) {
        n = o->held - at < BLOCK ? o->held - at : BLOCK;
        FV_TRY(fv_checkpoint_read(l->from, set, layout, o->first + at, n, l->block));
        if (set == FV_CHECKPOINT_WEIGHTS)
            FV_TRY(fv_optimizer_write_master(o, at, n, l->block));
        else
            FV_TRY(write_moment(o, part, at, n, l->block));
    }
    return FV_OK;
}

static fv_err check_shape(const loader *l)
{
    fv_buffer differences = {0};
    fv_err err = fv_model_shape_compare(fv_checkpoint_shape(l->from),
                                        fv_model_shape_of(l->args->optimizer->model), &differences);
    if (err == FV_OK && differences.size)
        err = FV_FAIL(FV_ERR_SHAPE, "this checkpoint is of another model: %s", differences.data);
    fv_buffer_fini(&differences);
    return err;
}

/* An imported checkpoint has none: the run begins with its weights. */
static fv_err read_progress(const loader *l, fv_progress *progress)
{
    const fv_hdf5 *state = fv_checkpoint_state(l->from);
    if (fv_checkpoint_facts_of(l->from).step == 0 && !fv_hdf5_has(state, "state/step"))
        return FV_OK;
    const fv_model_shape *shape = fv_model_shape_of(l->args->optimizer->model);
    FV_TRY(fv_progress_read(state, progress));
    FV_TRY(fv_batch_check(&progress->batch, shape->text.vocab, shape->vision.merge));
    FV_TRY(fv_batch_check(&progress->begun, shape->text.vocab, shape->vision.merge));
    FV_TRY(fv_progress_check(progress, l->args->now, l->args->accept, l->args->accepted, l->args->idle));
    return fv_progress_adopt(progress, l->args->now, l->args->accept);
}

static fv_err read_all(loader *l, fv_progress *progress)
{
    fv_optimizer *o = l->args->optimizer;
    l->block = aligned_alloc(FV_COPY_ALIGN, BLOCK * sizeof *l->block);
    FV_CHECK(l->block, FV_ERR_MEMORY, "no memory for %d numbers of a checkpoint", BLOCK);
    FV_TRY(fv_checkpoint_open(l->args->path, &l->from));
    FV_TRY(check_shape(l));
    FV_TRY(read_progress(l, progress));
    for (fv_checkpoint_set set = 0; set < FV_CHECKPOINT_N_SETS; set++)
        FV_TRY(read_set(l, set));
    o->step = (int)progress->optimizer_step;
    return FV_OK;
}

fv_err fv_resume_load(const fv_resume_args *args, fv_progress *progress)
{
    fv_comm *world = args->mesh->world;
    loader l = {.args = args};
    *progress = (fv_progress){0};
    if (!args->is_verified)
        FV_TRY(verify(args->path, world));
    fv_err err = read_all(&l, progress);
    if (err != FV_OK)
        fv_error_prefix(err, "%s", args->path);
    fv_checkpoint_close(l.from);
    free(l.block);
    err = fv_comm_agree(world, err);
    if (err == FV_OK)
        err = fv_comm_agree(world, fv_optimizer_publish(args->optimizer));
    if (err != FV_OK)
        fv_progress_fini(progress);
    return err;
}
