/* A checkpoint is opened: nothing of it is believed before its sums, tables and shards are as they were
 * written (checkpoint_shard.c, checkpoint_index.c). */
#include "checkpoint_internal.h"

#include "fovea/io/safetensors.h"

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
static fv_err check_small_files(const char *folder, const fv_checksums *sums)
{
    for (int i = 0; i < sums->n; i++)
        if (!fv_shard_is_name(sums->items[i].name))
            FV_TRY(fv_checksum_check(folder, &sums->items[i]));
    return FV_OK;
}

static fv_err open_index(fv_checkpoint *c)
{
    char path[PATH_MAX];
    uint64_t version;
    FV_TRY(fv_file_path(path, sizeof path, c->path, "index.h5"));
    FV_TRY(fv_hdf5_open_index(path, &c->index));
    FV_TRY(fv_hdf5_read_attribute(c->index, "format_version", &version));
    FV_CHECK(version == FV_CHECKPOINT_FORMAT, FV_ERR_UNSUPPORTED,
             "%s has format_version %llu, this program reads %d: %s", path, (unsigned long long)version,
             FV_CHECKPOINT_FORMAT,
             version > FV_CHECKPOINT_FORMAT
                 ? "use a newer fovea"
                 : "end the run with the fovea that wrote it, or take its model over (that program's fovea "
                   "ckpt export, then fovea import)");
    FV_TRY(fv_hdf5_read_attribute(c->index, "epoch", &c->epoch));
    return fv_hdf5_read_attribute(c->index, "step", &c->step);
}

typedef struct tensor_check {
    const fv_hdf5 *index;
    const fv_param_list *expected;
    const char *group;
} tensor_check;

static fv_err check_known(void *context, const char *name)
{
    const tensor_check *check = context;
    FV_CHECK(fv_param_find(check->expected, name), FV_ERR_FORMAT,
             "index.h5 has tensor \"%s/%.128s\", which is not of the model of config.json", check->group,
             name);
    return FV_OK;
}

static fv_err check_tensor(const tensor_check *check, const fv_param *param)
{
    char name[FV_PARAM_NAME_BYTES + 16], found[128], expected[128];
    int n_dims;
    int64_t dims[FV_HDF5_MAX_DIMS];
    snprintf(name, sizeof name, "%s/%s", check->group, param->name);
    FV_CHECK(fv_hdf5_has(check->index, name), FV_ERR_FORMAT,
             "index.h5 has no tensor \"%s\", which config.json asks for", name);
    FV_TRY(fv_hdf5_dims(check->index, name, &n_dims, dims));
    fv_safetensor_print_dims(dims, n_dims, found, sizeof found);
    fv_safetensor_print_dims(param->dim, param->n_dims, expected, sizeof expected);
    FV_CHECK(strcmp(found, expected) == 0, FV_ERR_SHAPE,
             "index.h5 has tensor \"%s\" of shape %s, expected %s by config.json", name, found, expected);
    return FV_OK;
}

static fv_err check_tensors(const fv_hdf5 *index, const fv_param_list *expected)
{
    for (fv_checkpoint_set s = 0; s < FV_CHECKPOINT_N_SETS; s++) {
        tensor_check check = {index, expected, fv_checkpoint_set_name(s)};
        for (int i = 0; i < expected->n; i++)
            FV_TRY(check_tensor(&check, &expected->items[i]));
        FV_TRY(fv_hdf5_list(index, check.group, check_known, &check));
    }
    return FV_OK;
}

/* That index.h5 is of the model of config.json. */
static fv_err check_model(const fv_checkpoint *c)
{
    fv_param_list expected;
    FV_TRY(fv_param_list_init(&expected, &c->shape));
    fv_err err = check_tensors(c->index, &expected);
    fv_param_list_fini(&expected);
    return err;
}

