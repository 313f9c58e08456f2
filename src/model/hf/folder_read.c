#include "fovea/model/checkpoint/checkpoint.h"
#include "fovea/model/hf/folder.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    CHUNK = 1 << 16, /* numbers that one thread converts at a time */
    PIECE = 1 << 12  /* ... of them through fp32 */
};

/* Equal runs of numbers, each contiguous in the file and in memory. */
typedef struct runs {
    const uint8_t *from;
    uint8_t *to;
    int64_t n, length;              /* how many runs, numbers in each */
    int64_t from_stride, to_stride; /* numbers between the beginnings of neighbours */
    fv_dtype dtype, to_dtype;
} runs;

static void convert_numbers(fv_dtype from_dtype, const uint8_t *from, fv_dtype to_dtype, uint8_t *to,
                            int64_t n)
{
    size_t from_bytes = fv_dtype_bytes(from_dtype), to_bytes = fv_dtype_bytes(to_dtype);
    float numbers[PIECE];
    if (from_dtype == to_dtype)
        memcpy(to, from, (size_t)n * to_bytes);
    else if (to_dtype == FV_F32)
        fv_dtype_decode(from_dtype, from, n, (float *)(void *)to);
    else
        for (int64_t at = 0; at < n; at += PIECE) {
            int64_t count = n - at < PIECE ? n - at : PIECE;
            fv_dtype_decode(from_dtype, from + (size_t)at * from_bytes, count, numbers);
            fv_dtype_encode(to_dtype, numbers, count, to + (size_t)at * to_bytes);
        }
}

static void convert(const runs *all)
{
    int64_t n_chunks = (all->length + CHUNK - 1) / CHUNK;
    size_t from_bytes = fv_dtype_bytes(all->dtype), to_bytes = fv_dtype_bytes(all->to_dtype);
#pragma omp parallel for collapse(2) schedule(static) if (all->n * all->length > CHUNK)
    for (int64_t run = 0; run < all->n; run++) {
        for (int64_t chunk = 0; chunk < n_chunks; chunk++) {
            int64_t first = chunk * CHUNK, rest = all->length - first;
            convert_numbers(all->dtype, all->from + (size_t)(run * all->from_stride + first) * from_bytes,
                            all->to_dtype, all->to + (size_t)(run * all->to_stride + first) * to_bytes,
                            rest < CHUNK ? rest : CHUNK);
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
                         int64_t n, fv_folder_out out)
{
    int64_t whole, begin = first * part->cols, end = begin + n * part->cols;
    float numbers[PIECE];
    for (int64_t i = begin, run; i < end; i += run) {
        int is_f32 = out.dtype == FV_F32;
        uint8_t *to = (uint8_t *)out.data + (size_t)(i - begin) * fv_dtype_bytes(out.dtype);
        run = fv_param_run(&folder->params.items[param], part, i, &whole);
        run = run < end - i ? run : end - i;
        run = is_f32 || run < PIECE ? run : PIECE;
        FV_TRY(fv_checkpoint_read_param(folder->checkpoint, FV_CHECKPOINT_WEIGHTS, param, whole, run,
                                        is_f32 ? (float *)(void *)to : numbers));
        if (!is_f32)
            fv_dtype_encode(out.dtype, numbers, run, to);
    }
    return FV_OK;
}

/* Rows [first, first + n) of a part that is cut by columns: the columns of each block. */
static void read_columns(const fv_param *of, const fv_param_part *part, int64_t first, int64_t n, runs all)
{
    const uint8_t *data = all.from;
    uint8_t *out = all.to;
    all.n = n;
    all.length = part->n;
    all.from_stride = of->cols;
    all.to_stride = part->cols;
    for (int block = 0; block < of->blocks; block++) {
        int64_t from = first * of->cols + part->first + block * part->stride;
        all.from = data + (size_t)from * fv_dtype_bytes(all.dtype);
        all.to = out + (size_t)(block * part->n) * fv_dtype_bytes(all.to_dtype);
        convert(&all);
    }
}

/* ... and by rows, or not at all: the rows of each block that are among them. */
static void read_rows(const fv_param *of, const fv_param_part *part, int64_t first, int64_t n, runs all)
{
    const uint8_t *data = all.from;
    uint8_t *out = all.to;
    all.n = 1;
    for (int64_t row = first, count; row < first + n; row += count) {
        int64_t block = row / part->n, within = row % part->n, rest = part->n - within;
        count = rest < first + n - row ? rest : first + n - row;
        int64_t from = (part->first + block * part->stride + within) * of->cols;
        all.length = count * of->cols;
        all.from = data + (size_t)from * fv_dtype_bytes(all.dtype);
        all.to = out + (size_t)((row - first) * of->cols) * fv_dtype_bytes(all.to_dtype);
        convert(&all);
    }
}

fv_err fv_folder_read(const fv_folder *folder, int param, const fv_param_part *part, int64_t first, int64_t n,
                      fv_folder_out out)
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
    runs all = {.from = tensor->data, .to = out.data, .dtype = tensor->dtype, .to_dtype = out.dtype};
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
    runs all = {
        .n = 1, .length = n * of->cols, .to = (uint8_t *)out, .dtype = tensor->dtype, .to_dtype = FV_F32};
    all.from = tensor->data + (size_t)(first * of->cols) * fv_dtype_bytes(tensor->dtype);
    convert(&all);
    return FV_OK;
}
