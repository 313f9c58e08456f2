#include "fovea/reward/judge/verdict_log.h"

#include "fovea/base/file.h"
#include "fovea/base/log.h"
#include "reward/judge/verdict_log_internal.h"
#include "base/hash.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Of the hashes and lengths of the parts, so that no bytes can move from one part to the next. */
fv_verdict_key fv_verdict_key_of(fv_slice identity, const fv_case *asked)
{
    const fv_slice parts[] = {identity, asked->question, asked->answer, asked->truth};
    enum { N = sizeof parts / sizeof *parts };
    uint64_t words[3 * N];
    for (int i = 0; i < N; i++) {
        XXH128_hash_t part = XXH3_128bits(parts[i].size ? parts[i].data : "", parts[i].size);
        words[3 * i] = part.low64;
        words[3 * i + 1] = part.high64;
        words[3 * i + 2] = parts[i].size;
    }
    XXH128_hash_t all = XXH3_128bits(words, sizeof words);
    return (fv_verdict_key){all.low64, all.high64};
}

/* The table: open addressing, at most half full. */

static int64_t slot_of(const fv_verdict_log *log, fv_verdict_key key)
{
    int64_t at = (int64_t)(key.low & (uint64_t)(log->n_slots - 1));
    while (log->slots[at] >= 0) {
        const fv_verdict_key *there = &log->items[log->slots[at]].key;
        if (there->low == key.low && there->high == key.high)
            break;
        at = (at + 1) & (log->n_slots - 1);
    }
    return at;
}

static void index_all(fv_verdict_log *log)
{
    for (int64_t i = 0; i < log->n_slots; i++)
        log->slots[i] = -1;
    for (int64_t i = 0; i < log->n; i++)
        log->slots[slot_of(log, log->items[i].key)] = i;
}

static fv_err grow(fv_verdict_log *log)
{
    int64_t capacity = log->capacity ? 2 * log->capacity : 1024;
    fv_logged *items = realloc(log->items, (size_t)capacity * sizeof *items);
    FV_CHECK(items, FV_ERR_MEMORY, "cannot allocate a log of %lld verdicts", (long long)capacity);
    log->items = items;
    int64_t *slots = realloc(log->slots, (size_t)(2 * capacity) * sizeof *slots);
    FV_CHECK(slots, FV_ERR_MEMORY, "cannot allocate a log of %lld verdicts", (long long)capacity);
    log->slots = slots;
    log->capacity = capacity;
    log->n_slots = 2 * capacity;
    index_all(log);
    return FV_OK;
}

static void forget_older_half(fv_verdict_log *log)
{
    int64_t first = (log->n + 1) / 2;
    log->n -= first;
    memmove(log->items, log->items + first, (size_t)log->n * sizeof *log->items);
    index_all(log);
}

fv_err fv_verdict_log_put(fv_verdict_log *log, const fv_logged *verdict)
{
    if (log->n == log->max)
        forget_older_half(log);
    if (log->n == log->capacity)
        FV_TRY(grow(log));
    int64_t at = slot_of(log, verdict->key);
    if (log->slots[at] < 0)
        log->slots[at] = log->n++;
    log->items[log->slots[at]] = *verdict;
    return FV_OK;
}

int fv_verdict_log_find(const fv_verdict_log *log, fv_verdict_key key, double *score)
{
    int64_t at = log->n_slots ? log->slots[slot_of(log, key)] : -1;
    if (at >= 0)
        *score = log->items[at].score;
    return at >= 0;
}

static fv_err add_fresh(fv_verdict_log *log, const fv_logged *verdict)
{
    if (log->n_fresh == log->fresh_capacity) {
        int64_t capacity = log->fresh_capacity ? 2 * log->fresh_capacity : 256;
        fv_logged *fresh = realloc(log->fresh, (size_t)capacity * sizeof *fresh);
        FV_CHECK(fresh, FV_ERR_MEMORY, "cannot allocate a list of %lld verdicts", (long long)capacity);
        log->fresh = fresh;
        log->fresh_capacity = capacity;
    }
    log->fresh[log->n_fresh++] = *verdict;
    return FV_OK;
}

fv_err fv_verdict_log_add(fv_verdict_log *log, fv_verdict_key key, double score)
{
    const fv_logged verdict = {key, score};
    FV_TRY(fv_verdict_log_append(log, &verdict));
    FV_TRY(add_fresh(log, &verdict));
    return fv_verdict_log_put(log, &verdict);
}

/* Sharing. */

