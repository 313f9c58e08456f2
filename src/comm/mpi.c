/* Process groups over MPI. Messages longer than PIECE bytes go in pieces: MPI counts are ints. */
#include "comm/mpi_internal.h"

#include "comm/watch/orphan.h"
#include "comm/pmix.h"
#include "comm/started.h"

#include <mpi.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE = 1 << 28 };

fv_err fv_mpi_check(int code, const char *call)
{
    if (code == MPI_SUCCESS)
        return FV_OK;
    char reason[MPI_MAX_ERROR_STRING];
    int length = 0;
    if (MPI_Error_string(code, reason, &length) != MPI_SUCCESS)
        length = 0;
    return FV_FAIL(FV_ERR_COMM, "%s failed: %.*s", call, length, reason);
}

static MPI_Comm group_of(const fv_comm *comm)
{
    return *(MPI_Comm *)comm->state;
}

static fv_err wrap(MPI_Comm group, fv_comm **out);

static fv_err mpi_split(fv_comm *comm, int color, int key, fv_comm **out)
{
    MPI_Comm group;
    TRY_MPI(MPI_Comm_split, group_of(comm), color, key, &group);
    return wrap(group, out);
}

static fv_err mpi_barrier(fv_comm *comm)
{
    TRY_MPI(MPI_Barrier, group_of(comm));
    return FV_OK;
}

/* A resized type places the piece of every rank at its place in the whole. */
static fv_err gather_piece(fv_comm *comm, const void *in, int bytes, char *out, size_t whole)
{
    MPI_Datatype piece, spaced;
    TRY_MPI(MPI_Type_contiguous, bytes, MPI_BYTE, &piece);
    TRY_MPI(MPI_Type_create_resized, piece, 0, (MPI_Aint)whole, &spaced);
    TRY_MPI(MPI_Type_commit, &spaced);
    fv_err err =
        fv_mpi_check(MPI_Allgather(in, bytes, MPI_BYTE, out, 1, spaced, group_of(comm)), "MPI_Allgather");
    MPI_Type_free(&spaced);
    MPI_Type_free(&piece);
    return err;
}

static fv_err mpi_all_gather(fv_comm *comm, const void *in, size_t bytes, void *out)
{
    int in_place = (const char *)in == (char *)out + (size_t)comm->rank * bytes;
    if (bytes <= PIECE) {
        TRY_MPI(MPI_Allgather, in_place ? MPI_IN_PLACE : in, (int)bytes, MPI_BYTE, out, (int)bytes, MPI_BYTE,
                group_of(comm));
        return FV_OK;
    }
    for (size_t first = 0; first < bytes; first += PIECE) {
        int n = bytes - first < PIECE ? (int)(bytes - first) : PIECE;
        FV_TRY(gather_piece(comm, in_place ? MPI_IN_PLACE : (const char *)in + first, n, (char *)out + first,
                            bytes));
    }
    return FV_OK;
}

static fv_err mpi_all_to_all(fv_comm *comm, const void *in, size_t bytes, void *out)
{
    FV_CHECK(bytes <= PIECE, FV_ERR_COMM, "MPI_Alltoall of %zu bytes a rank, at most %d", bytes, PIECE);
    TRY_MPI(MPI_Alltoall, in, (int)bytes, MPI_BYTE, out, (int)bytes, MPI_BYTE, group_of(comm));
    return FV_OK;
}

static fv_err mpi_broadcast(fv_comm *comm, void *data, size_t bytes, int root)
{
    for (size_t first = 0; first < bytes; first += PIECE) {
        int n = bytes - first < PIECE ? (int)(bytes - first) : PIECE;
        TRY_MPI(MPI_Bcast, (char *)data + first, n, MPI_BYTE, root, group_of(comm));
    }
    return FV_OK;
}

/* The number lives on rank 0 and is added to by one-sided operations, which nobody there has to answer. That
 * the counter is closed goes round in empty messages: reading it from rank 0 after every pass would wait for
 * that rank's attention each time. The counter has a group of its own, so nobody else's messages meet its. */
typedef struct mpi_counter {
    MPI_Comm group;
    MPI_Win window;
    int64_t *value;    /* of the window; on rank 0 */
    int is_closed;     /* as far as this rank knows, */
    int has_closed;    /* and this rank has told the others */
    uint8_t *heard;    /* (size): ranks whose message has arrived */
    MPI_Request *sent; /* (size) */
} mpi_counter;

