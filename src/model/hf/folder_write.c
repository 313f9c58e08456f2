#include "model/hf/folder_config.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BLOCK = 1 << 22, /* numbers asked for at a time, if a row is not longer */
    CHUNK = 1 << 16, /* numbers that one thread converts at a time */
    FILE_NAME_BYTES = 48
};

typedef struct folder_writer {
    const char *path;
    const fv_folder_write_args *args;
    fv_param_list params;
    char (*names)[FV_TENSOR_NAME_BYTES]; /* one a parameter */
    int *shard;                          /* of each parameter, ascending */
    int n_shards;
    float *numbers;               /* (block) */
    uint8_t *stored;              /* (block), in args->dtype */
    fv_safetensors_writer writer; /* of the shard at hand, if failed is FV_OK */
    fv_err failed;                /* the first failure to write */
} folder_writer;

static int64_t bytes_of(const folder_writer *job, int param)
{
    const fv_param *of = &job->params.items[param];
    return of->rows * of->cols * (int64_t)fv_dtype_bytes(job->args->dtype);
}

static void assign_shards(folder_writer *job)
{
    int64_t used = 0;
    for (int i = 0; i < job->params.n; i++) {
        int64_t bytes = bytes_of(job, i);
        if (i > 0 && used + bytes > job->args->max_shard_bytes) {
            job->n_shards++;
            used = 0;
        }
        job->shard[i] = job->n_shards;
        used += bytes;
    }
    job->n_shards++;
}

static fv_name_style style_of(const fv_folder_write_args *args)
{
    static const fv_name_style v4 = {"model.", "visual."}, v5 = {"model.language_model.", "model.visual."};
    if (args->style == FV_FOLDER_KEEP)
        return args->source->style;
    return args->style == FV_FOLDER_V5 && args->shape->family == FV_FAMILY_QWEN2_5_VL ? v5 : v4;
}

static fv_err prepare(folder_writer *job)
{
    FV_TRY(fv_param_list_init(&job->params, job->args->shape));
    size_t n = (size_t)job->params.n;
    int64_t block = BLOCK;
    for (size_t i = 0; i < n; i++)
        block = job->params.items[i].cols > block ? job->params.items[i].cols : block;
    job->names = calloc(n, sizeof *job->names);
    job->shard = calloc(n, sizeof *job->shard);
    job->numbers = malloc((size_t)block * sizeof *job->numbers);
    job->stored = malloc((size_t)block * fv_dtype_bytes(job->args->dtype));
    FV_CHECK(job->names && job->shard && job->numbers && job->stored, FV_ERR_MEMORY,
             "no memory to write a block of %lld numbers", (long long)block);
    for (size_t i = 0; i < n; i++)
        fv_name_style_apply(style_of(job->args), job->params.items[i].name, job->names[i]);
    assign_shards(job);
    return FV_OK;
}

static void shard_name(const folder_writer *job, int shard, char out[FILE_NAME_BYTES])
{
    if (job->n_shards == 1)
        snprintf(out, FILE_NAME_BYTES, "model.safetensors");
    else
        snprintf(out, FILE_NAME_BYTES, "model-%05d-of-%05d.safetensors", shard + 1, job->n_shards);
}

/* Create the file of the shard that begins with parameter first. */
static fv_err create_shard(folder_writer *job, int first)
{
    char name[FILE_NAME_BYTES], path[PATH_MAX];
    int n = 0;
    shard_name(job, job->shard[first], name);
    FV_TRY(fv_file_path(path, sizeof path, job->path, name));
    fv_safetensor *items = calloc((size_t)(job->params.n - first), sizeof *items);
    FV_CHECK(items, FV_ERR_MEMORY, "no memory to describe %s", path);
    for (int i = first; i < job->params.n && job->shard[i] == job->shard[first]; i++) {
        const fv_param *param = &job->params.items[i];
        items[n] = (fv_safetensor){.name = job->names[i], .dtype = job->args->dtype, .n_dims = param->n_dims};
        memcpy(items[n++].dim, param->dim, (size_t)param->n_dims * sizeof *param->dim);
    }
    fv_err err = fv_safetensors_create(path, items, (size_t)n, &job->writer);
    free(items);
    return err;
}

static int64_t encode(const folder_writer *job, int64_t n)
{
    fv_dtype dtype = job->args->dtype;
    size_t bytes = fv_dtype_bytes(dtype);
    int64_t n_overflows = 0;
#pragma omp parallel for reduction(+ : n_overflows) if (n > CHUNK)
    for (int64_t first = 0; first < n; first += CHUNK)
        n_overflows += fv_dtype_encode(dtype, job->numbers + first, n - first < CHUNK ? n - first : CHUNK,
                                       job->stored + (size_t)first * bytes);
    return n_overflows;
}