/* lists (size, most): the first counts[r] of row r are rank r's. */
static fv_err learn(fv_verdict_log *log, const fv_comm *comm, const fv_logged *lists, const int64_t *counts,
                    int64_t most)
{
    for (int r = 0; r < comm->size; r++) {
        log->n_unfolded += counts[r];
        for (int64_t i = 0; r != comm->rank && i < counts[r]; i++)
            FV_TRY(fv_verdict_log_put(log, &lists[r * most + i]));
    }
    log->n_fresh = 0;
    return FV_OK;
}

/* Pads every rank's list to the longest. */
static fv_err exchange(fv_verdict_log *log, fv_comm *comm, const int64_t *counts, int64_t most)
{
    size_t bytes = (size_t)most * sizeof *log->fresh;
    fv_logged *mine = calloc((size_t)most, sizeof *mine), *lists = malloc(bytes * (size_t)comm->size);
    fv_err err =
        mine && lists ? FV_OK : FV_FAIL(FV_ERR_MEMORY, "cannot allocate %zu bytes of verdicts", bytes);
    err = fv_comm_agree(comm, err);
    if (err == FV_OK) {
        if (log->n_fresh)
            memcpy(mine, log->fresh, (size_t)log->n_fresh * sizeof *mine);
        err = fv_comm_all_gather(comm, mine, bytes, lists);
    }
    if (err == FV_OK)
        err = fv_comm_agree(comm, learn(log, comm, lists, counts, most));
    free(mine);
    free(lists);
    return err;
}

/* A disk that is full is no failure: the journals stay, and the next time is another try. */
static fv_err soften(fv_verdict_log *log, fv_err err)
{
    if (err != FV_ERR_IO)
        return err;
    if (!log->is_failing)
        FV_LOG_ROOT(WARN, "%s; verdicts stay in their journals", fv_error_text());
    log->is_failing = 1;
    return FV_OK;
}

static fv_err fold(fv_verdict_log *log, fv_comm *comm)
{
    if (log->n_unfolded == 0 || log->n_unfolded < log->n / 8)
        return FV_OK;
    fv_err err = fv_comm_agree(comm, comm->rank == 0 ? fv_verdict_log_write(log) : FV_OK);
    if (err != FV_OK)
        return soften(log, err);
    log->n_unfolded = 0;
    return soften(log, fv_comm_agree(comm, fv_verdict_log_restart(log)));
}

fv_err fv_verdict_log_share(fv_verdict_log *log, fv_comm *comm)
{
    int64_t most = 0, *counts = malloc((size_t)comm->size * sizeof *counts);
    fv_err err = counts ? FV_OK : FV_FAIL(FV_ERR_MEMORY, "cannot allocate %d counts", comm->size);
    err = fv_comm_agree(comm, err);
    if (err == FV_OK)
        err = fv_comm_all_gather(comm, &log->n_fresh, sizeof log->n_fresh, counts);
    for (int r = 0; err == FV_OK && r < comm->size; r++)
        most = counts[r] > most ? counts[r] : most;
    if (err == FV_OK && most > 0)
        err = exchange(log, comm, counts, most);
    free(counts);
    if (err == FV_OK)
        err = fv_comm_agree(comm, fv_verdict_log_flush(log));
    return err == FV_OK ? fold(log, comm) : err;
}

/* Life. */

fv_err fv_verdict_log_open(const char *folder, int rank, int64_t max_verdicts, fv_verdict_log **out)
{
    *out = NULL;
    FV_TRY(fv_file_make_folders(folder));
    fv_verdict_log *log = calloc(1, sizeof *log);
    FV_CHECK(log, FV_ERR_MEMORY, "cannot allocate a log of verdicts");
    log->rank = rank;
    log->journal = -1;
    log->max = max_verdicts;
    fv_err err =
        strlen(folder) < sizeof log->folder ? FV_OK : FV_FAIL(FV_ERR_ARGUMENT, "path too long: %s", folder);
    if (err == FV_OK) {
        strcpy(log->folder, folder);
        err = fv_verdict_log_read(log);
    }
    if (err != FV_OK)
        fv_verdict_log_close(log);
    else
        *out = log;
    return err;
}

void fv_verdict_log_close(fv_verdict_log *log)
{
    if (!log)
        return;
    (void)fv_verdict_log_flush(log);
    if (log->journal >= 0)
        close(log->journal);
    fv_buffer_fini(&log->waiting);
    free(log->items);
    free(log->slots);
    free(log->fresh);
    free(log);
}
