/* A whole process, from its start to its first token, with a folder of weights that the page cache holds. */
#include "jobs/bench/bench.h"
#include "jobs/bench/command.h"
#include "jobs/bench/folder.h"
#include "jobs/model/random_folder.h"

#include "fovea/base/clock.h"
#include "fovea/base/file.h"
#include "fovea/base/process/stop.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static fv_err add_option(fv_buffer *command, const char *name, const char *value)
{
    FV_TRY(fv_bench_command_add(command, name));
    return fv_bench_command_add(command, value);
}

static fv_err write_command(const fv_bench *b, const char *folder, fv_buffer *command)
{
    const fv_runtime_options *o = &b->options.runtime;
    char threads[16];
    snprintf(threads, sizeof threads, "%d", o->threads);
    FV_TRY(fv_bench_command_begin(command, "generate"));
    FV_TRY(fv_bench_command_add(command, "--json"));
    FV_TRY(add_option(command, "--max-tokens", "1"));
    FV_TRY(add_option(command, "--prompt", "How many?"));
    FV_TRY(add_option(command, "--model", folder));
    FV_TRY(add_option(command, "--backend", fv_backend_kind_names[o->backend]));
    FV_TRY(add_option(command, "--precision", fv_precision_names[o->precision]));
    if (o->threads)
        FV_TRY(add_option(command, "--threads", threads));
    if (o->kernels)
        FV_TRY(add_option(command, "--kernels", o->kernels));
    return fv_bench_command_end(command);
}

static fv_err hear_answer(fv_child *child)
{
    fv_slice line;
    int is_there;
    FV_TRY(fv_bench_command_hear(child, &line, &is_there));
    FV_CHECK(is_there, FV_ERR_INTERNAL, "the process that was started ended without a token");
    return FV_OK;
}

/* The process ends by itself, so that the next one finds what it has taken. */
static fv_err start(const char *command, double *seconds)
{
    fv_child *child;
    FV_CHECK(!fv_stop_requested(), FV_STOPPED, "start: interrupted");
    double from = fv_clock_now();
    FV_TRY(fv_child_start(command, &child));
    fv_err err = hear_answer(child);
    *seconds = fv_clock_now() - from;
    while (err == FV_OK && !fv_child_is_gone(child))
        err = fv_child_move(child, 1);
    fv_child_destroy(child);
    return err;
}

static fv_err start_all(fv_bench *b, const char *folder)
{
    double seconds[FV_BENCH_MAX_REPEATS], first;
    int n = b->options.repeats;
    fv_buffer command = {0};
    fv_err err = write_command(b, folder, &command);
    if (err == FV_OK)
        err = start(command.data, &first);
    for (int i = 0; i < n && err == FV_OK; i++)
        err = start(command.data, &seconds[i]);
    if (err == FV_OK)
        b->start = fv_bench_seconds_of(seconds, n);
    fv_buffer_fini(&command);
    return err;
}

static fv_err count_bytes(fv_bench *b, const char *folder)
{
    DIR *open = opendir(folder);
    FV_CHECK(open, FV_ERR_IO, "cannot open %s: %s", folder, strerror(errno));
    fv_err err = FV_OK;
    for (struct dirent *entry; err == FV_OK && (entry = readdir(open));) {
        char path[PATH_MAX];
        uint64_t bytes = 0;
        if (!strstr(entry->d_name, ".safetensors"))
            continue;
        err = fv_file_path(path, sizeof path, folder, entry->d_name);
        if (err == FV_OK)
            err = fv_file_size(path, &bytes);
        b->start_bytes += (double)bytes;
    }
    closedir(open);
    return err;
}

static fv_err start_on(fv_bench *b, const char *path)
{
    const fv_random_folder as = {.shape = b->options.runtime.shape,
                                 .is_noise = 1,
                                 .style = FV_FOLDER_V4,
                                 .dtype = FV_BF16,
                                 .shard_bytes = FV_FOLDER_SHARD_BYTES};
    FV_TRY(fv_random_folder_write(path, &as));
    FV_TRY(count_bytes(b, path));
    return start_all(b, path);
}

static fv_err start_random(fv_bench *b)
{
    char path[PATH_MAX];
    fv_bench_folder folder = {0};
    FV_TRY(fv_bench_folder_make(&folder));
    fv_err err = fv_file_path(path, sizeof path, folder.path, "model");
    if (err == FV_OK)
        err = start_on(b, path);
    fv_bench_folder_remove(&folder);
    return err;
}

fv_err fv_bench_find_start(fv_bench *b)
{
    const char *model = b->options.runtime.model;
    FV_CHECK(!getenv("OMPI_COMM_WORLD_SIZE"), FV_ERR_ARGUMENT,
             "start measures one process: start it without mpirun");
    if (!model)
        return start_random(b);
    FV_TRY(count_bytes(b, model));
    return start_all(b, model);
}

fv_err fv_bench_start(fv_bench *b)
{
    fv_bench_figure figure = {
        .name = "start", .bound_s = b->start_bytes / b->upload_rate, .seconds = b->start};
    snprintf(figure.what, sizeof figure.what, "to the first token, with %.2f GB of weights",
             b->start_bytes * 1e-9);
    figure.is_part = 1;
    return fv_bench_tell(b, &figure);
}
