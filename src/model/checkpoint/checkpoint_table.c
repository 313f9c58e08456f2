#include "checkpoint_internal.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMN_NAME_BYTES = 48, MAX_SHARDS = 100000 };

/* The columns of whole numbers that describe a shard, but those of its sets. */
enum { TENSOR_RANK, FIRST, COUNT, NUMBER, BYTES, MOMENT_BYTES, N_COLUMNS };

static const char *const column_names[N_COLUMNS] = {"shards/tensor_rank", "shards/first",
                                                    "shards/n",           "shards/number",
                                                    "shards/file_bytes",  "shards/moment_bytes"};

static void get_row(const fv_shard_place *place, uint64_t row[N_COLUMNS])
{
    row[TENSOR_RANK] = (uint64_t)place->shard.tensor_rank;
    row[FIRST] = (uint64_t)place->shard.first;
    row[COUNT] = (uint64_t)place->shard.n;
    row[NUMBER] = (uint64_t)place->number;
    row[BYTES] = place->bytes;
    row[MOMENT_BYTES] = fv_dtype_bytes(place->shard.moments);
}

static fv_err set_row(fv_shard_place *place, const uint64_t row[N_COLUMNS])
{
    FV_CHECK(row[TENSOR_RANK] < MAX_SHARDS && row[NUMBER] < MAX_SHARDS && row[FIRST] <= INT64_MAX / 8 &&
                 row[COUNT] <= INT64_MAX / 8,
             FV_ERR_FORMAT, "a shard's number is out of range");
    FV_CHECK(row[MOMENT_BYTES] == fv_dtype_bytes(FV_F32) || row[MOMENT_BYTES] == fv_dtype_bytes(FV_BF16),
             FV_ERR_FORMAT, "moments of %llu bytes, expected %zu or %zu",
             (unsigned long long)row[MOMENT_BYTES], fv_dtype_bytes(FV_F32), fv_dtype_bytes(FV_BF16));
    place->shard.tensor_rank = (int)row[TENSOR_RANK];
    place->shard.first = (int64_t)row[FIRST];
    place->shard.n = (int64_t)row[COUNT];
    place->number = (int)row[NUMBER];
    place->bytes = row[BYTES];
    place->shard.moments = row[MOMENT_BYTES] == fv_dtype_bytes(FV_BF16) ? FV_BF16 : FV_F32;
    return FV_OK;
}

static const char *column_of(const char *what, const char *kind, char out[COLUMN_NAME_BYTES])
{
    snprintf(out, COLUMN_NAME_BYTES, "shards/%s_%s", what, kind);
    return out;
}

static fv_err write_numbers(const fv_shard_table *table, fv_hdf5 *index, uint64_t *column)
{
    uint64_t row[N_COLUMNS];
    char name[COLUMN_NAME_BYTES];
    const int64_t n = table->n;
    for (int c = 0; c < N_COLUMNS; c++) {
        for (int i = 0; i < table->n; i++) {
            get_row(&table->places[i], row);
            column[i] = row[c];
        }
        FV_TRY(fv_hdf5_write(index, column_names[c], FV_U64, 1, &n, column));
    }
    for (fv_checkpoint_set s = 0; s < FV_CHECKPOINT_N_SETS; s++) {
        for (int i = 0; i < table->n; i++)
            column[i] = table->places[i].offset[s];
        FV_TRY(fv_hdf5_write(index, column_of(fv_checkpoint_set_name(s), "offset", name), FV_U64, 1, &n,
                             column));
    }
    return FV_OK;
}

static fv_err write_sums(const fv_shard_table *table, fv_hdf5 *index, const char **column)
{
    char name[COLUMN_NAME_BYTES];
    const int64_t n = table->n;
    for (int sum = 0; sum < FV_N_SUMS; sum++) {
        for (int i = 0; i < table->n; i++)
            column[i] = table->places[i].sum[sum];
        FV_TRY(
            fv_hdf5_write(index, column_of(fv_sum_names[sum], "xxh128", name), FV_HDF5_TEXT, 1, &n, column));
    }
    return FV_OK;
}

fv_err fv_shard_table_write(const fv_shard_table *table, fv_hdf5 *index)
{
    FV_TRY(fv_hdf5_write_attribute(index, "tensor_ranks", (uint64_t)table->tensor_ranks));
    FV_TRY(fv_hdf5_write_attribute(index, "data_ranks", (uint64_t)(table->n / table->tensor_ranks)));
    uint64_t *numbers = calloc((size_t)table->n, sizeof *numbers);
    const char **sums = calloc((size_t)table->n, sizeof *sums);
    fv_err err = numbers && sums ? write_numbers(table, index, numbers)
                                 : FV_FAIL(FV_ERR_MEMORY, "no memory for %d shards", table->n);
    if (err == FV_OK)
        err = write_sums(table, index, sums);
    free(numbers);
    free(sums);
    return err;
}

static fv_err read_sum(const fv_hdf5 *index, const char *name, int i, char out[FV_CHECKSUM_BYTES])
{
    char *text;
    FV_TRY(fv_hdf5_read_range(index, name, FV_HDF5_TEXT, (uint64_t)i, 1, &text));
    snprintf(out, FV_CHECKSUM_BYTES, "%s", text);
    free(text);
    return FV_OK;
}

static fv_err read_row(const fv_hdf5 *index, int i, fv_shard_place *out)
{
    uint64_t row[N_COLUMNS];
    char name[COLUMN_NAME_BYTES];
    for (int c = 0; c < N_COLUMNS; c++)
        FV_TRY(fv_hdf5_read_range(index, column_names[c], FV_U64, (uint64_t)i, 1, &row[c]));
    FV_TRY(set_row(out, row));
    for (fv_checkpoint_set s = 0; s < FV_CHECKPOINT_N_SETS; s++)
        FV_TRY(fv_hdf5_read_range(index, column_of(fv_checkpoint_set_name(s), "offset", name), FV_U64,
                                  (uint64_t)i, 1, &out->offset[s]));
    for (int sum = 0; sum < FV_N_SUMS; sum++)
        FV_TRY(read_sum(index, column_of(fv_sum_names[sum], "xxh128", name), i, out->sum[sum]));
    return FV_OK;
}

fv_err fv_shard_table_read(const fv_hdf5 *index, fv_shard_table *out)
{
    int n_dims;
    int64_t dims[FV_HDF5_MAX_DIMS];
    uint64_t tensor_ranks;
    FV_TRY(fv_hdf5_dims(index, column_names[0], &n_dims, dims));
    FV_TRY(fv_hdf5_read_attribute(index, "tensor_ranks", &tensor_ranks));
    FV_CHECK(n_dims == 1 && dims[0] > 0 && dims[0] <= MAX_SHARDS && tensor_ranks <= MAX_SHARDS, FV_ERR_FORMAT,
             "%s is not a list of at most %d shards", column_names[0], MAX_SHARDS);
    out->places = calloc((size_t)dims[0], sizeof *out->places);
    FV_CHECK(out->places, FV_ERR_MEMORY, "no memory for %lld shards", (long long)dims[0]);
    out->n = (int)dims[0];
    out->tensor_ranks = (int)tensor_ranks;
    for (int i = 0; i < out->n; i++) {
        FV_TRY(read_row(index, i, &out->places[i]));
        out->places[i].shard.tensor_ranks = out->tensor_ranks;
    }
    return FV_OK;
}
