/* A save, in order:
 *
 * 1. Rank 0 makes a folder within that of its lease's epoch. Every rank copies its share of weights and
 * moments into pinned memory. Training goes on from here. What waits on the host already is written from
 * there, and the next step of the optimizer waits until that is done.
 * 2. A thread of each rank writes the copy as a shard, syncs it to the disk, and leaves a .done file.
 * 3. Rank 0's thread waits for the .done files of all and writes index.h5 and, last, the checksums.
 * 4. One rename gives the folder its name: the commit. Then "latest" is written and old checkpoints are
 * pruned.
 *
 * A kill before 4 leaves a folder without a name, which goes with its epoch at the next start; a kill after 4
 * leaves a whole checkpoint. Threads need no message between ranks, so they disturb none of training's; ranks
 * tell each other how it went when the next save begins. */
#include "fovea/run/saver.h"

#include "fovea/model/checkpoint/checkpoint.h"
#include "fovea/base/clock.h"
#include "fovea/base/file.h"
#include "fovea/base/log.h"
#include "fovea/base/phase.h"
#include "fovea/base/point.h"
#include "fovea/base/thread.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SENTENCE_BYTES = 1024, PATIENCE_S = 120 };

/* What rank 0 knows of the shards of the others. */
typedef enum shards { SHARDS_UNKNOWN, SHARDS_WRITTEN, SHARDS_FAILED } shards;

struct fv_saver {
    fv_saver_args args;
    void *copy[FV_CHECKPOINT_N_SETS]; /* pinned: this rank's share of each set; owned, or the optimizer's */
    fv_shard shard;
    char folder[PATH_MAX], source[PATH_MAX];
    fv_progress progress; /* of the last save */
    int n_failed, n_well; /* saves: in a row; in all */
    double begun_at;
    pthread_t thread;
    int is_running; /* there is a thread to join */
    /* Shared with the thread. */
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    int has_shard; /* this rank's shard is written, or has failed: shard_err */
    fv_err shard_err, err;
    shards others;
    char sentence[SENTENCE_BYTES]; /* of err */
};

/* The thread: this rank's shard, and on rank 0 the checkpoint. */

static shards others_of(fv_saver *s)
{
    pthread_mutex_lock(&s->mutex);
    shards others = s->others;
    pthread_mutex_unlock(&s->mutex);
    return others;
}

/* A shard that its rank has written may still take a while to be seen here, on a file system that is shared.
 */