/* The sets lie within the file, one behind the other. */
static fv_err check_places(const char *path, const fv_shard_place *place, uint64_t size)
{
    uint64_t end = 0;
    FV_CHECK(size == place->bytes, FV_ERR_FORMAT, "%s has %llu bytes, and had %llu when it was written", path,
             (unsigned long long)size, (unsigned long long)place->bytes);
    for (fv_checkpoint_set s = 0; s < FV_CHECKPOINT_N_SETS; s++) {
        uint64_t begin = place->offset[s], bytes = fv_shard_bytes(&place->shard, s);
        FV_CHECK(begin % sizeof(float) == 0 && begin >= end && begin <= size && bytes <= size - begin,
                 FV_ERR_FORMAT, "%s: \"%s\" is said to begin at byte %llu", path, fv_sum_names[s],
                 (unsigned long long)begin);
        end = begin + bytes;
    }
    return FV_OK;
}

/* What is of no set: the library's part. */
static fv_err check_header(const char *path, const fv_shard_place *place, const fv_file_map *map)
{
    char hex[FV_CHECKSUM_BYTES];
    size_t from = 0;
    XXH3_state_t *state = XXH3_createState();
    FV_CHECK(state, FV_ERR_MEMORY, "no memory to check %s", path);
    XXH3_128bits_reset(state);
    for (fv_checkpoint_set s = 0; s < FV_CHECKPOINT_N_SETS; s++) {
        XXH3_128bits_update(state, map->data + from, place->offset[s] - from);
        from = place->offset[s] + fv_shard_bytes(&place->shard, s);
    }
    XXH3_128bits_update(state, map->data + from, map->size - from);
    fv_checksum_print(state, hex);
    XXH3_freeState(state);
    FV_CHECK(strcmp(hex, place->sum[FV_SUM_HEADER]) == 0, FV_ERR_FORMAT,
             "%s is damaged: the checksum of its header is %s, and was %s when it was written", path, hex,
             place->sum[FV_SUM_HEADER]);
    return FV_OK;
}

static fv_err map_shard(const fv_checkpoint *c, const fv_checksums *sums, int i)
{
    const fv_shard_place *place = &c->table.places[i];
    char name[FV_SHARD_NAME_BYTES], path[PATH_MAX];
    fv_shard_name(place->number, "h5", name);
    FV_TRY(fv_file_path(path, sizeof path, c->path, name));
    const fv_checksum *listed = fv_checksums_find(sums, name);
    FV_CHECK(listed && strcmp(listed->hex, place->sum[FV_SUM_FILE]) == 0, FV_ERR_FORMAT,
             "%s has another checksum for %s than index.h5", sums->path, name);
    FV_TRY(fv_file_open_map(path, &c->maps[i]));
    FV_TRY(check_places(path, place, c->maps[i].size));
    return check_header(path, place, &c->maps[i]);
}

static fv_err map_shards(fv_checkpoint *c, const fv_checksums *sums)
{
    c->maps = calloc((size_t)c->table.n, sizeof *c->maps);
    FV_CHECK(c->maps, FV_ERR_MEMORY, "no memory for %d shards", c->table.n);
    for (int i = 0; i < c->table.n; i++)
        FV_TRY(map_shard(c, sums, i));
    return FV_OK;
}

static fv_err read_table(fv_checkpoint *c)
{
    FV_TRY(check_model(c));
    FV_TRY(fv_shard_table_read(c->index, &c->table));
    return fv_shard_table_settle(&c->table, &c->shape);
}

/* The library may fail badly on a damaged file, so checksums come first. */
static fv_err open_listed(fv_checkpoint *c, const fv_checksums *sums)
{
    FV_TRY(check_small_files(c->path, sums));
    FV_TRY(open_index(c));
    FV_TRY(fv_model_shape_load(c->path, &c->shape, NULL));
    fv_err err = read_table(c);
    if (err != FV_OK)
        return fv_error_prefix(err, "%s", c->path);
    return map_shards(c, sums);
}

static fv_err open_all(fv_checkpoint *c)
{
    fv_checksums sums;
    FV_TRY(fv_checksums_open(c->path, &sums));
    fv_err err = open_listed(c, &sums);
    fv_checksums_fini(&sums);
    return err;
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
