#include "fovea/base/process/child.h"

#include "fovea/base/buffer.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { MAX_LINE = 1 << 20, READ_BYTES = 1 << 16 };

struct fv_child {
    pid_t process;
    int socket; /* a pair of sockets, since a write to a pipe that nobody reads sends a signal */
    int life;   /* the end of a pipe that closes with this process, however it ends */
    int is_gone;
    fv_buffer out, in;
    size_t n_written, n_heard; /* bytes of out and in that are done with */
};

/* A shell that is left behind reads the other end of that pipe, and at its end ends the group: itself, the
 * program and what that started. It holds no other descriptor of ours, so the program's end is seen. */
static const char guard[] = "(trap '' HUP INT QUIT TERM; read -r _ <&3; kill -s KILL 0) <&- >&- 2>&- & "
                            "exec 3<&-; exec sh -c \"$1\"";

enum { LIFE = 3 };

/* Keys of ours are not the program's. */
static int is_secret(const char *variable)
{
    static const char *const keys[] = {"OPENAI_API_KEY=", "AZURE_API_KEY=", "AZURE_OPENAI_API_KEY=", NULL};
    for (const char *const *key = keys; *key; key++)
        if (strncmp(variable, *key, strlen(*key)) == 0)
            return 1;
    return 0;
}

/* The environment without keys; the texts are borrowed. NULL: no memory. */
static char **make_environment(void)
{
    size_t n = 0;
    while (environ && environ[n])
        n++;
    char **out = calloc(n + 1, sizeof *out);
    for (size_t i = 0, used = 0; out && i < n; i++)
        if (!is_secret(environ[i]))
            out[used++] = environ[i];
    return out;
}

/* The program leads a group of its own, so that all of it can be ended. It has three descriptors, and the
 * guard one more; a broken pipe ends it, as it does elsewhere. */
static int set_up(posix_spawn_file_actions_t *actions, posix_spawnattr_t *attributes, int end, int life)
{
    int failed = posix_spawn_file_actions_adddup2(actions, end, STDIN_FILENO);
    failed |= posix_spawn_file_actions_adddup2(actions, end, STDOUT_FILENO);
    failed |= posix_spawn_file_actions_adddup2(actions, life, LIFE);
    failed |= posix_spawn_file_actions_addclosefrom_np(actions, LIFE + 1);
    sigset_t broken;
    sigemptyset(&broken);
    sigaddset(&broken, SIGPIPE);
    failed |= posix_spawnattr_setsigdefault(attributes, &broken);
    failed |= posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF);
    return failed;
}

static int spawn_in(const char *command, char **environment, int end, int life, pid_t *process)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    char *const argv[] = {"sh", "-c", (char *)guard, "sh", (char *)command, NULL};
    if (posix_spawn_file_actions_init(&actions) != 0)
        return ENOMEM;
    int failed = posix_spawnattr_init(&attributes);
    if (!failed) {
        failed = set_up(&actions, &attributes, end, life);
        if (!failed)
            failed = posix_spawn(process, "/bin/sh", &actions, &attributes, argv, environment);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
    return failed;
}

static int spawn(const char *command, int end, int life, pid_t *process)
{
    char **environment = make_environment();
    int failed = environment ? spawn_in(command, environment, end, life, process) : ENOMEM;
    free(environment);
    return failed;
}

static void close_both(const int ends[2])
{
    close(ends[0]);
    close(ends[1]);
}

static fv_err open_ends(const char *command, int socket[2], int life[2])
{
    FV_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, socket) == 0, FV_ERR_IO,
             "cannot start \"%s\": %s", command, strerror(errno));
    if (pipe2(life, O_CLOEXEC) == 0)
        return FV_OK;
    fv_err err = FV_FAIL(FV_ERR_IO, "cannot start \"%s\": %s", command, strerror(errno));
    close_both(socket);
    return err;
}

fv_err fv_child_start(const char *command, fv_child **out)
{
    int ends[2], life[2];
    *out = NULL;
    FV_TRY(open_ends(command, ends, life));
    fv_child *child = calloc(1, sizeof *child);
    int failed = child ? spawn(command, ends[1], life[0], &child->process) : ENOMEM;
    if (failed) {
        close_both(ends);
        close_both(life);
        free(child);
        return FV_FAIL(FV_ERR_IO, "cannot start \"%s\": %s", command, strerror(failed));
    }
    close(ends[1]);
    close(life[0]);
    child->socket = ends[0];
    child->life = life[1];
    *out = child;
    return FV_OK;
}

void fv_child_destroy(fv_child *child)
{
    if (!child)
        return;
    close(child->socket);
    kill(-child->process, SIGKILL);
    close(child->life);
    while (waitpid(child->process, NULL, 0) < 0 && errno == EINTR)
        ;
    fv_buffer_fini(&child->out);
    fv_buffer_fini(&child->in);
    free(child);
}

/* Drop the first n bytes. */
static void shift(fv_buffer *buffer, size_t *n)
{
    if (*n == 0)
        return;
    memmove(buffer->data, buffer->data + *n, buffer->size - *n);
    buffer->size -= *n;
    *n = 0;
}

fv_err fv_child_say(fv_child *child, fv_slice line)
{
    shift(&child->out, &child->n_written);
    FV_TRY(fv_buffer_append(&child->out, line.data, line.size));
    return fv_buffer_append(&child->out, "\n", 1);
}

static int is_passing(int reason)
{
    return reason == EAGAIN || reason == EWOULDBLOCK || reason == EINTR;
}

static void write_some(fv_child *child)
{
    size_t left = child->out.size - child->n_written;
    if (left == 0)
        return;
    ssize_t n = send(child->socket, child->out.data + child->n_written, left, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0)
        child->n_written += (size_t)n;
    else if (!is_passing(errno))
        child->is_gone = 1;
}

static fv_err read_some(fv_child *child)
{
    shift(&child->in, &child->n_heard);
    FV_TRY(fv_buffer_reserve(&child->in, READ_BYTES));
    ssize_t n = recv(child->socket, child->in.data + child->in.size, READ_BYTES, MSG_DONTWAIT);
    if (n > 0)
        child->in.size += (size_t)n;
    else if (n == 0 || !is_passing(errno))
        child->is_gone = 1;
    return FV_OK;
}

fv_err fv_child_move(fv_child *child, double wait_s)
{
    write_some(child);
    short events = (short)(POLLIN | (child->n_written < child->out.size ? POLLOUT : 0));
    struct pollfd one = {child->socket, events, 0};
    poll(&one, 1, child->is_gone ? 0 : (int)ceil(1000 * wait_s));
    write_some(child);
    return read_some(child);
}

fv_err fv_child_hear(fv_child *child, fv_slice *line, int *is_there)
{
    const char *from = child->in.data + child->n_heard;
    size_t left = child->in.size - child->n_heard;
    const char *end = left ? memchr(from, '\n', left) : NULL;
    FV_CHECK(end || left <= MAX_LINE, FV_ERR_FORMAT, "a program gave a line of more than %d bytes", MAX_LINE);
    *is_there = end != NULL;
    if (!end)
        return FV_OK;
    *line = (fv_slice){from, (size_t)(end - from)};
    child->n_heard += line->size + 1;
    return FV_OK;
}

int fv_child_is_gone(const fv_child *child)
{
    return child->is_gone;
}
