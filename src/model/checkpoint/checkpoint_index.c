/* The index of a checkpoint, made of the shards that all ranks have written.
 *
 * A shard is a piece of a flat buffer and knows no tensors. The index shows every tensor whole: a virtual
 * dataset whose blocks are the runs of elements that lie side by side both in the tensor and in a shard. So
 * readers need not know which ranks wrote it. Places and checksums of the shards come from their .done files;
 * the checksums of everything are written last, and with them the folder is a checkpoint. */
#include "checkpoint_internal.h"

#include "fovea/base/buffer.h"
#include "fovea/model/hf/small_files.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct finisher {
    const char *folder;
    const fv_checkpoint_args *args;
    fv_shard_table table;
    fv_hdf5_block *blocks;
    int *owner;
} finisher;

static fv_err read_header(const fv_hdf5 *file, fv_shard_place *out)
{
    static const char *const names[] = {"tensor_rank", "tensor_ranks", "first", "n", "moment_bytes"};
    uint64_t value[5] = {0}, n;
    for (int i = 0; i < 5; i++)
        FV_TRY(fv_hdf5_read_attribute(file, names[i], &value[i]));
    out->shard = (fv_shard){(int)value[0], (int)value[1], (int64_t)value[2], (int64_t)value[3],
                            value[4] == fv_dtype_bytes(FV_BF16) ? FV_BF16 : FV_F32};
    for (fv_checkpoint_set s = 0; s < FV_CHECKPOINT_N_SETS; s++)
        FV_TRY(fv_hdf5_locate(file, fv_checkpoint_set_name(s), fv_shard_dtype(&out->shard, s),
                              &out->offset[s], &n));
    return FV_OK;
}

static fv_err read_sums(const finisher *f, int number, fv_shard_place *out)
{
    char name[FV_SHARD_NAME_BYTES];
    fv_checksums sums;
    fv_shard_name(number, "done", name);
    FV_TRY(fv_checksums_read(f->folder, name, &sums));
    fv_err err = FV_OK;
    for (int i = 0; i < FV_N_SUMS; i++) {
        const fv_checksum *sum = fv_checksums_find(&sums, fv_sum_names[i]);
        FV_CHECK_DONE(sum, FV_ERR_FORMAT, "%s has no checksum of \"%s\"", sums.path, fv_sum_names[i]);
        memcpy(out->sum[i], sum->hex, sizeof out->sum[i]);
    }
done:
    fv_checksums_fini(&sums);
    return err;
}

static fv_err read_shard(const finisher *f, int number, fv_shard_place *out)
{
    char name[FV_SHARD_NAME_BYTES], path[PATH_MAX];
    fv_hdf5 *file;
    out->number = number;
    FV_TRY(read_sums(f, number, out));
    fv_shard_name(number, "h5", name);
    FV_TRY(fv_file_path(path, sizeof path, f->folder, name));
    FV_TRY(fv_file_size(path, &out->bytes));
    FV_TRY(fv_hdf5_open_own(path, &file));
    fv_err err = read_header(file, out);
    fv_hdf5_close(file);
    return err;
}

static fv_err read_shards(finisher *f)
{
    size_t n = (size_t)f->args->n_shards;
    FV_CHECK(f->args->n_shards > 0, FV_ERR_ARGUMENT, "a checkpoint of %d shards", f->args->n_shards);
    f->table.places = calloc(n, sizeof *f->table.places);
    FV_CHECK(f->table.places, FV_ERR_MEMORY, "no memory for %zu shards", n);
    f->table.n = (int)n;
    for (int i = 0; i < f->table.n; i++) {
        FV_TRY(read_shard(f, i, &f->table.places[i]));
        int ranks = f->table.places[i].shard.tensor_ranks;
        FV_CHECK(i == 0 || ranks == f->table.tensor_ranks, FV_ERR_FORMAT,
                 "%s: shard %d is of %d tensor ranks, the ones before of %d", f->folder, i, ranks,
                 f->table.tensor_ranks);
        f->table.tensor_ranks = ranks;
    }
    fv_err err = fv_shard_table_settle(&f->table, f->args->shape);
    return err == FV_OK ? FV_OK : fv_error_prefix(err, "%s", f->folder);
}

static fv_err write_tensor(finisher *f, fv_hdf5 *index, fv_checkpoint_set set, int param)
{
    const fv_param *of = &f->table.layouts[0].params.items[param];
    char name[FV_PARAM_NAME_BYTES + 16];
    size_t n = fv_shard_table_blocks(&f->table, param, f->blocks, f->owner);
    char(*files)[FV_SHARD_NAME_BYTES] = calloc(n, sizeof *files);
    FV_CHECK(files, FV_ERR_MEMORY, "no memory for %zu blocks of %s", n, of->name);
    for (size_t b = 0; b < n; b++) {
        fv_shard_name(f->table.places[f->owner[b]].number, "h5", files[b]);
        f->blocks[b].file = files[b];
        f->blocks[b].name = fv_checkpoint_set_name(set);
    }
    snprintf(name, sizeof name, "%s/%s", fv_checkpoint_set_name(set), of->name);
    fv_hdf5_shape shows = {.dtype = fv_shard_dtype(&f->table.places[0].shard, set), .n_dims = of->n_dims};
    memcpy(shows.dims, of->dim, sizeof of->dim);
    fv_err err = fv_hdf5_write_virtual(index, name, &shows, f->blocks, n);
    free(files);
    return err;
}

