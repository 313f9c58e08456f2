/* Process groups: the ranks that work on one thing together.
 *
 * `self` is one process and needs no launcher; `mpi` is what mpirun or srun started. Host memory only;
 * tensors go through ops.h. Everything here is Collective over the group unless marked Local, and
 * every rank passes the same sizes. A failure inside a collective is not recoverable: FV_ERR_COMM names the
 * call and MPI's reason. */
#ifndef FOVEA_COMM_COMM_H
#define FOVEA_COMM_COMM_H

#include "fovea/base/error.h"

#include <stddef.h>
#include <stdint.h>

typedef struct fv_comm fv_comm;
typedef struct fv_counter fv_counter;
typedef struct fv_mailbox fv_mailbox; /* mailbox.h */
struct fv_buffer;

typedef struct fv_comm_table {
    const char *name;
    fv_err (*split)(fv_comm *, int color, int key, fv_comm **out);
    fv_err (*barrier)(fv_comm *);
    /* out holds bytes of every rank, in rank order; in may be this rank's place in out. */
    fv_err (*all_gather)(fv_comm *, const void *in, size_t bytes, void *out);
    /* Block i of in (bytes each) goes to rank i; out receives one block from every rank. */
    fv_err (*all_to_all)(fv_comm *, const void *in, size_t bytes, void *out);
    fv_err (*broadcast)(fv_comm *, void *data, size_t bytes, int root);
    fv_err (*counter_create)(fv_comm *, fv_counter *);
    fv_err (*counter_next)(fv_counter *, int64_t *value); /* Local */
    fv_err (*counter_close)(fv_counter *);                /* Local */
    fv_err (*counter_poll)(fv_counter *, int *is_closed); /* Local */
    void (*counter_destroy)(fv_counter *);
    fv_err (*mailbox_create)(fv_comm *, fv_mailbox *);
    fv_err (*mailbox_send)(fv_mailbox *, int to, const void *data, size_t bytes);  /* Local */
    fv_err (*mailbox_receive)(fv_mailbox *, int *from, struct fv_buffer *message); /* Local; does not wait */
    void (*mailbox_destroy)(fv_mailbox *);                                         /* Local */
    void (*abort)(fv_comm *, int status); /* Local; does not return */
    void (*destroy)(fv_comm *);
} fv_comm_table;

struct fv_comm {
    const fv_comm_table *table;
    int rank, size;
    void *state;   /* owned by the implementation */
    void *staging; /* of reductions; made by the first, for good */
};

/* All processes that were started together: mpi if a launcher's environment says so, else self. Once a
 * process, from the main thread. FV_ERR_ARGUMENT with the launcher to use if MPI finds fewer than were
 * started, as with a plain srun. */
fv_err fv_comm_world(fv_comm **out);

/* One process. */
fv_err fv_comm_self(fv_comm **out);

/* The ranks that gave the same color, ordered by key, then by rank. */
fv_err fv_comm_split(fv_comm *comm, int color, int key, fv_comm **out);

/* NULL is fine. Destroying the world ends MPI. */
void fv_comm_destroy(fv_comm *comm);

fv_err fv_comm_barrier(fv_comm *comm);
/* out (size * bytes) = in (bytes) of every rank, in rank order; in may be this rank's place in out. */
fv_err fv_comm_all_gather(fv_comm *comm, const void *in, size_t bytes, void *out);
fv_err fv_comm_broadcast(fv_comm *comm, void *data, size_t bytes, int root);

/* Sums over ranks go in one tree for every element: sum(lo, hi) = sum(lo, mid) + sum(mid, hi) of ranks [lo,
 * hi), mid = lo + the largest power of two below hi - lo. So they agree bit for bit from run to run, and with
 * one rank that holds a power of two of the parts and sums them in the same tree. */

/* data (n) = its sum, on every rank. */
fv_err fv_comm_all_reduce_f32(fv_comm *comm, float *data, size_t n);
fv_err fv_comm_all_reduce_f64(fv_comm *comm, double *data, size_t n);

/* out (n) = elements [rank n, (rank + 1) n) of the sum of in (size n); out may be those elements of in, which
 * keeps the others. */
fv_err fv_comm_reduce_scatter_f32(fv_comm *comm, const float *in, size_t n, float *out);

/* *value = the largest of all ranks. */
fv_err fv_comm_all_reduce_max(fv_comm *comm, double *value);

/* Every rank passes its own outcome and all return the worst (the lowest code but FV_OK; the lowest rank
 * among equals), with the sentence of the rank that had it, prefixed by its number on the others, and the
 * scope set (error.h). Ends every stage that can fail on one rank. */
fv_err fv_comm_agree(fv_comm *comm, fv_err err);

/* A number that all ranks count up together, so that work is handed out to whoever is free. Starts at 0. */
struct fv_counter {
    fv_comm *comm; /* borrowed */
    void *state;   /* owned by the implementation */
};
fv_err fv_counter_create(fv_comm *comm, fv_counter **out);
void fv_counter_destroy(fv_counter *counter); /* NULL is fine. Every rank has its last number */

/* Local: the next number; every number is given once, to one rank. */
fv_err fv_counter_next(fv_counter *counter, int64_t *value);
/* Local: tell all ranks that the work is to end; they see it when they poll, some sooner than others. */
fv_err fv_counter_close(fv_counter *counter);
/* Local: a rank that computes for long calls this now and then, so that others need not wait for its
 * attention. *is_closed: some rank has called fv_counter_close. */
fv_err fv_counter_poll(fv_counter *counter, int *is_closed);

/* Messages between ranks: mailbox.h. */
struct fv_mailbox {
    fv_comm *comm; /* borrowed */
    void *state;   /* owned by the implementation */
};

/* Local, also before any group exists: the MPI library and the standard it follows, as text cut at size. */
void fv_comm_version(char *out, size_t size);

/* Local, also before any group exists: whether the ranks of a Slurm step wait for each other where MPI starts
 * and ends: 1 always, 0 only with SLURM_PMIX_FENCE=ring in the environment of srun. */
int fv_comm_waits(void);

/* Local: end all processes of the world with this exit status. Does not return. */
void fv_comm_abort(fv_comm *comm, int status);

#endif