static fv_err open_window(mpi_counter *state, int rank)
{
    MPI_Aint bytes = rank == 0 ? (MPI_Aint)sizeof(int64_t) : 0;
    TRY_MPI(MPI_Win_allocate, bytes, sizeof(int64_t), MPI_INFO_NULL, state->group, &state->value,
            &state->window);
    TRY_MPI(MPI_Win_set_errhandler, state->window, MPI_ERRORS_RETURN);
    TRY_MPI(MPI_Win_lock_all, 0, state->window);
    if (rank == 0)
        *state->value = 0;
    TRY_MPI(MPI_Win_sync, state->window);
    TRY_MPI(MPI_Barrier, state->group);
    return FV_OK;
}

static void free_counter(mpi_counter *state)
{
    if (!state)
        return;
    free(state->heard);
    free(state->sent);
    free(state);
}

static mpi_counter *allocate_counter(int size)
{
    mpi_counter *state = calloc(1, sizeof *state);
    if (!state)
        return NULL;
    state->heard = calloc((size_t)size, sizeof *state->heard);
    state->sent = calloc((size_t)size, sizeof *state->sent);
    if (state->heard && state->sent)
        return state;
    free_counter(state);
    return NULL;
}

static fv_err mpi_counter_create(fv_comm *comm, fv_counter *counter)
{
    mpi_counter *state = allocate_counter(comm->size);
    fv_err err = state ? FV_OK : FV_FAIL(FV_ERR_MEMORY, "cannot allocate a counter");
    err = fv_comm_agree(comm, err);
    if (err == FV_OK)
        err = fv_mpi_check(MPI_Comm_dup(group_of(comm), &state->group), "MPI_Comm_dup");
    if (err == FV_OK)
        err = open_window(state, comm->rank);
    if (err != FV_OK)
        free_counter(state);
    counter->state = err == FV_OK ? state : NULL;
    return err;
}

static fv_err mpi_counter_next(fv_counter *counter, int64_t *value)
{
    mpi_counter *state = counter->state;
    const int64_t one = 1;
    TRY_MPI(MPI_Fetch_and_op, &one, value, MPI_INT64_T, 0, 0, MPI_SUM, state->window);
    TRY_MPI(MPI_Win_flush, 0, state->window);
    return FV_OK;
}

static fv_err mpi_counter_close(fv_counter *counter)
{
    mpi_counter *state = counter->state;
    if (state->has_closed)
        return FV_OK;
    state->is_closed = state->has_closed = 1;
    for (int rank = 0; rank < counter->comm->size; rank++) {
        state->sent[rank] = MPI_REQUEST_NULL;
        if (rank != counter->comm->rank)
            TRY_MPI(MPI_Isend, NULL, 0, MPI_BYTE, rank, 0, state->group, &state->sent[rank]);
    }
    return FV_OK;
}

static fv_err hear(mpi_counter *state, int rank)
{
    TRY_MPI(MPI_Recv, NULL, 0, MPI_BYTE, rank, 0, state->group, MPI_STATUS_IGNORE);
    state->heard[rank] = state->is_closed = 1;
    return FV_OK;
}

/* Where the network cannot add by itself, MPI does, in any call. */
static fv_err mpi_counter_poll(fv_counter *counter, int *is_closed)
{
    mpi_counter *state = counter->state;
    MPI_Status from;
    int is_there;
    TRY_MPI(MPI_Iprobe, MPI_ANY_SOURCE, 0, state->group, &is_there, &from);
    if (is_there)
        FV_TRY(hear(state, from.MPI_SOURCE));
    *is_closed = state->is_closed;
    return FV_OK;
}

/* Every message that was sent is received before the group goes. */
static fv_err settle_messages(fv_counter *counter)
{
    mpi_counter *state = counter->state;
    int n = counter->comm->size, rank = counter->comm->rank;
    int closers[2] = {state->has_closed, 0}; /* whether any rank has closed, then each of them in turn */
    TRY_MPI(MPI_Allreduce, &closers[0], &closers[1], 1, MPI_INT, MPI_MAX, state->group);
    for (int from = 0; closers[1] && from < n; from++) {
        int has_closed = state->has_closed;
        TRY_MPI(MPI_Bcast, &has_closed, 1, MPI_INT, from, state->group);
        if (has_closed && from != rank && !state->heard[from])
            FV_TRY(hear(state, from));
    }
    if (state->has_closed)
        TRY_MPI(MPI_Waitall, n, state->sent, MPI_STATUSES_IGNORE);
    return FV_OK;
}