static fv_err await_shard(fv_saver *s, int rank)
{
    char name[64], path[PATH_MAX];
    double deadline = 0;
    snprintf(name, sizeof name, "shard_%05d.done", rank);
    FV_TRY(fv_file_path(path, sizeof path, s->folder, name));
    while (!fv_file_exists(path)) {
        fv_phase_move();
        shards others = others_of(s);
        double now = fv_clock_now();
        if (others == SHARDS_WRITTEN && deadline == 0)
            deadline = now + PATIENCE_S;
        FV_CHECK(others != SHARDS_FAILED, FV_ERR_IO, "the shard of another rank was not written");
        FV_CHECK(deadline == 0 || now < deadline, FV_ERR_IO,
                 "rank %d has written its shard, but %s is not seen here: checkpoints need a folder that all "
                 "ranks share",
                 rank, path);
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
    return FV_OK;
}

static fv_err write_state(void *context, fv_hdf5 *index)
{
    const fv_saver *s = context;
    return fv_progress_write(&s->progress, index);
}

static fv_err name_latest(const fv_saver *s, const char *name)
{
    char made[PATH_MAX], path[PATH_MAX];
    fv_buffer text = {0};
    FV_TRY(fv_file_path(made, sizeof made, s->args.lease->own, "latest"));
    FV_TRY(fv_file_path(path, sizeof path, s->args.lease->checkpoints, "latest"));
    fv_err err = fv_buffer_print(&text, "%s\n", name);
    if (err == FV_OK)
        err = fv_file_write(made, text.data, text.size);
    fv_buffer_fini(&text);
    FV_TRY(err);
    FV_CHECK(rename(made, path) == 0, FV_ERR_IO, "cannot rename %s to %s: %s", made, path, strerror(errno));
    return fv_file_sync_folder_of(path);
}

/* What had the name before was of the same step: the weights are the same. */
static fv_err publish(fv_saver *s)
{
    char name[FV_CHECKPOINT_NAME_BYTES], path[PATH_MAX];
    fv_checkpoint_name(s->progress.step, name);
    FV_TRY(fv_file_path(path, sizeof path, s->args.lease->checkpoints, name));
    FV_TRY(fv_file_replace_folder(s->folder, path));
    FV_TRY(fv_file_remove_tree(s->folder));
    snprintf(s->source, sizeof s->source, "%s", path);
    return name_latest(s, name);
}

static fv_err commit(fv_saver *s)
{
    const fv_saver_args *args = &s->args;
    const fv_checkpoint_args made = {.shape = fv_model_shape_of(args->optimizer->model),
                                     .n_shards = args->mesh->world->size,
                                     .step = s->progress.step,
                                     .epoch = args->lease->epoch,
                                     .source = s->source,
                                     .state = write_state,
                                     .context = s};
    for (int rank = 1; rank < args->mesh->world->size; rank++)
        FV_TRY(await_shard(s, rank));
    FV_TRY(fv_checkpoint_finish(s->folder, &made));
    FV_TRY(fv_point("commit"));
    FV_TRY(publish(s));
    FV_TRY(fv_point("saved"));
    fv_watch_saved(args->watch, fv_clock_now() - s->begun_at);
    if (fv_retention_prune(&args->retention, args->lease, s->progress.step) != FV_OK)
        FV_LOG_RANK(WARN, "old checkpoints stay: %s", fv_error_text());
    return FV_OK;
}

static fv_err write_shard(fv_saver *s)
{
    return fv_shard_write(s->folder, s->args.mesh->world->rank, &s->shard, (const void *const *)s->copy);
}

/* Errors are recorded by thread: the sentence is handed over. */
static void note(fv_saver *s, fv_err *which, fv_err err)
{
    pthread_mutex_lock(&s->mutex);
    *which = err;
    if (err != FV_OK)
        snprintf(s->sentence, sizeof s->sentence, "%s", fv_error_text());
    s->has_shard = 1;
    pthread_cond_signal(&s->changed);
    pthread_mutex_unlock(&s->mutex);
}

static void *save(void *context)
{
    fv_saver *s = context;
    fv_err err = fv_point("shard");
    if (err == FV_OK)
        err = write_shard(s);
    note(s, &s->shard_err, err);
    if (err == FV_OK && s->args.mesh->world->rank == 0) {
        note(s, &s->err, commit(s));
    }
    return NULL;
}

/* Waiting. */

static fv_err own_outcome(fv_saver *s)
{
    pthread_mutex_lock(&s->mutex);
    while (!s->has_shard)
        pthread_cond_wait(&s->changed, &s->mutex);
    fv_err err = s->shard_err;
    pthread_mutex_unlock(&s->mutex);
    return err == FV_OK ? FV_OK : FV_FAIL(err, "%s", s->sentence);
}

static void join(fv_saver *s, shards others)
{
    pthread_mutex_lock(&s->mutex);
    s->others = others;
    pthread_mutex_unlock(&s->mutex);
    pthread_join(s->thread, NULL);
    s->is_running = 0;
}

/* The same on every rank. */
static fv_err outcome(fv_saver *s)
{
    fv_comm *world = s->args.mesh->world;
    fv_err err = fv_comm_agree(world, own_outcome(s));
    join(s, err == FV_OK ? SHARDS_WRITTEN : SHARDS_FAILED);
    FV_TRY(err);
    return fv_comm_agree(world, s->err == FV_OK ? FV_OK : FV_FAIL(s->err, "%s", s->sentence));
}

/* After a save that failed: nothing of it stays, and the next takes no link to what may be damaged. Fails if
 * the folder is another's now. */
static fv_err give_up(fv_saver *s)
{
    fv_comm *world = s->args.mesh->world;
    FV_LOG_ROOT(
        WARN,
        "the checkpoint of step %llu was NOT saved: %s; those before it stay, the next save tries again",
        (unsigned long long)s->progress.step, fv_error_text());
    snprintf(s->source, sizeof s->source, "%s", s->args.model);
    s->n_failed++;
    if (world->rank == 0)
        fv_file_remove_tree(s->folder);
    return fv_comm_agree(world, world->rank == 0 ? fv_lease_check(s->args.lease) : FV_OK);
}

fv_err fv_saver_wait(fv_saver *s, int *is_well)
{
    *is_well = 1;
    if (!s->is_running)
        return FV_OK;
    *is_well = outcome(s) == FV_OK;
    if (!*is_well)
        return give_up(s);
    s->n_failed = 0;
    s->n_well++;
    return FV_OK;
}

fv_err fv_saver_poll(fv_saver *s, int *has_failed)
{
    int is_well = 1;
    pthread_mutex_lock(&s->mutex);
    double failed = s->is_running && (s->shard_err != FV_OK || s->err != FV_OK);
    pthread_mutex_unlock(&s->mutex);
    FV_TRY(fv_comm_all_reduce_max(s->args.mesh->world, &failed));
    if (failed > 0)
        FV_TRY(fv_saver_wait(s, &is_well));
    *has_failed = !is_well;
    return FV_OK;
}

/* Beginning. */

static const fv_state_part parts[FV_CHECKPOINT_N_SETS] = {FV_STATE_MASTER, FV_STATE_M, FV_STATE_V};

static fv_err copy_share(fv_saver *s)
{
    const fv_optimizer *o = s->args.optimizer;
    for (int i = 0; i < FV_CHECKPOINT_N_SETS; i++)
        if (!o->host[parts[i]])
            FV_TRY(fv_optimizer_copy(o, parts[i], s->copy[i]));
    return fv_backend_synchronize(fv_model_backend(o->model));
}

/* The optimizer is about to change what the thread may be reading. How that went is told later. */
static fv_err let_read(void *context)
{
    fv_saver *s = context;
    if (s->is_running)
        (void)own_outcome(s);
    return FV_OK;
}

static fv_err make_folder(fv_saver *s)
{
    char name[FV_CHECKPOINT_NAME_BYTES];
    fv_checkpoint_name(s->progress.step, name);
    FV_TRY(fv_file_path(s->folder, sizeof s->folder, s->args.lease->own, name));
    FV_TRY(fv_file_remove_tree(s->folder));
    return fv_file_make_folder(s->folder);
}

static fv_err start(fv_saver *s)
{
    s->has_shard = 0;
    s->shard_err = s->err = FV_OK;
    s->others = SHARDS_UNKNOWN;
    FV_TRY(fv_thread_start(&s->thread, save, s));
    s->is_running = 1;
    return FV_OK;
}

static fv_err begin(fv_saver *s)
{
    fv_comm *world = s->args.mesh->world;
    FV_TRY(fv_comm_agree(world, world->rank == 0 ? make_folder(s) : FV_OK));
    FV_TRY(fv_comm_broadcast(world, s->folder, sizeof s->folder, 0));
    FV_TRY(copy_share(s));
    return fv_comm_agree(world, start(s));
}

fv_err fv_saver_again(fv_saver *s, int *is_begun)
{
    s->begun_at = fv_clock_now();
    *is_begun = begin(s) == FV_OK;
    if (*is_begun)
        return FV_OK;
    fv_err err = give_up(s);
    if (s->is_running)
        join(s, SHARDS_FAILED);
    return err;
}

fv_err fv_saver_begin(fv_saver *s, fv_progress *progress, int *is_begun)
{
    int is_well;
    *is_begun = 0;
    fv_err err = fv_saver_wait(s, &is_well);
    if (err != FV_OK) {
        fv_progress_fini(progress);
        return err;
    }
    fv_progress_fini(&s->progress);
    s->progress = *progress;
    *progress = (fv_progress){0};
    return fv_saver_again(s, is_begun);
}

int fv_saver_failures(const fv_saver *s)
{
    return s->n_failed;
}

int fv_saver_successes(const fv_saver *s)
{
    return s->n_well;
}

/* Life. */

static fv_err init(fv_saver *s, const fv_saver_args *args)
{
    const fv_optimizer *o = args->optimizer;
    s->args = *args;
    s->shard = (fv_shard){.tensor_rank = args->mesh->tensor->rank,
                          .tensor_ranks = args->mesh->tensor->size,
                          .first = o->first,
                          .n = o->held,
                          .moments = fv_optimizer_dtype(o, FV_STATE_M)};
    FV_CHECK(snprintf(s->source, sizeof s->source, "%s", args->model) < (int)sizeof s->source,
             FV_ERR_ARGUMENT, "path too long: %s", args->model);
    for (int i = 0; i < FV_CHECKPOINT_N_SETS; i++) {
        size_t bytes = fv_dtype_bytes(fv_shard_dtype(&s->shard, (fv_checkpoint_set)i));
        s->copy[i] = o->host[parts[i]];
        if (!s->copy[i])
            FV_TRY(fv_host_alloc(fv_model_backend(o->model), (size_t)o->n * bytes, &s->copy[i]));
    }
    args->optimizer->before_change = let_read;
    args->optimizer->before_context = s;
    return FV_OK;
}

fv_err fv_saver_create(const fv_saver_args *args, fv_saver **out)
{
    fv_saver *s = calloc(1, sizeof *s);
    fv_err err = FV_FAIL(FV_ERR_MEMORY, "no memory for a saver");
    *out = NULL;
    if (s) {
        pthread_mutex_init(&s->mutex, NULL);
        pthread_cond_init(&s->changed, NULL);
        err = init(s, args);
    }
    err = fv_comm_agree(args->mesh->world, err);
    if (err == FV_OK)
        *out = s;
    else
        fv_saver_destroy(s);
    return err;
}

void fv_saver_destroy(fv_saver *s)
{
    if (!s)
        return;
    if (s->is_running)
        join(s, SHARDS_FAILED);
    fv_progress_fini(&s->progress);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->mutex);
    for (int i = 0; i < FV_CHECKPOINT_N_SETS; i++)
        if (s->copy[i] != s->args.optimizer->host[parts[i]])
            fv_host_free(fv_model_backend(s->args.optimizer->model), s->copy[i]);
    s->args.optimizer->before_change = NULL;
    free(s);
}
