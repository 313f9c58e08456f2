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

static runs runs_of_block(const fv_param *param, const fv_param_part *part, int64_t stride)
{
    int by_cols = param->split_dim == 1;
    runs all = {.n = by_cols ? part->rows : part->n, .length = by_cols ? part->n : part->cols};
    all.from_stride = param->cols;
    all.to_stride = stride;
    if (all.length == param->cols && all.length == stride) {
        all.length *= all.n;
        all.n = 1;
    }
    return all;
}

/* From a checkpoint: runs of numbers that lie side by side in the part and in the whole tensor. */
static fv_err read_saved(const fv_folder *folder, int param, const fv_param_part *part, float *out,
                         int64_t stride)
{
    int64_t n = part->rows * part->cols, whole;
    for (int64_t i = 0, run; i < n; i += run) {
        int64_t row = i / part->cols, col = i % part->cols,
                limit = stride == part->cols ? n - i : part->cols - col;
        run = fv_param_run(&folder->params.items[param], part, i, &whole);
        run = run < limit ? run : limit;
        FV_TRY(fv_checkpoint_read_param(folder->checkpoint, FV_CHECKPOINT_WEIGHTS, param, whole, run,
                                        out + row * stride + col));
    }
    return FV_OK;
}

fv_err fv_folder_read(const fv_folder *folder, int param, const fv_param_part *part, float *out,
                      int64_t stride)
{
    const fv_param *of = &folder->params.items[param];
    int by_cols = of->split_dim == 1;
    FV_CHECK(stride >= part->cols, FV_ERR_SHAPE, "%s: rows of %lld numbers, but %lld apart", of->name,
             (long long)part->cols, (long long)stride);
    if (folder->checkpoint)
        return read_saved(folder, param, part, out, stride);
    const fv_safetensor *tensor = folder->tensors[param];
    read_ahead(tensor);
    runs all = runs_of_block(of, part, stride);
    all.dtype = tensor->dtype;
    for (int block = 0; block < of->blocks; block++) {
        int64_t from = (part->first + block * part->stride) * (by_cols ? 1 : of->cols);
        all.from = tensor->data + (size_t)from * fv_dtype_bytes(tensor->dtype);
        all.to = out + block * part->n * (by_cols ? 1 : stride);
        convert(&all);
    }
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
