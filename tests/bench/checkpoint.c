/* Saving and loading a checkpoint beside dd of as many bytes, in turn, in the same moments; and the memory
 * that a save, a load and an export take beyond the weights.
 *
 * usage: bench_checkpoint [FOLDER]   (where to write about 1.5 GB; default /tmp) */
#include "bench.h"
#include "fovea/model/checkpoint/checkpoint.h"
#include "fovea/base/file.h"
#include "fovea/model/hf/folder.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { ROUNDS = 7, SHARDS = 2 };

/* Each beside dd's. */
enum { SAVE, DD_WRITE, LOAD, DD_READ, LOAD_COLD, DD_COLD, N_TIMES };

static const fv_model_shape shape = {.family = FV_FAMILY_QWEN2,
                                     .text = {.n_layers = 4,
                                              .hidden = 1024,
                                              .n_heads = 16,
                                              .n_kv_heads = 2,
                                              .head_dim = 64,
                                              .intermediate = 2816,
                                              .vocab = 16384,
                                              .max_positions = 4096,
                                              .mrope_section = {32, 0, 0},
                                              .has_qkv_bias = 1,
                                              .tied = 1,
                                              .rope_theta = 1e6f,
                                              .norm_eps = 1e-6f},
                                     .pad_id = -1,
                                     .bos_id = -1};

typedef struct bench {
    char model[512], saved[512], copy[512];
    fv_layout layout;
    float *sets; /* (3, n) */
    double seconds[N_TIMES][ROUNDS];
    double megabytes[2]; /* taken by a save and a load */
} bench;

static fv_err fill_rows(void *list, int param, int64_t first, int64_t n, float *out)
{
    const fv_param *of = &((const fv_param_list *)list)->items[param];
    for (int64_t i = 0; i < n * of->cols; i++)
        out[i] = (float)((first * of->cols + i) * 2654435761 % 65521) / 65521;
    return FV_OK;
}

static fv_err make_model(const char *path)
{
    fv_param_list list;
    FV_TRY(fv_param_list_init(&list, &shape));
    const fv_generation_defaults generation = {.temperature = 1};
    fv_folder_write_args args = {.shape = &shape,
                                 .generation = &generation,
                                 .style = FV_FOLDER_V4,
                                 .dtype = FV_F32,
                                 .max_shard_bytes = FV_FOLDER_SHARD_BYTES,
                                 .writes = 1,
                                 .rows = fill_rows,
                                 .context = &list};
    fv_err err = fv_folder_write(path, &args);
    fv_param_list_fini(&list);
    return err;
}

static double peak_megabytes(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_maxrss / 1024;
}

/* As one of two ranks does. */
static fv_err write_shard(const bench *b, int number)
{
    int64_t n = b->layout.n_elements, first = n * number / SHARDS;
    const fv_shard shard = {0, 1, first, n * (number + 1) / SHARDS - first};
    const void *sets[FV_CHECKPOINT_N_SETS];
    for (int i = 0; i < FV_CHECKPOINT_N_SETS; i++)
        sets[i] = b->sets + i * n + first;
    return fv_shard_write(b->saved, number, &shard, sets);
}

static fv_err save(bench *b, double *seconds)
{
    const fv_checkpoint_args args = {.shape = &shape, .n_shards = SHARDS, .step = 1, .source = b->model};
    int n_failed = 0;
    FV_TRY(fv_file_remove_tree(b->saved));
    FV_TRY(fv_file_make_folder(b->saved));
    double from = bench_now(), before = peak_megabytes();
#pragma omp parallel for num_threads(SHARDS) reduction(+ : n_failed)
    for (int i = 0; i < SHARDS; i++)
        n_failed += write_shard(b, i) != FV_OK;
    FV_CHECK(n_failed == 0, FV_ERR_IO, "%d shards were not written", n_failed);
    FV_TRY(fv_checkpoint_finish(b->saved, &args));
    b->megabytes[0] += peak_megabytes() - before;
    *seconds = bench_now() - from;
    return FV_OK;
}

/* Take a file that is on the disk out of the page cache. */
static fv_err forget(const char *path)
{
    int file = open(path, O_RDONLY);
    FV_CHECK(file >= 0, FV_ERR_IO, "cannot open %s", path);
    int failed = posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
    close(file);
    FV_CHECK(!failed, FV_ERR_IO, "%s stays in memory", path);
    return FV_OK;
}

static fv_err forget_shards(const bench *b)
{
    char path[600];
    for (int i = 0; i < SHARDS; i++) {
        snprintf(path, sizeof path, "%s/shard_%05d.h5", b->saved, i);
        FV_TRY(forget(path));
    }
    return FV_OK;
}

