/* Connections between the watch's threads: every rank's to rank 0's. */
#include "comm/watch/watch_internal.h"

#include "fovea/base/clock.h"
#include "fovea/base/phase.h"

#include <errno.h>
#include <math.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/random.h>
#include <unistd.h>

enum { HELLO_TIMEOUT_S = 20 };

/* Where rank 0 listens. */
typedef struct place {
    uint64_t token;
    int32_t port;
    char host[64];
} place;

fv_beat fv_beat_of(const fv_watch *watch, fv_beat_kind kind)
{
    const fv_phase phase = fv_phase_get();
    fv_beat beat = {.token = watch->token,
                    .kind = kind,
                    .status = watch->status,
                    .rank = watch->world->rank,
                    .process = getpid(),
                    .n_moves = phase.n_moves};
    gethostname(beat.host, sizeof beat.host - 1);
    snprintf(beat.phase, sizeof beat.phase, "%s", phase.name);
    snprintf(beat.inside, sizeof beat.inside, "%s", phase.inside ? phase.inside : "");
    return beat;
}

void fv_beat_send(const fv_watch *watch, fv_beat_kind kind)
{
    const fv_beat beat = fv_beat_of(watch, kind);
    for (int rank = 0; rank < watch->world->size; rank++)
        if (watch->peers[rank].socket >= 0)
            (void)!send(watch->peers[rank].socket, &beat, sizeof beat, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void end_connection(fv_peer *peer)
{
    close(peer->socket);
    peer->socket = -1;
    peer->has_ended = !peer->has_stopped;
}

static void receive_beat(fv_watch *watch, fv_peer *peer)
{
    memcpy(&peer->last, peer->partial, sizeof peer->last);
    peer->n_partial = 0;
    peer->heard = fv_clock_now();
    peer->has_stopped |= peer->last.kind == FV_BEAT_BYE;
    if (peer->last.kind != FV_BEAT_END)
        return;
    watch->is_ending = 1;
    watch->status = peer->last.status;
}

static void hear_peer(fv_watch *watch, fv_peer *peer)
{
    for (;;) {
        size_t left = sizeof peer->partial - peer->n_partial;
        ssize_t n = recv(peer->socket, peer->partial + peer->n_partial, left, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
            return;
        if (n <= 0) {
            end_connection(peer);
            return;
        }
        peer->n_partial += (size_t)n;
        if (peer->n_partial == sizeof peer->partial)
            receive_beat(watch, peer);
    }
}

void fv_watch_hear(fv_watch *watch, double wait_s)
{
    int size = watch->world->size, n = 0;
    struct pollfd *list = calloc((size_t)size + 1, sizeof *list);
    if (!list) {
        usleep((useconds_t)(1e6 * wait_s));
        return;
    }
    list[n++] = (struct pollfd){watch->bell[0], POLLIN, 0};
    for (int rank = 0; rank < size; rank++)
        if (watch->peers[rank].socket >= 0)
            list[n++] = (struct pollfd){watch->peers[rank].socket, POLLIN, 0};
    poll(list, (nfds_t)n, (int)ceil(1000 * wait_s));
    free(list);
    for (int rank = 0; rank < size; rank++)
        if (watch->peers[rank].socket >= 0)
            hear_peer(watch, &watch->peers[rank]);
}

/* Making the connections. */

static fv_err listen_here(fv_watch *watch, int *listener, place *out)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_ANY)};
    socklen_t length = sizeof address;
    FV_CHECK(getrandom(&out->token, sizeof out->token, 0) == sizeof out->token, FV_ERR_IO,
             "the system gives no random numbers: %s", strerror(errno));
    *listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    FV_CHECK(*listener >= 0 && bind(*listener, (struct sockaddr *)&address, sizeof address) == 0 &&
                 listen(*listener, watch->world->size) == 0 &&
                 getsockname(*listener, (struct sockaddr *)&address, &length) == 0,
             FV_ERR_COMM, "rank 0 cannot listen for the watches of other ranks: %s", strerror(errno));
    out->port = ntohs(address.sin_port);
    gethostname(out->host, sizeof out->host - 1);
    return FV_OK;
}

static int connect_to(const char *host, int port, int *error)
{
    char service[16], here[64] = "";
    struct addrinfo *found = NULL, hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
    gethostname(here, sizeof here - 1);
    snprintf(service, sizeof service, "%d", port);
    int failed = getaddrinfo(strcmp(host, here) == 0 ? "127.0.0.1" : host, service, &hints, &found);
    *error = failed ? EHOSTUNREACH : 0;
    int made = failed ? -1 : socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (made >= 0 && connect(made, found->ai_addr, found->ai_addrlen) != 0) {
        *error = errno;
        close(made);
        made = -1;
    }
    if (found)
        freeaddrinfo(found);
    return made;
}

static fv_err reach(fv_watch *watch, const place *at)
{
    int error = 0;
    watch->token = at->token;
    if (watch->world->rank == 0)
        return FV_OK;
    fv_peer *root = &watch->peers[0];
    root->socket = connect_to(at->host, at->port, &error);
    FV_CHECK(root->socket >= 0, FV_ERR_COMM, "the watch cannot reach rank 0, %s port %d: %s%s", at->host,
             at->port, strerror(error),
             watch->settings.are_keys ? "; watch.silence_s: 0 does without it" : "");
    const fv_beat hello = fv_beat_of(watch, FV_BEAT);
    FV_CHECK(send(root->socket, &hello, sizeof hello, MSG_NOSIGNAL) == sizeof hello, FV_ERR_COMM,
             "the watch cannot talk to rank 0: %s", strerror(errno));
    return FV_OK;
}

/* One connection to rank 0; that of a stranger is closed. */
static void welcome(fv_watch *watch, int made, int *n)
{
    fv_beat hello;
    const struct timeval patience = {.tv_sec = HELLO_TIMEOUT_S};
    setsockopt(made, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    int is_whole = recv(made, &hello, sizeof hello, MSG_WAITALL) == sizeof hello;
    if (!is_whole || hello.token != watch->token || hello.rank <= 0 || hello.rank >= watch->world->size) {
        close(made);
        return;
    }
    watch->peers[hello.rank].socket = made;
    watch->peers[hello.rank].last = hello;
    ++*n;
}

static fv_err receive_all(fv_watch *watch, int listener)
{
    for (int n = 1; n < watch->world->size;) {
        int made = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        FV_CHECK(made >= 0 || errno == EINTR || errno == ECONNABORTED, FV_ERR_COMM,
                 "rank 0 cannot take the connection of a watch: %s", strerror(errno));
        if (made >= 0)
            welcome(watch, made, &n);
    }
    return FV_OK;
}

fv_err fv_watch_connect(fv_watch *watch)
{
    fv_comm *world = watch->world;
    int listener = -1;
    place at = {0};
    fv_err err = fv_comm_agree(world, world->rank == 0 ? listen_here(watch, &listener, &at) : FV_OK);
    if (err == FV_OK)
        err = fv_comm_broadcast(world, &at, sizeof at, 0);
    if (err == FV_OK)
        err = fv_comm_agree(world, reach(watch, &at));
    if (err == FV_OK)
        err = fv_comm_agree(world, world->rank == 0 ? receive_all(watch, listener) : FV_OK);
    if (listener >= 0)
        close(listener);
    for (int rank = 0; rank < world->size; rank++)
        watch->peers[rank].heard = fv_clock_now();
    return err;
}

void fv_watch_disconnect(fv_watch *watch)
{
    for (int rank = 0; rank < watch->world->size; rank++)
        if (watch->peers[rank].socket >= 0)
            close(watch->peers[rank].socket);
}
