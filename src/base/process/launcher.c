/* A launcher that is held is in the hands of a process that may be killed. So each process that may hold it
 * has a guard: a child that waits for its end, which a pipe tells even of one that is killed, and then lets
 * the launcher go on. */
#include "fovea/base/process/launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { END_S = 5 };

static atomic_int launcher; /* 0: none that is known */
static atomic_int is_released;
static atomic_int has_held; /* by this process: a stop takes effect some time after it was sent */
static int guard = -1;      /* the end of the pipe that this process holds */

/* Of /proc/PROCESS/stat: "PROCESS (NAME) STATE ...". */
static int look_at(pid_t process, char name[32], char *state)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)process);
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    int n = fscanf(file, "%*d (%31[^)]) %c", name, state);
    fclose(file);
    return n == 2;
}

/* In the child, between fork and _exit: it leaves the group that the launcher kills, and holds nothing that
 * others wait to see closed. */
static void guard_launcher(int from, pid_t held)
{
    sigset_t all;
    char byte;
    ssize_t n;
    setsid();
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    close_range(0, (unsigned)from - 1, 0); /* 0 to 2 are open, so from is beyond them */
    close_range((unsigned)from + 1, ~0u, 0);
    while ((n = read(from, &byte, 1)) < 0 && errno == EINTR) {
    }
    if (n == 0) /* no word: it was killed, or failed */
        kill(held, SIGCONT);
    _exit(0);
}

/* Without a guard nothing is held. */
static int set_guard(pid_t parent)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return 0;
    pid_t child = fork();
    if (child == 0)
        guard_launcher(ends[0], parent);
    close(ends[0]);
    if (child < 0)
        close(ends[1]);
    else
        guard = ends[1];
    return child > 0;
}

void fv_launcher_leave(void)
{
    is_released = 1;
    if (guard >= 0 && write(guard, "", 1) == 1)
        close(guard);
    guard = -1;
}

void fv_launcher_find(void)
{
    static const char *const names[] = {"mpirun", "mpiexec", "orterun", "orted", "prterun", "prted"};
    char name[32], state;
    pid_t parent = getppid();
    if (!getenv("OMPI_COMM_WORLD_SIZE") || !look_at(parent, name, &state))
        return;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (launcher == 0 && strncmp(name, names[i], strlen(names[i])) == 0 && set_guard(parent))
            launcher = parent;
}

void fv_launcher_hold(pid_t sender)
{
    if (sender == 0 || sender != launcher || is_released)
        return;
    has_held = 1;
    kill(sender, SIGSTOP);
    if (is_released) /* meanwhile, by another thread, which may have looked too early */
        kill(sender, SIGCONT);
}

int fv_launcher_is_known(void)
{
    return launcher != 0;
}

int fv_launcher_is_held(void)
{
    char name[32], state;
    pid_t parent = launcher;
    return parent != 0 && parent == getppid() && look_at(parent, name, &state) && (has_held || state == 'T');
}

void fv_launcher_hold_no_more(void)
{
    is_released = 1;
}

void fv_launcher_release(void)
{
    is_released = 1;
    if (fv_launcher_is_held())
        kill(launcher, SIGCONT);
    has_held = 0;
}

void fv_launcher_obey(void)
{
    fflush(NULL);
    fv_launcher_release();
    for (unsigned left = END_S; left > 0;)
        left = sleep(left);
}