static fv_err write_rows(folder_writer *job, int param, int64_t n)
{
    int64_t n_overflows = encode(job, n);
    FV_CHECK(n_overflows == 0, FV_ERR_NUMERIC,
             "tensor \"%s\" has %lld numbers too large for %s: use bf16 or fp32", job->names[param],
             (long long)n_overflows, fv_dtype_float_name(job->args->dtype));
    return fv_safetensors_append(&job->writer, job->stored, (size_t)n * fv_dtype_bytes(job->args->dtype));
}

/* Note the first failure to write, drop the file at hand, and go on without writing. */
static void note(folder_writer *job, fv_err err)
{
    if (err == FV_OK || job->failed != FV_OK)
        return;
    job->failed = err;
    fv_safetensors_abandon(&job->writer);
}

static fv_err write_param(folder_writer *job, int i)
{
    const fv_param *param = &job->params.items[i];
    int writes = job->args->writes;
    int64_t n_block = param->cols < BLOCK ? BLOCK / param->cols : 1;
    if (writes && job->failed == FV_OK && (i == 0 || job->shard[i] != job->shard[i - 1]))
        note(job, create_shard(job, i));
    for (int64_t first = 0; first < param->rows; first += n_block) {
        int64_t n = param->rows - first < n_block ? param->rows - first : n_block;
        FV_TRY(job->args->rows(job->args->context, i, first, n, job->numbers));
        if (writes && job->failed == FV_OK)
            note(job, write_rows(job, i, n * param->cols));
    }
    if (writes && job->failed == FV_OK && (i + 1 == job->params.n || job->shard[i] != job->shard[i + 1]))
        note(job, fv_safetensors_commit(&job->writer));
    return FV_OK;
}

static fv_err fill_index(const folder_writer *job, fv_json *root)
{
    char name[FILE_NAME_BYTES];
    int64_t total = 0;
    FV_TRY(fv_json_set(root, "metadata", fv_json_make_object()));
    FV_TRY(fv_json_set(root, "weight_map", fv_json_make_object()));
    for (int i = 0; i < job->params.n; i++) {
        shard_name(job, job->shard[i], name);
        total += bytes_of(job, i);
        FV_TRY(fv_json_set(fv_json_get(root, "weight_map"), job->names[i],
                           fv_json_make_string(name, strlen(name))));
    }
    return fv_json_set(fv_json_get(root, "metadata"), "total_size", fv_json_make_integer(total));
}

static fv_err write_index(const folder_writer *job)
{
    char path[PATH_MAX];
    fv_buffer text = {0};
    if (job->n_shards == 1)
        return FV_OK;
    FV_TRY(fv_file_path(path, sizeof path, job->path, "model.safetensors.index.json"));
    fv_json *root = fv_json_make_object();
    fv_err err = FV_OK;
    FV_CHECK_DONE(root, FV_ERR_MEMORY, "no memory for %s", path);
    FV_TRY_DONE(fill_index(job, root));
    FV_TRY_DONE(fv_json_print(root, 2, &text));
    FV_TRY_DONE(fv_file_write(path, text.data, text.size));
done:
    fv_buffer_fini(&text);
    fv_json_destroy(root);
    return err;
}

static fv_err make_empty_folder(const char *path)
{
    FV_TRY(fv_file_make_folder(path));
    DIR *folder = opendir(path);
    FV_CHECK(folder, FV_ERR_IO, "cannot open folder %s: %s", path, strerror(errno));
    int n = 0;
    while (n < 3 && readdir(folder))
        n++; /* "." and ".." are always there */
    closedir(folder);
    FV_CHECK(n < 3, FV_ERR_ARGUMENT, "%s is not empty: give a new folder, or empty this one", path);
    return FV_OK;
}

static fv_err write_tensors(folder_writer *job)
{
    for (int i = 0; i < job->params.n; i++) {
        fv_err err = write_param(job, i);
        if (err != FV_OK) {
            fv_safetensors_abandon(&job->writer);
            return err;
        }
    }
    return FV_OK;
}

static fv_err write_all(folder_writer *job)
{
    FV_TRY(prepare(job));
    if (job->args->writes)
        note(job, make_empty_folder(job->path));
    FV_TRY(write_tensors(job));
    if (!job->args->writes || job->failed != FV_OK)
        return job->failed;
    FV_TRY(write_index(job));
    FV_TRY(fv_folder_write_small_files(job->path, job->args));
    if (job->args->more)
        FV_TRY(job->args->more(job->args->context, job->path));
    return fv_folder_write_config(job->path, job->args);
}

fv_err fv_folder_write(const char *path, const fv_folder_write_args *args)
{
    folder_writer job = {.path = path, .args = args, .writer.file.descriptor = -1};
    FV_CHECK(args->style != FV_FOLDER_KEEP || args->source, FV_ERR_ARGUMENT,
             "there is no folder to write %s like", path);
    fv_err err = write_all(&job);
    fv_param_list_fini(&job.params);
    free(job.names);
    free(job.shard);
    free(job.numbers);
    free(job.stored);
    return err;
}