static fv_err write_tensors(finisher *f, fv_hdf5 *index)
{
    size_t n = fv_shard_table_max_blocks(&f->table);
    f->blocks = calloc(n, sizeof *f->blocks);
    f->owner = calloc(n, sizeof *f->owner);
    FV_CHECK(f->blocks && f->owner, FV_ERR_MEMORY, "no memory for %zu blocks of a tensor", n);
    for (fv_checkpoint_set s = 0; s < FV_CHECKPOINT_N_SETS; s++)
        for (int i = 0; i < f->table.layouts[0].params.n; i++)
            FV_TRY(write_tensor(f, index, s, i));
    return FV_OK;
}

static fv_err fill_index(finisher *f, fv_hdf5 *index)
{
    FV_TRY(fv_hdf5_write_attribute(index, "format_version", FV_CHECKPOINT_FORMAT));
    FV_TRY(fv_hdf5_write_attribute(index, "step", f->args->step));
    FV_TRY(fv_hdf5_write_attribute(index, "epoch", f->args->epoch));
    FV_TRY(fv_shard_table_write(&f->table, index));
    FV_TRY(write_tensors(f, index));
    return f->args->state ? f->args->state(f->args->context, index) : FV_OK;
}

static fv_err write_index(finisher *f)
{
    char path[PATH_MAX];
    fv_hdf5 *index;
    FV_TRY(fv_file_path(path, sizeof path, f->folder, "index.h5"));
    FV_TRY(fv_hdf5_create(path, &index));
    fv_err err = fill_index(f, index);
    fv_err closed = fv_hdf5_close(index);
    FV_TRY(err);
    FV_TRY(closed);
    return fv_file_sync(path);
}

/* A file of the checkpoint from, as it was written there. */
static fv_err take_file(const char *from, const char *to, const fv_checksum *item)
{
    char source[PATH_MAX], target[PATH_MAX];
    FV_TRY(fv_file_path(source, sizeof source, from, item->name));
    FV_TRY(fv_file_path(target, sizeof target, to, item->name));
    FV_TRY(fv_checksum_check(from, item));
    return link(source, target) == 0 ? FV_OK : fv_file_copy(source, target);
}

static fv_err take_files(const char *from, const char *to)
{
    fv_checksums sums;
    FV_TRY(fv_checksums_read(from, "checksums", &sums));
    fv_err err = FV_OK;
    for (int i = 0; i < sums.n && err == FV_OK; i++) {
        const char *name = sums.items[i].name;
        if (!fv_shard_is_name(name) && strcmp(name, "index.h5") != 0)
            err = take_file(from, to, &sums.items[i]);
    }
    fv_checksums_fini(&sums);
    return err;
}

/* The .done files go before checksums comes: what has checksums is whole. */
static fv_err remove_done(const finisher *f)
{
    char name[FV_SHARD_NAME_BYTES], path[PATH_MAX];
    for (int i = 0; i < f->table.n; i++) {
        fv_shard_name(i, "done", name);
        FV_TRY(fv_file_path(path, sizeof path, f->folder, name));
        FV_CHECK(unlink(path) == 0, FV_ERR_IO, "cannot remove %s: %s", path, strerror(errno));
    }
    return FV_OK;
}

static fv_err add_checksum(const finisher *f, const char *name, fv_buffer *text)
{
    char hex[FV_CHECKSUM_BYTES], shard[FV_SHARD_NAME_BYTES];
    for (int i = 0; i < f->table.n; i++) {
        fv_shard_name(f->table.places[i].number, "h5", shard);
        if (strcmp(name, shard) == 0)
            return fv_buffer_print(text, "%s  %s\n", f->table.places[i].sum[FV_SUM_FILE], name);
    }
    FV_TRY(fv_checksum_file(f->folder, name, hex));
    return fv_buffer_print(text, "%s  %s\n", hex, name);
}

static fv_err write_checksums(const finisher *f)
{
    char path[PATH_MAX], **names = NULL;
    fv_buffer text = {0};
    int n = 0;
    fv_err err = FV_OK;
    FV_TRY_DONE(fv_folder_list_files(f->folder, &names, &n));
    for (int i = 0; i < n; i++)
        FV_TRY_DONE(add_checksum(f, names[i], &text));
    FV_TRY_DONE(fv_file_path(path, sizeof path, f->folder, "checksums"));
    FV_TRY_DONE(fv_file_write(path, text.data, text.size));
done:
    fv_folder_free_names(names, n);
    fv_buffer_fini(&text);
    return err;
}

static fv_err finish(finisher *f)
{
    const char *source = f->args->source;
    FV_TRY(read_shards(f));
    FV_TRY(write_index(f));
    FV_TRY(fv_checkpoint_is(source) ? take_files(source, f->folder)
                                    : fv_folder_copy_small_files(source, f->folder));
    FV_TRY(remove_done(f));
    return write_checksums(f);
}

fv_err fv_checkpoint_finish(const char *folder, const fv_checkpoint_args *args)
{
    finisher f = {.folder = folder, .args = args};
    fv_err err = finish(&f);
    free(f.blocks);
    free(f.owner);
    fv_shard_table_fini(&f.table);
    return err;
}
