#include "checkpoint_internal.h"

#include "fovea/base/phase.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK = 1 << 18 /* bytes read at a time */, HEX = FV_CHECKSUM_BYTES - 1 };

static fv_err parse_line(const fv_checksums *sums, char *line, fv_checksum *out)
{
    size_t n = strspn(line, "0123456789abcdef");
    char *name = line + HEX + 2;
    FV_CHECK(n == HEX && line[HEX] == ' ' && line[HEX + 1] == ' ' && *name && *name != '.' &&
                 !strchr(name, '/'),
             FV_ERR_FORMAT, "%s: line %d is not a checksum, two blanks and the name of a file", sums->path,
             sums->n + 1);
    memcpy(out->hex, line, HEX);
    out->hex[HEX] = '\0';
    out->name = name;
    FV_CHECK(!fv_checksums_find(sums, name), FV_ERR_FORMAT, "%s has %s twice", sums->path, name);
    return FV_OK;
}

static fv_err parse(fv_checksums *sums, size_t size)
{
    size_t n_lines = 0;
    FV_CHECK(size > 0 && sums->text[size - 1] == '\n' && strlen(sums->text) == size, FV_ERR_FORMAT,
             "%s is empty, or its last line is not whole", sums->path);
    for (size_t i = 0; i < size; i++)
        n_lines += sums->text[i] == '\n';
    sums->items = calloc(n_lines, sizeof *sums->items);
    FV_CHECK(sums->items, FV_ERR_MEMORY, "no memory for %zu checksums", n_lines);
    for (char *line = sums->text, *end; (end = strchr(line, '\n')); line = end + 1) {
        *end = '\0';
        FV_TRY(parse_line(sums, line, &sums->items[sums->n]));
        sums->n++;
    }
    return FV_OK;
}

static fv_err read_list(const char *path, fv_checksums *out)
{
    fv_file_map map;
    out->path = strdup(path);
    FV_CHECK(out->path, FV_ERR_MEMORY, "no memory for the path %s", path);
    FV_TRY(fv_file_open_map(path, &map));
    size_t size = map.size;
    out->text = calloc(size + 1, 1);
    if (out->text && size)
        memcpy(out->text, map.data, size);
    fv_file_close_map(&map);
    FV_CHECK(out->text, FV_ERR_MEMORY, "no memory for %s", path);
    return parse(out, size);
}

fv_err fv_checksums_read(const char *folder, const char *list, fv_checksums *out)
{
    char path[PATH_MAX];
    *out = (fv_checksums){0};
    FV_TRY(fv_file_path(path, sizeof path, folder, list));
    fv_err err = read_list(path, out);
    if (err != FV_OK)
        fv_checksums_fini(out);
    return err;
}

void fv_checksums_fini(fv_checksums *sums)
{
    free(sums->path);
    free(sums->text);
    free(sums->items);
    *sums = (fv_checksums){0};
}

const fv_checksum *fv_checksums_find(const fv_checksums *sums, const char *name)
{
    for (int i = 0; i < sums->n; i++)
        if (strcmp(sums->items[i].name, name) == 0)
            return &sums->items[i];
    return NULL;
}

static fv_err hash_descriptor(const char *path, int descriptor, XXH3_state_t *state)
{
    uint8_t *block = aligned_alloc(FV_COPY_ALIGN, BLOCK);
    FV_CHECK(block, FV_ERR_MEMORY, "no memory to read %s", path);
    ssize_t n;
    XXH3_128bits_reset(state);
    while ((n = read(descriptor, block, BLOCK)) > 0 || (n < 0 && errno == EINTR)) {
        fv_phase_move();
        if (n > 0)
            XXH3_128bits_update(state, block, (size_t)n);
    }
    free(block);
    FV_CHECK(n == 0, FV_ERR_IO, "cannot read %s: %s", path, strerror(errno));
    return FV_OK;
}

static fv_err hash_path(const char *path, XXH3_state_t *state)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    FV_CHECK(descriptor >= 0, FV_ERR_IO, "cannot open %s: %s", path, strerror(errno));
    fv_err err = hash_descriptor(path, descriptor, state);
    close(descriptor);
    return err;
}

