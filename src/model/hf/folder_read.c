#include "fovea/model/checkpoint/checkpoint.h"
#include "fovea/model/hf/folder.h"

#include <sys/mman.h>
#include <unistd.h>

enum { CHUNK = 1 << 16 /* numbers that one thread converts at a time */ };

/* Equal runs of numbers, each contiguous in the file and in memory. */
typedef struct runs {
    const uint8_t *from;
    float *to;
    int64_t n, length;              /* how many runs, numbers in each */
    int64_t from_stride, to_stride; /* numbers between the beginnings of neighbours */
    fv_dtype dtype;
} runs;

static void convert(const runs *all)
{
    int64_t n_chunks = (all->length + CHUNK - 1) / CHUNK;
    size_t bytes = fv_dtype_bytes(all->dtype);
#pragma omp parallel for collapse(2) schedule(static) if (all->n * all->length > CHUNK)
    for (int64_t run = 0; run < all->n; run++) {
        for (int64_t chunk = 0; chunk < n_chunks; chunk++) {
            int64_t first = chunk * CHUNK, rest = all->length - first;
            fv_dtype_decode(all->dtype, all->from + (size_t)(run * all->from_stride + first) * bytes,
                            rest < CHUNK ? rest : CHUNK, all->to + run * all->to_stride + first);
        }
    }
}

/* Start reading ahead: a hint, so its failure changes nothing. */
static void read_ahead(const fv_safetensor *tensor)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t begin = (uintptr_t)tensor->data / page * page;
    (void)madvise((void *)begin, (uintptr_t)tensor->data + tensor->bytes - begin, MADV_WILLNEED);
}

/* From a checkpoint: runs of numbers that lie side by side in the part and in the whole tensor. */
static fv_err read_saved(const fv_folder *folder, int param, const fv_param_part *part, int64_t first,
                         int64_t n, float *out)
{
    int64_t whole, begin = first * part->cols, end = begin + n * part->cols;
    for (int64_t i = begin, run; i < end; i += run) {
        run = fv_param_run(&folder->params.items[param], part, i, &whole);
        run = run < end - i ? run : end - i;
        FV_TRY(fv_checkpoint_read_param(folder->checkpoint, FV_CHECKPOINT_WEIGHTS, param, whole, run,
                                        out + i - begin));
    }
    return FV_OK;
}

/* Rows [first, first + n) of a part that is cut by columns: the columns of each block. */
static void read_columns(const fv_param *of, const fv_param_part *part, int64_t first, int64_t n, runs all)
{
    const uint8_t *data = all.from;
    float *out = all.to;
    all.n = n;
    all.length = part->n;
    all.from_stride = of->cols;
    all.to_stride = part->cols;
    for (int block = 0; block < of->blocks; block++) {
        int64_t from = first * of->cols + part->first + block * part->stride;
        all.from = data + (size_t)from * fv_dtype_bytes(all.dtype);
        all.to = out + block * part->n;
        convert(&all);
    }
}

/* ... and by rows, or not at all: the rows of each block that are among them. */
static void read_rows(const fv_param *of, const fv_param_part *part, int64_t first, int64_t n, runs all)
{
    const uint8_t *data = all.from;
    float *out = all.to;
    all.n = 1;
    for (int64_t row = first, count; row < first + n; row += count) {
        int64_t block = row / part->n, within = row % part->n, rest = part->n - within;
        count = rest < first + n - row ? rest : first + n - row;
        int64_t from = (part->first + block * part->stride + within) * of->cols;
        all.length = count * of->cols;
        all.from = data + (size_t)from * fv_dtype_bytes(all.dtype);
        all.to = out + (row - first) * of->cols;
        convert(&all);
    }
}

fv_err fv_folder_read(const fv_folder *folder, int param, const fv_param_part *part, int64_t first, int64_t n,
                      float *out)
{
    const fv_param *of = &folder->params.items[param];
    FV_CHECK(first >= 0 && n >= 0 && first + n <= part->rows, FV_ERR_SHAPE,
             "the part of %s has %lld rows, %lld to %lld wanted", of->name, (long long)part->rows,
             (long long)first, (long long)(first + n));
    if (folder->checkpoint)
        return read_saved(folder, param, part, first, n, out);
    const fv_safetensor *tensor = folder->tensors[param];
    if (first == 0)
        read_ahead(tensor);
    runs all = {.from = tensor->data, .to = out, .dtype = tensor->dtype};
    if (of->split_dim == 1)
        read_columns(of, part, first, n, all);
    else
        read_rows(of, part, first, n, all);
    return FV_OK;
}

fv_err fv_folder_read_rows(const fv_folder *folder, int param, int64_t first, int64_t n, float *out)
{
    const fv_param *of = &folder->params.items[param];
    FV_CHECK(first >= 0 && n >= 0 && first + n <= of->rows, FV_ERR_SHAPE,
             "%s has %lld rows, %lld to %lld wanted", of->name, (long long)of->rows, (long long)first,
             (long long)(first + n));
    if (folder->checkpoint)
        return fv_checkpoint_read_param(folder->checkpoint, FV_CHECKPOINT_WEIGHTS, param, first * of->cols,
                                        n * of->cols, out);
    const fv_safetensor *tensor = folder->tensors[param];
    runs all = {.n = 1, .length = n * of->cols, .to = out, .dtype = tensor->dtype};
    all.from = tensor->data + (size_t)(first * of->cols) * fv_dtype_bytes(tensor->dtype);
    convert(&all);
    return FV_OK;
}
