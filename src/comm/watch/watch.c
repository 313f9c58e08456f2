#include "fovea/comm/watch/watch.h"

#include "comm/watch/watch_internal.h"

#include "fovea/base/clock.h"
#include "fovea/base/process/launcher.h"
#include "fovea/base/log.h"
#include "fovea/base/phase.h"
#include "fovea/base/process/stop.h"
#include "fovea/base/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A launcher that sees a rank end ends the others itself, and knows better with which status. */
enum { GRACE_S = 5, MAX_INTERVAL_S = 1, FIRST_ANSWER_S = 5, LAST_S = 15 };

static double interval_of(const fv_watch *watch)
{
    double quarter = watch->settings.silence_s / 4;
    return quarter < MAX_INTERVAL_S ? quarter : MAX_INTERVAL_S;
}

/* Faults. */

static void check_peer(fv_watch *watch, const fv_peer *peer, double now)
{
    char sentence[512];
    const fv_beat *last = &peer->last;
    int is_silent = peer->socket >= 0 && !peer->has_stopped && now - peer->heard > watch->settings.silence_s;
    if (!peer->has_ended && !is_silent)
        return;
    int n = snprintf(sentence, sizeof sentence, "rank %d (%s, process %d) ", last->rank, last->host,
                     last->process);
    n += peer->has_ended
             ? snprintf(sentence + n, sizeof sentence - (size_t)n, "has ended without a word")
             : snprintf(sentence + n, sizeof sentence - (size_t)n,
                        "has been silent for %.0f s: it is stopped, or its node or network is away",
                        now - peer->heard);
    snprintf(sentence + n, sizeof sentence - (size_t)n, "; its phase was %s%s%s", last->phase,
             last->inside[0] ? ", in " : "", last->inside);
    fv_watch_end(watch, sentence, peer->has_ended ? GRACE_S : 0);
}

/* Rank 0 hears of everybody's moves; the others know of their own only, and leave this to it. */
static void check_moves(fv_watch *watch, double now)
{
    uint64_t n_moves = fv_phase_get().n_moves;
    char sentence[128];
    for (int rank = 1; rank < watch->world->size; rank++)
        n_moves += watch->peers[rank].last.n_moves;
    if (n_moves != watch->n_moves)
        watch->moved = now;
    watch->n_moves = n_moves;
    if (now - watch->moved <= watch->settings.silence_s)
        return;
    snprintf(sentence, sizeof sentence, "no rank has moved for %.0f s", now - watch->moved);
    fv_watch_end(watch, sentence, 0);
}

static void check_faults(fv_watch *watch, double now)
{
    int is_root = watch->world->rank == 0;
    for (int rank = 0; rank < watch->world->size; rank++)
        if (rank != watch->world->rank && (is_root || rank == 0))
            check_peer(watch, &watch->peers[rank], now);
    if (is_root)
        check_moves(watch, now);
}

/* Whoever was stopped for a while, with its node or by the scheduler, has not listened meanwhile. */
static void forgive(fv_watch *watch, double now)
{
    for (int rank = 0; rank < watch->world->size; rank++)
        watch->peers[rank].heard = now;
    watch->moved = now;
}

/* Time. */

/* What lies between two places to stop has to be waited for. Before the first one there is nothing to save.
 */
static double longest_way(fv_watch *watch, double now)
{
    uint64_t n_places = fv_stop_places();
    if (n_places != watch->n_places)
        watch->place_from = now;
    watch->n_places = n_places;
    if (n_places > 0)
        watch->longest_way_s = fmax(watch->longest_way_s, now - watch->place_from);
    return watch->longest_way_s;
}

/* Slurm ends a run that has not stopped by then, and its job with it: nobody would start it again. But what
 * gets nowhere in its time would not do better the next time. */
static void check_last_time(fv_watch *watch, double left, double way_s)
{
    char sentence[256];
    int is_in_vain = watch->save_s == 0;
    if (left > fmin(LAST_S, watch->settings.margin_s / 2))
        return;
    snprintf(sentence, sizeof sentence,
             "%.0f s of the allocation are left, and what has been under way for %.0f s is not done: it is "
             "lost%s%s",
             left, way_s,
             is_in_vain
                 ? ", and nothing was saved; the time must be longer than a step and a save (sbatch --time)"
                 : "",
             is_in_vain && watch->settings.are_keys ? ", and watch.margin_s longer than a save" : "");
    if (is_in_vain)
        watch->status = EXIT_FAILURE;
    fv_watch_end(watch, sentence, 0);
}

/* A save waits for the one before. */
static void check_time(fv_watch *watch, double now)
{
    double way_s = longest_way(watch, now), save_s = 2 * watch->save_s;
    double left = fv_allocation_left(&watch->allocation);
    check_last_time(watch, left, now - watch->place_from);
    if (watch->has_run_out || left > watch->settings.margin_s + way_s + save_s)
        return;
    FV_LOG_ROOT(INFO,
                "%.0f s of the allocation are left: stopping (%.1f s for what is under way, %.1f s for a "
                "save, %.0f s %s)",
                left, way_s, save_s, watch->settings.margin_s,
                watch->settings.are_keys ? "of watch.margin_s" : "kept free");
    watch->has_run_out = 1;
    fv_stop_request();
}

