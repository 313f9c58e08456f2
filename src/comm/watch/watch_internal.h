/* What the files of the watch share. */
#ifndef FOVEA_SRC_COMM_WATCH_WATCH_INTERNAL_H
#define FOVEA_SRC_COMM_WATCH_WATCH_INTERNAL_H

#include "fovea/base/process/allocation.h"
#include "fovea/comm/watch/watch.h"

#include <pthread.h>
#include <stdatomic.h>

typedef enum fv_beat_kind {
    FV_BEAT,     /* all is well */
    FV_BEAT_BYE, /* the sender has stopped watching */
    FV_BEAT_END  /* the receiver ends the process */
} fv_beat_kind;

/* What one thread tells another. All ranks run the same program, so it travels as it is. */
typedef struct fv_beat {
    uint64_t token; /* of the run: strangers do not know it */
    int32_t kind, rank, process;
    int32_t status; /* of an end */
    uint64_t n_moves;
    char host[64], phase[32], inside[32]; /* inside "": none */
} fv_beat;

/* Another rank, as far as this one knows. */
typedef struct fv_peer {
    int socket;      /* -1: there is no connection, or none any more */
    double heard;    /* when something came last */
    fv_beat last;    /* that came */
    int has_ended;   /* its connection is gone, and it had not said goodbye */
    int has_stopped; /* it has said goodbye */
    unsigned char partial[sizeof(fv_beat)];
    size_t n_partial;
} fv_peer;

struct fv_watch {
    fv_comm *world;
    fv_watch_settings settings;
    int status;    /* of the process, if the watch ends it */
    int is_ending; /* another rank has told so */
    uint64_t token;
    fv_peer *peers; /* (world->size): on rank 0 all others are connected, elsewhere rank 0 is */
    pthread_t thread, main_thread;
    int has_thread;
    int bell[2]; /* a pipe that wakes the thread */
    fv_allocation allocation;
    double moved;                     /* when any rank moved last */
    uint64_t n_moves;                 /* of all ranks */
    uint64_t n_places;                /* where this rank could stop, so far */
    double place_from, longest_way_s; /* when it passed the last of them; seconds between two, at most */
    atomic_int has_run_out;           /* of time */
    _Atomic double save_s;
};

/* Connect the ranks. Collective. */
fv_err fv_watch_connect(fv_watch *watch);
void fv_watch_disconnect(fv_watch *watch);

fv_beat fv_beat_of(const fv_watch *watch, fv_beat_kind kind);

/* To every connected peer; one that does not take it now is left out. */
void fv_beat_send(const fv_watch *watch, fv_beat_kind kind);

/* Wait up to wait_s for messages or the bell, and take what has come. */
void fv_watch_hear(fv_watch *watch, double wait_s);

/* Name the fault (sentence NULL: another rank has), print this rank's phase and stack, and end the process.
 * Does not return. */
void fv_watch_end(fv_watch *watch, const char *sentence, double grace_s) __attribute__((noreturn));

#endif