static fv_err load(bench *b, double *seconds)
{
    fv_checkpoint *from;
    double start = bench_now(), before = peak_megabytes();
    FV_TRY(fv_checkpoint_verify(b->saved, 0, 1));
    FV_TRY(fv_checkpoint_open(b->saved, &from));
    for (int i = 0; i < FV_CHECKPOINT_N_SETS; i++)
        FV_TRY(fv_checkpoint_read(from, (fv_checkpoint_set)i, &b->layout, 0, b->layout.n_elements,
                                  b->sets + i * b->layout.n_elements));
    b->megabytes[1] += peak_megabytes() - before;
    *seconds = bench_now() - start;
    fv_checkpoint_close(from); /* what is mapped stays in the page cache */
    return FV_OK;
}

static double timed(const char *format, const char *from, const char *to)
{
    char command[2048];
    snprintf(command, sizeof command, format, from, to);
    double start = bench_now();
    return system(command) == 0 ? bench_now() - start : -1;
}

static fv_err round_of(bench *b, int i)
{
    static const char dd_read[] = "dd if='%s' of=%s bs=4M 2>/dev/null";
    FV_TRY(save(b, &b->seconds[SAVE][i]));
    b->seconds[DD_WRITE][i] = timed(
        "cat '%s'/shard_*.h5 | dd of='%s' bs=4M iflag=fullblock conv=fsync 2>/dev/null", b->saved, b->copy);
    FV_TRY(load(b, &b->seconds[LOAD][i]));
    b->seconds[DD_READ][i] = timed(dd_read, b->copy, "/dev/null");
    FV_TRY(forget_shards(b));
    FV_TRY(forget(b->copy));
    FV_TRY(load(b, &b->seconds[LOAD_COLD][i]));
    b->seconds[DD_COLD][i] = timed(dd_read, b->copy, "/dev/null");
    unlink(b->copy);
    return FV_OK;
}

static fv_err measure(bench *b)
{
    size_t bytes = FV_CHECKPOINT_N_SETS * (size_t)b->layout.n_elements * sizeof *b->sets;
    b->sets = aligned_alloc(FV_COPY_ALIGN, (bytes + FV_COPY_ALIGN) / FV_COPY_ALIGN * FV_COPY_ALIGN);
    FV_CHECK(b->sets, FV_ERR_MEMORY, "no memory for %zu bytes", bytes);
    for (size_t i = 0; i < bytes / sizeof *b->sets; i++)
        b->sets[i] = (float)(i * 2654435761 % 65521);
    for (int i = 0; i < ROUNDS; i++)
        FV_TRY(round_of(b, i));
    return FV_OK;
}

static void report(bench *b)
{
    static const char *const names[] = {"save, synced to the disk", "load, from the page cache",
                                        "load, from the disk"};
    double gigabytes = 1e-9 * FV_CHECKPOINT_N_SETS * (double)b->layout.n_elements * sizeof *b->sets;
    printf("%-28s %10s %10s %10s %12s\n", "", "seconds", "GB/s", "dd, GB/s", "of dd");
    for (int i = 0; i < N_TIMES / 2; i++) {
        double own = bench_median(b->seconds[2 * i], ROUNDS),
               dd = bench_median(b->seconds[2 * i + 1], ROUNDS);
        printf("%-28s %10.3f %10.2f %10.2f %10.0f %%\n", names[i], own, gigabytes / own, gigabytes / dd,
               100 * dd / own);
    }
    printf("memory beyond the weights and moments, %.0f MB: %.0f MB in a save, %.0f MB (mapped files) in a "
           "load\n",
           1000 * gigabytes, b->megabytes[0], b->megabytes[1]);
}

static fv_err run(bench *b, const char *folder)
{
    snprintf(b->model, sizeof b->model, "%s/bench_checkpoint.%d.model", folder, (int)getpid());
    snprintf(b->saved, sizeof b->saved, "%s/bench_checkpoint.%d", folder, (int)getpid());
    snprintf(b->copy, sizeof b->copy, "%s/bench_checkpoint.%d.dd", folder, (int)getpid());
    FV_TRY(make_model(b->model));
    FV_TRY(fv_layout_init(&b->layout, &shape, 0, 1));
    FV_TRY(measure(b));
    report(b);
    return FV_OK;
}

int main(int argc, char **argv)
{
    static bench b;
    fv_err err = run(&b, argc > 1 ? argv[1] : "/tmp");
    if (err != FV_OK)
        fprintf(stderr, "%s\n", fv_error_text());
    fv_file_remove_tree(b.model);
    fv_file_remove_tree(b.saved);
    fv_layout_fini(&b.layout);
    free(b.sets);
    return err != FV_OK;
}
