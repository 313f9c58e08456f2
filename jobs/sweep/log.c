/* fovea sweep: what a log says of its end. */
#include "jobs/sweep/sweep.h"

#include "fovea/base/file.h"
#include "fovea/base/text/slice.h"

#include <string.h>

enum { MAX_TAIL = 1 << 16, MAX_LINE = 300 };

static int begins(fv_slice line, const char *text)
{
    return line.size >= strlen(text) && memcmp(line.data, text, strlen(text)) == 0;
}

static int holds(fv_slice line, const char *text)
{
    return memmem(line.data, line.size, text, strlen(text)) != NULL;
}

/* fovea's own sentence, the batch script's, or Slurm's; what srun says of each rank's status tells nothing.
 */
static int is_telling(fv_slice line)
{
    return begins(line, "fovea: ") || begins(line, "slurm/") ||
           (holds(line, "error: ") && !begins(line, "srun: ") && !holds(line, "stack:"));
}

/* The line that ends before *end, which moves to its begin. */
static fv_slice line_before(const char *from, const char **end)
{
    const char *stop = *end, *start = stop;
    while (start > from && start[-1] != '\n')
        start--;
    *end = start > from ? start - 1 : from;
    return fv_slice_trim((fv_slice){start, (size_t)(stop - start)});
}

static fv_slice find_line(const char *from, const char *end)
{
    fv_slice last = {"", 0};
    while (end > from) {
        fv_slice line = line_before(from, &end);
        if (is_telling(line))
            return line;
        if (last.size == 0)
            last = line;
    }
    return last;
}

fv_err fv_sweep_read_log(const char *path, char **out)
{
    fv_file_map map;
    FV_TRY(fv_file_open_map(path, &map));
    const char *text = (const char *)map.data, *end = text + map.size;
    fv_slice line =
        map.size > 0 ? find_line(map.size > MAX_TAIL ? end - MAX_TAIL : text, end) : (fv_slice){"", 0};
    fv_err err = FV_OK;
    if (line.size > 0)
        err = fv_sweep_tell(out, "%.*s", (int)(line.size < MAX_LINE ? line.size : MAX_LINE), line.data);
    for (char *c = *out; c && *c; c++)
        if ((unsigned char)*c < ' ' || *c == '\x7f')
            *c = ' '; /* a terminal obeys such characters */
    fv_file_close_map(&map);
    return err;
}