static void mpi_counter_destroy(fv_counter *counter)
{
    mpi_counter *state = counter->state;
    settle_messages(counter); /* a failure shows in the next collective */
    MPI_Win_unlock_all(state->window);
    MPI_Win_free(&state->window);
    MPI_Comm_free(&state->group);
    free_counter(state);
}

static void mpi_abort(fv_comm *comm, int status)
{
    MPI_Abort(group_of(comm), status);
    abort(); /* MPI_Abort should not return */
}

static void mpi_destroy(fv_comm *comm)
{
    MPI_Comm group = group_of(comm);
    if (group == MPI_COMM_WORLD) {
        fv_pmix_fence(); /* a rank that is lost by now loses nothing */
        MPI_Finalize();
    } else
        MPI_Comm_free(&group);
    free(comm->state);
    free(comm);
}

static const fv_comm_table mpi_table = {.name = "mpi",
                                        .split = mpi_split,
                                        .barrier = mpi_barrier,
                                        .all_gather = mpi_all_gather,
                                        .all_to_all = mpi_all_to_all,
                                        .broadcast = mpi_broadcast,
                                        .counter_create = mpi_counter_create,
                                        .counter_next = mpi_counter_next,
                                        .counter_close = mpi_counter_close,
                                        .counter_poll = mpi_counter_poll,
                                        .counter_destroy = mpi_counter_destroy,
                                        .mailbox_create = fv_mpi_mailbox_create,
                                        .mailbox_send = fv_mpi_mailbox_send,
                                        .mailbox_receive = fv_mpi_mailbox_receive,
                                        .mailbox_destroy = fv_mpi_mailbox_destroy,
                                        .abort = mpi_abort,
                                        .destroy = mpi_destroy};

static fv_err wrap(MPI_Comm group, fv_comm **out)
{
    int rank, size;
    TRY_MPI(MPI_Comm_set_errhandler, group, MPI_ERRORS_RETURN);
    TRY_MPI(MPI_Comm_rank, group, &rank);
    TRY_MPI(MPI_Comm_size, group, &size);
    fv_comm *comm = calloc(1, sizeof *comm);
    MPI_Comm *state = malloc(sizeof *state);
    if (!comm || !state) {
        free(comm);
        free(state);
        return FV_FAIL(FV_ERR_MEMORY, "cannot allocate a process group");
    }
    *state = group;
    *comm = (fv_comm){.table = &mpi_table, .rank = rank, .size = size, .state = state};
    *out = comm;
    return FV_OK;
}

/* Open MPI waits for ever for a launcher that was killed. */
static fv_err start_mpi(int *provided)
{
    fv_orphan_guard guard;
    /* Debian's Open MPI leaves out the one component that has one-sided operations over TCP. */
    setenv("OMPI_MCA_osc", "^ucx", 0);
    FV_TRY(fv_orphan_guard_start(&guard));
    fv_err err = fv_mpi_check(MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, provided), "MPI_Init_thread");
    if (err == FV_OK)
        err = fv_pmix_fence();
    fv_orphan_guard_stop(&guard);
    return err;
}

fv_err fv_comm_world(fv_comm **out)
{
    const fv_started started = fv_started_look(); /* MPI_Init may change the environment */
    int provided, size;
    *out = NULL;
    if (!started.is_of_mpi) {
        FV_TRY(fv_started_check(&started, 1));
        return fv_comm_self(out);
    }
    FV_TRY(start_mpi(&provided));
    TRY_MPI(MPI_Comm_size, MPI_COMM_WORLD, &size);
    FV_TRY(fv_started_check(&started, size));
    FV_CHECK(provided >= MPI_THREAD_FUNNELED, FV_ERR_COMM,
             "this MPI library cannot be used by a program with threads");
    return wrap(MPI_COMM_WORLD, out);
}
