/* Loading a model folder from the page cache into fp32, beside a parallel memcpy as the ceiling.
 *
 * usage: bench_load [FOLDER]   (where to make the model of about 0.3 billion numbers; default /tmp) */
#include "bench.h"
#include "fovea/model/hf/folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 7, CHUNK = 1 << 18 };

static const fv_model_shape shape = {.family = FV_FAMILY_QWEN2,
                                     .text = {.n_layers = 4,
                                              .hidden = 2048,
                                              .n_heads = 16,
                                              .n_kv_heads = 2,
                                              .head_dim = 128,
                                              .intermediate = 8192,
                                              .vocab = 32768,
                                              .max_positions = 4096,
                                              .mrope_section = {64, 0, 0},
                                              .has_qkv_bias = 1,
                                              .tied = 1,
                                              .rope_theta = 1e6f,
                                              .norm_eps = 1e-6f},
                                     .pad_id = -1,
                                     .bos_id = -1};

static fv_err fill_rows(void *list, int param, int64_t first, int64_t n, float *out)
{
    const fv_param *of = &((const fv_param_list *)list)->items[param];
    for (int64_t i = 0; i < n * of->cols; i++)
        out[i] = (float)((first * of->cols + i) % 255) / 256;
    return FV_OK;
}

static fv_err make_folder(const char *path, fv_dtype dtype, int64_t *n_numbers)
{
    fv_param_list list;
    FV_TRY(fv_param_list_init(&list, &shape));
    *n_numbers = 0;
    for (int i = 0; i < list.n; i++)
        *n_numbers += list.items[i].rows * list.items[i].cols;
    const fv_generation_defaults generation = {.temperature = 1};
    fv_folder_write_args args = {.shape = &shape,
                                 .generation = &generation,
                                 .style = FV_FOLDER_V4,
                                 .dtype = dtype,
                                 .max_shard_bytes = FV_FOLDER_SHARD_BYTES,
                                 .writes = 1,
                                 .rows = fill_rows,
                                 .context = &list};
    fv_err err = fv_folder_write(path, &args);
    fv_param_list_fini(&list);
    return err;
}

static fv_err load(const char *path, float *out)
{
    fv_folder folder;
    FV_TRY(fv_folder_open(path, &folder));
    fv_err err = FV_OK;
    for (int i = 0; i < folder.params.n && err == FV_OK; i++) {
        const fv_param *param = &folder.params.items[i];
        fv_param_part part = fv_param_part_of(param, 0, 1);
        err = fv_folder_read(&folder, i, &part, 0, part.rows, (fv_folder_out){FV_F32, out});
        out += param->rows * param->cols;
    }
    fv_folder_close(&folder);
    return err;
}

static void copy(const float *from, float *to, int64_t n)
{
#pragma omp parallel for schedule(static)
    for (int64_t first = 0; first < n; first += CHUNK)
        memcpy(to + first, from + first, (size_t)(n - first < CHUNK ? n - first : CHUNK) * sizeof *to);
}

static fv_err measure(const char *path, fv_dtype dtype)
{
    double load_s[ROUNDS], copy_s[ROUNDS];
    int64_t n = 0;
    FV_TRY(make_folder(path, dtype, &n));
    float *out = malloc((size_t)n * sizeof *out), *from = malloc((size_t)(n / 2) * sizeof *from);
    fv_err err = FV_OK;
    FV_CHECK_DONE(out && from, FV_ERR_MEMORY, "no memory for %lld numbers", (long long)n);
    memset(from, 1, (size_t)(n / 2) * sizeof *from);
    FV_TRY_DONE(load(path, out));
    for (int i = 0; i < ROUNDS; i++) {
        double start = bench_now();
        FV_TRY_DONE(load(path, out));
        double middle = bench_now();
        copy(from, out, n / 2);
        load_s[i] = middle - start;
        copy_s[i] = bench_now() - middle;
    }
    double moved = 1e-9 * (double)n * (double)(fv_dtype_bytes(dtype) + sizeof *out);
    double load_rate = moved / bench_median(load_s, ROUNDS),
           copy_rate = 4e-9 * (double)n / bench_median(copy_s, ROUNDS);
    printf("%-8s %8.2f %10.3f %12.2f %12.2f %8.0f %%\n", fv_dtype_name(dtype),
           1e-9 * (double)n * (double)fv_dtype_bytes(dtype), load_s[ROUNDS / 2], load_rate, copy_rate,
           100 * load_rate / copy_rate);
done:
    free(out);
    free(from);
    return err;
}

int main(int argc, char **argv)
{
    const fv_dtype dtypes[] = {FV_BF16, FV_F16, FV_F32};
    char path[256], command[300];
    fv_err err = FV_OK;
    printf("%-8s %8s %10s %12s %12s %10s\n", "stored", "GB", "seconds", "GB/s moved", "memcpy GB/s",
           "of memcpy");
    for (int i = 0; i < 3 && err == FV_OK; i++) {
        snprintf(path, sizeof path, "%.200s/fovea_bench_load.%d", argc > 1 ? argv[1] : "/tmp", i);
        err = measure(path, dtypes[i]);
        snprintf(command, sizeof command, "rm -rf '%s'", path);
        if (system(command) != 0)
            fprintf(stderr, "cannot remove %s\n", path);
    }
    if (err != FV_OK)
        fprintf(stderr, "%s\n", fv_error_text());
    return err != FV_OK;
}