/* A run that cannot do anything in its time would be queued again and again. */
static fv_err check_first_time(fv_watch *watch)
{
    double end = fv_clock_now() + FIRST_ANSWER_S, left = fv_allocation_left(&watch->allocation);
    while (isinf(left) && watch->allocation.child && fv_clock_now() < end) {
        usleep(20000);
        left = fv_allocation_left(&watch->allocation);
    }
    FV_CHECK(left > watch->settings.margin_s, FV_ERR_ARGUMENT,
             "%.0f s of the allocation are left, and %s keeps %.0f s of them free: ask for more time (sbatch "
             "--time)",
             left, watch->settings.are_keys ? "watch.margin_s" : "the watch", watch->settings.margin_s);
    if (!isinf(left))
        FV_LOG_ROOT(INFO, "%.0f s of the allocation are left", left);
    return FV_OK;
}

/* The thread. */

static int rings(const fv_watch *watch)
{
    char byte;
    return read(watch->bell[0], &byte, 1) == 1;
}

static void *keep_watch(void *context)
{
    fv_watch *watch = context;
    double interval = interval_of(watch), then = fv_clock_now();
    while (!rings(watch)) {
        fv_watch_hear(watch, fmax(0, then + interval - fv_clock_now()));
        double now = fv_clock_now();
        if (watch->is_ending)
            fv_watch_end(watch, NULL, 0);
        if (now < then + interval)
            continue; /* a beat that came is no reason to send one */
        if (now - then > interval + watch->settings.silence_s / 2)
            forgive(watch, now);
        then = now;
        fv_beat_send(watch, FV_BEAT);
        check_faults(watch, now);
        if (watch->world->rank == 0)
            check_time(watch, now);
    }
    fv_beat_send(watch, FV_BEAT_BYE);
    return NULL;
}

static fv_err start_thread(fv_watch *watch)
{
    FV_CHECK(pipe2(watch->bell, O_CLOEXEC | O_NONBLOCK) == 0, FV_ERR_IO, "cannot make a pipe: %s",
             strerror(errno));
    FV_TRY(fv_thread_start(&watch->thread, keep_watch, watch));
    watch->has_thread = 1;
    return FV_OK;
}

static fv_err make(fv_comm *world, const fv_watch_settings *settings, int status, fv_watch **out)
{
    fv_watch *watch = calloc(1, sizeof *watch);
    *out = watch;
    FV_CHECK(watch, FV_ERR_MEMORY, "cannot allocate a watch");
    *watch = (fv_watch){.world = world,
                        .settings = *settings,
                        .status = status,
                        .main_thread = pthread_self(),
                        .bell = {-1, -1},
                        .moved = fv_clock_now(),
                        .place_from = fv_clock_now()};
    fv_allocation_init(&watch->allocation);
    watch->peers = calloc((size_t)world->size, sizeof *watch->peers);
    FV_CHECK(watch->peers, FV_ERR_MEMORY, "cannot allocate a watch of %d ranks", world->size);
    for (int rank = 0; rank < world->size; rank++)
        watch->peers[rank].socket = -1;
    return FV_OK;
}

static fv_err start(fv_comm *world, fv_watch *watch)
{
    FV_TRY(fv_comm_agree(world, world->rank == 0 ? check_first_time(watch) : FV_OK));
    if (watch->settings.silence_s > 0)
        FV_TRY(fv_watch_connect(watch));
    else
        watch->settings.silence_s = INFINITY;
    return fv_comm_agree(world, start_thread(watch));
}

fv_err fv_watch_start(fv_comm *world, const fv_watch_settings *settings, int status, fv_watch **out)
{
    fv_err err = fv_comm_agree(world, make(world, settings, status, out));
    if (err == FV_OK)
        err = start(world, *out);
    if (err == FV_OK && settings->silence_s > 0)
        fv_launcher_find(); /* whoever holds the launcher must hear of ranks that are lost */
    if (err == FV_OK)
        return FV_OK;
    fv_watch_stop(*out);
    *out = NULL;
    return err;
}

void fv_watch_stop(fv_watch *watch)
{
    if (!watch)
        return;
    if (watch->has_thread) {
        (void)!write(watch->bell[1], "", 1);
        pthread_join(watch->thread, NULL);
    }
    for (int i = 0; i < 2; i++)
        if (watch->bell[i] >= 0)
            close(watch->bell[i]);
    if (watch->peers)
        fv_watch_disconnect(watch);
    fv_allocation_fini(&watch->allocation);
    free(watch->peers);
    free(watch);
}

int fv_watch_has_run_out(const fv_watch *watch)
{
    return watch && watch->has_run_out;
}

void fv_watch_saved(fv_watch *watch, double seconds)
{
    if (watch && seconds > watch->save_s)
        watch->save_s = seconds;
}
