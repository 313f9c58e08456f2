#include "checkpoint_internal.h"

#include "fovea/base/buffer.h"
#include "fovea/base/phase.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK = 1 << 18 /* bytes hashed, then written, at a time: they stay in the core's cache */ };

struct fv_shard_writer {
    char path[PATH_MAX], done[PATH_MAX];
    uint64_t begin[FV_CHECKPOINT_N_SETS], end[FV_CHECKPOINT_N_SETS], size; /* bytes of the file */
    size_t bytes[FV_CHECKPOINT_N_SETS];                                    /* of a number */
    uint64_t position; /* every byte before it is in the file and in the checksums */
    int descriptor;
    XXH3_state_t *sums[FV_N_SUMS];
    uint8_t *block;
};

const char *const fv_sum_names[FV_N_SUMS] = {"weights", "exp_avg", "exp_avg_sq", "header", "file"};

const char *fv_checkpoint_set_name(fv_checkpoint_set set)
{
    return fv_sum_names[set];
}

void fv_shard_name(int number, const char *ending, char out[FV_SHARD_NAME_BYTES])
{
    snprintf(out, FV_SHARD_NAME_BYTES, "shard_%05d.%s", number, ending);
}

int fv_shard_is_name(const char *name)
{
    return strncmp(name, "shard_", 6) == 0;
}

fv_dtype fv_shard_dtype(const fv_shard *shard, fv_checkpoint_set set)
{
    return set == FV_CHECKPOINT_WEIGHTS ? FV_F32 : shard->moments;
}

static fv_err write_header(fv_hdf5 *file, const fv_shard *shard)
{
    FV_TRY(fv_hdf5_write_attribute(file, "tensor_rank", (uint64_t)shard->tensor_rank));
    FV_TRY(fv_hdf5_write_attribute(file, "tensor_ranks", (uint64_t)shard->tensor_ranks));
    FV_TRY(fv_hdf5_write_attribute(file, "first", (uint64_t)shard->first));
    FV_TRY(fv_hdf5_write_attribute(file, "n", (uint64_t)shard->n));
    FV_TRY(fv_hdf5_write_attribute(file, "moment_bytes", fv_dtype_bytes(shard->moments)));
    for (fv_checkpoint_set s = 0; s < FV_CHECKPOINT_N_SETS; s++)
        FV_TRY(fv_hdf5_reserve(file, fv_sum_names[s], fv_shard_dtype(shard, s), (uint64_t)shard->n));
    return FV_OK;
}

static fv_err locate_sets(fv_shard_writer *w, const fv_shard *shard, const fv_hdf5 *file)
{
    uint64_t n;
    for (fv_checkpoint_set s = 0; s < FV_CHECKPOINT_N_SETS; s++) {
        fv_dtype dtype = fv_shard_dtype(shard, s);
        FV_TRY(fv_hdf5_locate(file, fv_sum_names[s], dtype, &w->begin[s], &n));
        w->bytes[s] = fv_dtype_bytes(dtype);
        w->end[s] = w->begin[s] + n * w->bytes[s];
        FV_CHECK(s == 0 || w->begin[s] >= w->end[s - 1], FV_ERR_INTERNAL,
                 "%s: the datasets do not lie in the order in which they were made", w->path);
    }
    return FV_OK;
}

/* The library writes everything but the numbers. */
static fv_err make_file(fv_shard_writer *w, const fv_shard *shard)
{
    fv_hdf5 *file;
    FV_TRY(fv_hdf5_create(w->path, &file));
    fv_err err = write_header(file, shard);
    if (err == FV_OK)
        err = locate_sets(w, shard, file);
    fv_err closed = fv_hdf5_close(file);
    return err == FV_OK ? closed : err;
}

static fv_err allocate(fv_shard_writer *w)
{
    w->block = aligned_alloc(FV_COPY_ALIGN, BLOCK);
    int failed = !w->block;
    for (int i = 0; i < FV_N_SUMS; i++)
        failed |= (w->sums[i] = XXH3_createState()) == NULL;
    FV_CHECK(!failed, FV_ERR_MEMORY, "no memory to write %s", w->path);
    for (int i = 0; i < FV_N_SUMS; i++)
        XXH3_128bits_reset(w->sums[i]);
    return FV_OK;
}

static fv_err begin(fv_shard_writer *w, const char *folder, int number, const fv_shard *shard)
{
    char name[FV_SHARD_NAME_BYTES], done[FV_SHARD_NAME_BYTES];
    FV_CHECK(shard->n > 0, FV_ERR_ARGUMENT, "shard %d has no numbers: take fewer ranks", number);
    fv_shard_name(number, "h5", name);
    fv_shard_name(number, "done", done);
    FV_TRY(fv_file_path(w->path, sizeof w->path, folder, name));
    FV_TRY(fv_file_path(w->done, sizeof w->done, folder, done));
    FV_TRY(allocate(w));
    FV_TRY(make_file(w, shard));
    w->descriptor = open(w->path, O_RDWR | O_CLOEXEC);
    off_t size = w->descriptor < 0 ? -1 : lseek(w->descriptor, 0, SEEK_END);
    FV_CHECK(size >= 0, FV_ERR_IO, "cannot open %s: %s", w->path, strerror(errno));
    w->size = (uint64_t)size;
    return FV_OK;
}

