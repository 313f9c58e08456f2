#include "fovea/model/hf/identity.h"

#include "fovea/base/file.h"
#include "fovea/base/phase.h"
#include "base/hash.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 1 << 20 /* bytes hashed between two moves */ };

static fv_err hash_file(const char *path, uint64_t seed, uint64_t *out)
{
    fv_file_map map = {0};
    XXH3_state_t *state = XXH3_createState();
    FV_CHECK(state, FV_ERR_MEMORY, "no memory to read %s", path);
    fv_err err = fv_file_open_map(path, &map);
    XXH3_64bits_reset_withSeed(state, seed);
    for (size_t at = 0, n; at < map.size; at += n) {
        fv_phase_move();
        n = map.size - at < BLOCK ? map.size - at : BLOCK;
        XXH3_64bits_update(state, map.data + at, n);
    }
    *out = XXH3_64bits_digest(state);
    XXH3_freeState(state);
    fv_file_close_map(&map);
    return err;
}

fv_err fv_identity_of_file(const char *path, uint64_t *out)
{
    return hash_file(path, 0, out);
}

/* A checkpoint's checksums stand for its shards. */
static int is_part(const struct dirent *entry)
{
    if (strcmp(entry->d_name, "checksums") == 0)
        return 1;
    const char *end = strrchr(entry->d_name, '.');
    return end && (strcmp(end, ".json") == 0 || strcmp(end, ".safetensors") == 0);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static fv_err hash_part(const char *folder, const char *name, uint64_t *hash)
{
    char path[PATH_MAX];
    FV_TRY(fv_file_path(path, sizeof path, folder, name));
    return hash_file(path, XXH3_64bits_withSeed(name, strlen(name), *hash), hash);
}

fv_err fv_identity_of_folder(const char *path, uint64_t *out)
{
    struct dirent **entries;
    int n = scandir(path, &entries, is_part, by_name);
    fv_err err = FV_OK;
    FV_CHECK(n >= 0, FV_ERR_IO, "cannot read folder %s: %s", path, strerror(errno));
    *out = 0;
    for (int i = 0; i < n; i++) {
        if (err == FV_OK)
            err = hash_part(path, entries[i]->d_name, out);
        free(entries[i]);
    }
    free(entries);
    return err;
}