static void print(XXH128_hash_t hash, char hex[FV_CHECKSUM_BYTES])
{
    snprintf(hex, FV_CHECKSUM_BYTES, "%016llx%016llx", (unsigned long long)hash.high64,
             (unsigned long long)hash.low64);
}

void fv_checksum_print(const XXH3_state_t *state, char hex[FV_CHECKSUM_BYTES])
{
    print(XXH3_128bits_digest(state), hex);
}

void fv_checksum_bytes(const void *data, size_t size, char hex[FV_CHECKSUM_BYTES])
{
    print(XXH3_128bits(data, size), hex);
}

fv_err fv_checksum_file(const char *folder, const char *name, char hex[FV_CHECKSUM_BYTES])
{
    char path[PATH_MAX];
    FV_TRY(fv_file_path(path, sizeof path, folder, name));
    XXH3_state_t *state = XXH3_createState();
    FV_CHECK(state, FV_ERR_MEMORY, "no memory to read %s", path);
    fv_err err = hash_path(path, state);
    fv_checksum_print(state, hex);
    XXH3_freeState(state);
    return err;
}

fv_err fv_checksum_check(const char *folder, const fv_checksum *item)
{
    char hex[FV_CHECKSUM_BYTES];
    FV_TRY(fv_checksum_file(folder, item->name, hex));
    FV_CHECK(strcmp(hex, item->hex) == 0, FV_ERR_FORMAT,
             "%s/%s is damaged: its checksum is %s, and was %s when it was written", folder, item->name, hex,
             item->hex);
    return FV_OK;
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

fv_err fv_folder_list_files(const char *folder, char ***names, int *n)
{
    struct dirent **entries;
    int failed = 0;
    *names = NULL;
    *n = scandir(folder, &entries, is_visible, by_name);
    FV_CHECK(*n >= 0, FV_ERR_IO, "cannot read folder %s: %s", folder, strerror(errno));
    *names = calloc((size_t)*n + 1, sizeof **names);
    for (int i = 0; i < *n; i++) {
        if (*names)
            failed |= ((*names)[i] = strdup(entries[i]->d_name)) == NULL;
        free(entries[i]);
    }
    free(entries);
    FV_CHECK(*names && !failed, FV_ERR_MEMORY, "no memory for the names in %s", folder);
    return FV_OK;
}

void fv_folder_free_names(char **names, int n)
{
    for (int i = 0; names && i < n; i++)
        free(names[i]);
    free(names);
}

static fv_err check_extra(const char *folder, const fv_checksums *sums, char *const *names, int n)
{
    for (int i = 0; i < n; i++)
        FV_CHECK(strcmp(names[i], "checksums") == 0 || fv_checksums_find(sums, names[i]), FV_ERR_FORMAT,
                 "%s/%s is not of this checkpoint: %s does not list it", folder, names[i], sums->path);
    return FV_OK;
}

static fv_err check_names(const char *folder, const fv_checksums *sums)
{
    char path[PATH_MAX], **names;
    int n;
    FV_CHECK(fv_checksums_find(sums, "index.h5"), FV_ERR_FORMAT, "%s does not list index.h5", sums->path);
    for (int i = 0; i < sums->n; i++) {
        FV_TRY(fv_file_path(path, sizeof path, folder, sums->items[i].name));
        FV_CHECK(fv_file_exists(path), FV_ERR_FORMAT, "%s is missing, though %s lists it", path, sums->path);
    }
    fv_err err = fv_folder_list_files(folder, &names, &n);
    if (err == FV_OK)
        err = check_extra(folder, sums, names, n);
    fv_folder_free_names(names, n);
    return err;
}

fv_err fv_checksums_open(const char *folder, fv_checksums *out)
{
    FV_TRY(fv_checksums_read(folder, "checksums", out));
    fv_err err = check_names(folder, out);
    if (err != FV_OK)
        fv_checksums_fini(out);
    return err;
}
