#include "jobs/jobs.h"
#include "jobs/terminal.h"

#include "fovea/base/file.h"
#include "fovea/base/log.h"
#include "fovea/base/process/stop.h"
#include "fovea/base/text/shown.h"

#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *name;
    fv_job run;
    const char *help;
} jobs[] = {
#define X(name, help) {#name, fv_job_##name, help},
    FV_JOB_LIST(X)
#undef X
        {NULL, NULL, NULL}};

int fv_job_interrupted(void)
{
    return FV_EXIT_SIGNAL + (fv_stop_signal() ? fv_stop_signal() : SIGINT);
}

int fv_job_finish(fv_err err)
{
    if (err == FV_OK)
        return 0;
    fprintf(stderr, "fovea: %s\n", fv_error_text());
    if (getenv("FOVEA_TRACE"))
        fprintf(stderr, "fovea: %s, in %s\n", fv_err_name(err), fv_error_trace());
    return err == FV_STOPPED ? fv_job_interrupted() : FV_EXIT_FAILED;
}

/* A standard stream that the caller has closed is made one that cannot be used: the next file or socket to be
 * opened would take its place. */
static void occupy_streams(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            (void)open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

/* What a job has printed is written, or its success was none. */
static int flush_output(int status)
{
    if (status != 0 || (fflush(stdout) == 0 && !ferror(stdout)))
        return status;
    fprintf(stderr, "fovea: cannot write to standard output: %s\n", strerror(errno));
    return FV_EXIT_FAILED;
}

static void print_help(FILE *stream)
{
    fprintf(stream, "Usage: fovea COMMAND [OPTION...]\n"
                    "Teach a vision-language model when to look closer.\n\nCommands:\n");
    for (size_t i = 0; jobs[i].name; i++)
        fprintf(stream, "  %-10s %s\n", jobs[i].name, jobs[i].help);
    fprintf(stream,
            "\n'fovea COMMAND --help' tells about one command; 'fovea --version' prints the version.\n");
}

int main(int argc, char **argv)
{
    argp_err_exit_status = FV_EXIT_USAGE;
    occupy_streams();
    if (fv_file_clean_on_signals() != FV_OK)
        return fv_job_finish(FV_ERR_INTERNAL);
    fv_terminal_guard();
    if (argc < 2) {
        print_help(stderr);
        return FV_EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        print_help(stdout);
        return flush_output(0);
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("fovea %s\n", FOVEA_VERSION);
        return flush_output(0);
    }
    for (size_t i = 0; jobs[i].name; i++) {
        if (strcmp(argv[1], jobs[i].name) != 0)
            continue;
        char name[64]; /* argp prints argv[0] in its usage line */
        snprintf(name, sizeof name, "fovea %s", jobs[i].name);
        argv[1] = name;
        return flush_output(jobs[i].run(argc - 1, argv + 1));
    }
    char shown[256];
    fv_shown_line(argv[1], shown, sizeof shown);
    fprintf(stderr, "fovea: there is no command \"%s\"; 'fovea --help' lists them\n", shown);
    return FV_EXIT_USAGE;
}