fv_err fv_shard_create(const char *folder, int number, const fv_shard *shard, fv_shard_writer **out)
{
    fv_shard_writer *w = calloc(1, sizeof *w);
    *out = NULL;
    FV_CHECK(w, FV_ERR_MEMORY, "no memory to write a shard");
    w->descriptor = -1;
    fv_err err = begin(w, folder, number, shard);
    if (err == FV_OK)
        *out = w;
    else
        fv_shard_abandon(w);
    return err;
}

/* The next bytes of the file, which do not cross the border of a set. */
static void absorb(fv_shard_writer *w, const void *data, size_t bytes)
{
    int owner = FV_SUM_HEADER;
    fv_phase_move();
    for (int s = 0; s < FV_CHECKPOINT_N_SETS; s++)
        if (w->position >= w->begin[s] && w->position < w->end[s])
            owner = s;
    XXH3_128bits_update(w->sums[owner], data, bytes);
    XXH3_128bits_update(w->sums[FV_SUM_FILE], data, bytes);
    w->position += bytes;
}

static uint64_t next_border(const fv_shard_writer *w)
{
    for (int s = 0; s < FV_CHECKPOINT_N_SETS; s++) {
        if (w->position < w->begin[s])
            return w->begin[s];
        if (w->position < w->end[s])
            return w->end[s];
    }
    return w->size;
}

/* Take what the file holds already, up to byte end: the library's part, and zeros. */
static fv_err skip_to(fv_shard_writer *w, uint64_t end)
{
    while (w->position < end) {
        uint64_t border = next_border(w), stop = border < end ? border : end;
        size_t bytes = stop - w->position < BLOCK ? (size_t)(stop - w->position) : BLOCK;
        ssize_t n = pread(w->descriptor, w->block, bytes, (off_t)w->position);
        if (n < 0 && errno == EINTR)
            continue;
        FV_CHECK(n > 0, FV_ERR_IO, "cannot read %s: %s", w->path, n ? strerror(errno) : "it was cut");
        absorb(w, w->block, (size_t)n);
    }
    return FV_OK;
}

static fv_err write_block(fv_shard_writer *w, const uint8_t *data, size_t bytes)
{
    off_t place = (off_t)w->position;
    absorb(w, data, bytes);
    while (bytes > 0) {
        ssize_t n = pwrite(w->descriptor, data, bytes, place);
        if (n < 0 && errno == EINTR)
            continue;
        FV_CHECK(n >= 0, FV_ERR_IO, "cannot write %s: %s", w->path, strerror(errno));
        data += n;
        place += n;
        bytes -= (size_t)n;
    }
    return FV_OK;
}

fv_err fv_shard_append(fv_shard_writer *w, fv_checkpoint_set set, const void *data, int64_t n)
{
    const uint8_t *from = data;
    size_t rest = (size_t)n * w->bytes[set];
    FV_TRY(skip_to(w, w->begin[set]));
    FV_CHECK(w->position <= w->end[set] && rest <= w->end[set] - w->position, FV_ERR_INTERNAL,
             "%s: more numbers for \"%s\" than it has, or too late", w->path, fv_sum_names[set]);
    for (size_t bytes; rest > 0; from += bytes, rest -= bytes) {
        bytes = rest < BLOCK ? rest : BLOCK;
        FV_TRY(write_block(w, from, bytes));
    }
    return FV_OK;
}

static fv_err write_done(const fv_shard_writer *w)
{
    fv_buffer text = {0};
    char hex[FV_CHECKSUM_BYTES];
    fv_err err = FV_OK;
    for (int i = 0; i < FV_N_SUMS && err == FV_OK; i++) {
        fv_checksum_print(w->sums[i], hex);
        err = fv_buffer_print(&text, "%s  %s\n", hex, fv_sum_names[i]);
    }
    if (err == FV_OK)
        err = fv_file_write(w->done, text.data, text.size);
    fv_buffer_fini(&text);
    return err;
}

static fv_err finish(fv_shard_writer *w)
{
    FV_TRY(skip_to(w, w->size));
    FV_CHECK(fsync(w->descriptor) == 0, FV_ERR_IO, "cannot write %s: %s", w->path, strerror(errno));
    int failed = close(w->descriptor) != 0;
    w->descriptor = -1;
    FV_CHECK(!failed, FV_ERR_IO, "cannot write %s: %s", w->path, strerror(errno));
    return write_done(w);
}

fv_err fv_shard_commit(fv_shard_writer *w)
{
    fv_err err = finish(w);
    fv_shard_abandon(w);
    return err;
}

void fv_shard_abandon(fv_shard_writer *w)
{
    if (!w)
        return;
    if (w->descriptor >= 0)
        close(w->descriptor);
    for (int i = 0; i < FV_N_SUMS; i++)
        XXH3_freeState(w->sums[i]);
    free(w->block);
    free(w);
}

fv_err fv_shard_write(const char *folder, int number, const fv_shard *shard,
                      const void *const sets[FV_CHECKPOINT_N_SETS])
{
    fv_shard_writer *w;
    fv_err err = FV_OK;
    FV_TRY(fv_shard_create(folder, number, shard, &w));
    for (int s = 0; s < FV_CHECKPOINT_N_SETS; s++)
        if (sets[s])
            FV_TRY_DONE(fv_shard_append(w, (fv_checkpoint_set)s, sets[s], shard->n));
    return fv_shard_commit(w);
done:
    fv_shard_abandon(w);
    return err;
}
