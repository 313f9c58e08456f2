#include "jobs/bench/command.h"

#include "fovea/base/process/stop.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

fv_err fv_bench_command_add(fv_buffer *command, const char *word)
{
    FV_TRY(fv_buffer_append(command, " '", 2));
    for (; *word; word++)
        FV_TRY(*word == '\'' ? fv_buffer_append(command, "'\\''", 4) : fv_buffer_append(command, word, 1));
    return fv_buffer_append(command, "'", 1);
}

fv_err fv_bench_command_begin(fv_buffer *command, const char *job)
{
    char program[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    FV_CHECK(n > 0, FV_ERR_IO, "cannot read the link /proc/self/exe: %s", strerror(errno));
    program[n] = '\0';
    FV_TRY(fv_buffer_append(command, " exec", strlen(" exec")));
    FV_TRY(fv_bench_command_add(command, program));
    return fv_bench_command_add(command, job);
}

fv_err fv_bench_command_end(fv_buffer *command)
{
    return fv_buffer_append(command, "", 1);
}

fv_err fv_bench_command_hear(fv_child *child, fv_slice *line, int *is_there)
{
    for (*is_there = 0;;) {
        int is_gone = fv_child_is_gone(child);
        FV_TRY(fv_child_hear(child, line, is_there));
        if (*is_there || is_gone)
            return FV_OK;
        FV_CHECK(!fv_stop_requested(), FV_STOPPED, "interrupted");
        FV_TRY(fv_child_move(child, 1));
    }
}
