#include "checkpoint_internal.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int fv_checkpoint_is(const char *folder)
{
    char path[PATH_MAX];
    return fv_file_path(path, sizeof path, folder, "index.h5") == FV_OK && fv_file_exists(path);
}

/* Everything but the shards, whose numbers are compared when they are read or verified. */
static fv_err check_files(const char *folder, const fv_checksums *sums)
{
    FV_TRY(fv_checksums_check_names(folder, sums));
    FV_CHECK(fv_checksums_find(sums, "index.h5"), FV_ERR_FORMAT, "%s does not list index.h5", sums->path);
    for (int i = 0; i < sums->n; i++)
        if (!fv_shard_is_name(sums->items[i].name))
            FV_TRY(fv_checksum_check(folder, &sums->items[i]));
    return FV_OK;
}

/* The library may fail badly on a damaged file, so its checksum comes before it. */
static fv_err open_index(fv_checkpoint *c)
{
    char path[PATH_MAX];
    fv_checksums sums;
    uint64_t version;
    FV_TRY(fv_checksums_read(c->path, "checksums", &sums));
    fv_err err = check_files(c->path, &sums);
    fv_checksums_fini(&sums);
    FV_TRY(err);
    FV_TRY(fv_file_path(path, sizeof path, c->path, "index.h5"));
    FV_TRY(fv_hdf5_open(path, &c->index));
    FV_TRY(fv_hdf5_read_attribute(c->index, "format_version", &version));
    FV_CHECK(version == FV_CHECKPOINT_FORMAT, FV_ERR_UNSUPPORTED,
             "%s has format_version %llu, this program reads %d: use the program that wrote it, or a newer "
             "one",
             path, (unsigned long long)version, FV_CHECKPOINT_FORMAT);
    FV_TRY(fv_hdf5_read_attribute(c->index, "epoch", &c->epoch));
    return fv_hdf5_read_attribute(c->index, "step", &c->step);
}

typedef struct tensor_check {
    const fv_checkpoint *checkpoint;
    const char *group;
} tensor_check;

static fv_err check_known(void *context, const char *name)
{
    const tensor_check *check = context;
    FV_CHECK(fv_param_find(&check->checkpoint->table.layouts[0].params, name), FV_ERR_FORMAT,
             "tensor \"%.128s\" in \"%s\" of index.h5 is not of the model of config.json", name,
             check->group);
    return FV_OK;
}

static fv_err check_tensor(const tensor_check *check, const fv_param *param)
{
    char name[FV_PARAM_NAME_BYTES + 16];
    int n_dims;
    int64_t dims[FV_HDF5_MAX_DIMS];
    snprintf(name, sizeof name, "%s/%s", check->group, param->name);
    FV_CHECK(fv_hdf5_has(check->checkpoint->index, name), FV_ERR_FORMAT,
             "tensor \"%s\", which config.json asks for, is missing in index.h5", name);
    FV_TRY(fv_hdf5_dims(check->checkpoint->index, name, &n_dims, dims));
    int fits = n_dims == param->n_dims && memcmp(dims, param->dim, (size_t)n_dims * sizeof *dims) == 0;
    FV_CHECK(fits, FV_ERR_SHAPE,
             "tensor \"%s\" of index.h5 has %lld rows and %d dimensions, expected %lld "
             "and %d by config.json",
             name, n_dims ? (long long)dims[0] : 0, n_dims, (long long)param->dim[0], param->n_dims);
    return FV_OK;
}

static fv_err check_tensors(const fv_checkpoint *c)
{
    const fv_param_list *params = &c->table.layouts[0].params;
    for (fv_checkpoint_set s = 0; s < FV_CHECKPOINT_N_SETS; s++) {
        tensor_check check = {c, fv_checkpoint_set_name(s)};
        FV_TRY(fv_hdf5_list(c->index, check.group, check_known, &check));
        for (int i = 0; i < params->n; i++)
            FV_TRY(check_tensor(&check, &params->items[i]));
    }
    return FV_OK;
}

static fv_err map_shard(const fv_checkpoint *c, const fv_shard_place *place, fv_file_map *out)
{
    char name[FV_SHARD_NAME_BYTES], path[PATH_MAX];
    fv_shard_name(place->number, "h5", name);
    FV_TRY(fv_file_path(path, sizeof path, c->path, name));
    FV_TRY(fv_file_open_map(path, out));
    FV_CHECK(out->size == place->bytes, FV_ERR_FORMAT, "%s has %zu bytes, and had %llu when it was written",
             path, out->size, (unsigned long long)place->bytes);
    uint64_t bytes = (uint64_t)place->shard.n * sizeof(float);
    for (int s = 0; s < FV_CHECKPOINT_N_SETS; s++)
        FV_CHECK(place->offset[s] % sizeof(float) == 0 && place->offset[s] <= out->size &&
                     bytes <= out->size - place->offset[s],
                 FV_ERR_FORMAT, "%s: the numbers are said to be beyond its end", path);
    return FV_OK;
}

static fv_err map_shards(fv_checkpoint *c)
{
    c->maps = calloc((size_t)c->table.n, sizeof *c->maps);
    FV_CHECK(c->maps, FV_ERR_MEMORY, "no memory for %d shards", c->table.n);
    for (int i = 0; i < c->table.n; i++)
        FV_TRY(map_shard(c, &c->table.places[i], &c->maps[i]));
    return FV_OK;
}

static fv_err open_all(fv_checkpoint *c)
{
    FV_TRY(open_index(c));
    FV_TRY(fv_model_shape_load(c->path, &c->shape, NULL));
    FV_TRY(fv_shard_table_read(c->index, &c->table));
    fv_err err = fv_shard_table_settle(&c->table, &c->shape);
    if (err == FV_OK)
        err = check_tensors(c);
    if (err != FV_OK)
        return fv_error_prefix(err, "%s", c->path);
    return map_shards(c);
}

fv_err fv_checkpoint_open(const char *folder, fv_checkpoint **out)
{
    *out = NULL;
    fv_checkpoint *c = calloc(1, sizeof *c);
    FV_CHECK(c, FV_ERR_MEMORY, "no memory to open %s", folder);
    c->path = strdup(folder);
    fv_err err = c->path ? open_all(c) : FV_FAIL(FV_ERR_MEMORY, "no memory for the path %s", folder);
    if (err == FV_OK)
        *out = c;
    else
        fv_checkpoint_close(c);
    return err;
}

void fv_checkpoint_close(fv_checkpoint *c)
{
    if (!c)
        return;
    for (int i = 0; c->maps && i < c->table.n; i++)
        fv_file_close_map(&c->maps[i]);
    free(c->maps);
    fv_shard_table_fini(&c->table);
    fv_hdf5_close(c->index);
    free(c->path);
    free(c);
}

const fv_model_shape *fv_checkpoint_shape(const fv_checkpoint *c)
{
    return &c->shape;
}

const fv_hdf5 *fv_checkpoint_state(const fv_checkpoint *c)
{
    return c->index;
}

fv_checkpoint_facts fv_checkpoint_facts_of(const fv_checkpoint *c)
{
    fv_checkpoint_facts facts = {c->step, c->epoch, 0, c->table.n, c->table.tensor_ranks};
    for (int i = 0; i < c->table.n; i++)
        facts.bytes += c->table.places[i].bytes;
    return facts;
}
