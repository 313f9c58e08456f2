#include "jobs/terminal.h"

#include "fovea/base/text/shown.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { MEMORY_DEVICES = 1 /* /dev/null and its like */, MAX_TAIL = 4 };

/* A stream, and the beginning of a character whose rest comes with the next write. */
typedef struct guarded {
    int descriptor;
    char tail[MAX_TAIL];
    size_t n_tail;
} guarded;

static guarded output = {.descriptor = STDOUT_FILENO}, errors = {.descriptor = STDERR_FILENO};

static int write_all(int descriptor, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t n = write(descriptor, data, size);
        if (n < 0 && errno != EINTR)
            return -1;
        data += n > 0 ? n : 0;
        size -= n > 0 ? (size_t)n : 0;
    }
    return 0;
}

/* All of text but an unfinished character; returns its bytes, or -1. */
static ssize_t show(int descriptor, const char *text, size_t size)
{
    char shown[4096], one[FV_SHOWN_BYTES];
    size_t used = 0, done = 0;
    for (size_t n; done < size && (n = fv_shown_next(text + done, size - done, 1, one)) > 0; done += n) {
        if (used + FV_SHOWN_BYTES > sizeof shown) {
            if (write_all(descriptor, shown, used) != 0)
                return -1;
            used = 0;
        }
        memcpy(shown + used, one, strlen(one));
        used += strlen(one);
    }
    return write_all(descriptor, shown, used) == 0 ? (ssize_t)done : -1;
}

static ssize_t write_shown(void *cookie, const char *data, size_t size)
{
    guarded *g = cookie;
    char *text = malloc(g->n_tail + size);
    if (!text)
        return 0;
    memcpy(text, g->tail, g->n_tail);
    memcpy(text + g->n_tail, data, size);
    ssize_t done = show(g->descriptor, text, g->n_tail + size);
    if (done >= 0) {
        g->n_tail += size - (size_t)done;
        memcpy(g->tail, text + done, g->n_tail);
    }
    free(text);
    return done < 0 ? 0 : (ssize_t)size;
}

static FILE *open_guarded(guarded *g, int mode)
{
    FILE *stream = fopencookie(g, "w", (cookie_io_functions_t){.write = write_shown});
    if (stream)
        setvbuf(stream, NULL, mode, BUFSIZ);
    return stream;
}

/* mpirun gives a rank a terminal of its own, and passes on to wherever its own output goes. */
static int is_terminal(void)
{
    char path[64];
    struct stat info;
    if (!isatty(STDOUT_FILENO) || !getenv("OMPI_COMM_WORLD_RANK"))
        return isatty(STDOUT_FILENO);
    snprintf(path, sizeof path, "/proc/%ld/fd/%d", (long)getppid(), STDOUT_FILENO);
    return stat(path, &info) == 0 && S_ISCHR(info.st_mode) && major(info.st_rdev) != MEMORY_DEVICES;
}

void fv_terminal_guard(void)
{
    FILE *stream = is_terminal() ? open_guarded(&output, _IOLBF) : NULL;
    if (stream)
        stdout = stream;
}

error_t fv_terminal_parse(const struct argp *argp, int argc, char **argv, void *input)
{
    FILE *plain = stderr, *stream = open_guarded(&errors, _IONBF);
    if (stream)
        stderr = stream;
    error_t err = argp_parse(argp, argc, argv, 0, NULL, input); /* ends the program if it complains */
    stderr = plain;
    if (stream)
        fclose(stream);
    return err;
}
