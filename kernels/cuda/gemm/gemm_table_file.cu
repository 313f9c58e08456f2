/* The table on disk: a line that says of what, as text; a count; records; a hash of all before it. */
#include "gemm_table.cuh"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_BYTES = 384, MOST_BYTES = NAME_BYTES + 8 + FV_CUDA_CLASSES * (int)sizeof(fv_cuda_algorithm) + 8 };

/* What a file must say that is of use here. */
static int name_of(char name[NAME_BYTES], int device)
{
    cudaDeviceProp it;
    int driver = 0, runtime = 0;
    memset(name, 0, NAME_BYTES);
    if (cudaGetDeviceProperties(&it, device) != cudaSuccess || cudaDriverGetVersion(&driver) != cudaSuccess ||
        cudaRuntimeGetVersion(&runtime) != cudaSuccess)
        return 0;
    return snprintf(name, NAME_BYTES, "fovea products 1: %s, driver %d, runtime %d, cuBLAS %zu\n", it.name,
                    driver, runtime, cublasLtGetVersion()) < NAME_BYTES;
}

/* FOVEA_CACHE, or fovea in the user's folder of caches; none if it is empty or there is no such folder. */
static int folder_of(char path[PATH_MAX])
{
    const char *own = getenv("FOVEA_CACHE"), *all = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int length = 0;
    if (own)
        length = snprintf(path, PATH_MAX, "%s", own);
    else if (all && *all)
        length = snprintf(path, PATH_MAX, "%s/fovea", all);
    else if (home && *home)
        length = snprintf(path, PATH_MAX, "%s/.cache/fovea", home);
    return length > 0 && length < PATH_MAX - 64;
}

static int path_of(char path[PATH_MAX], const char name[NAME_BYTES])
{
    if (!folder_of(path))
        return 0;
    size_t used = strlen(path);
    snprintf(path + used, PATH_MAX - used, "/products-%016llx",
             (unsigned long long)fv_cuda_hash(name, NAME_BYTES));
    return 1;
}

static void make_folders(const char *path)
{
    char part[PATH_MAX];
    for (const char *end = strchr(path + 1, '/'); end; end = strchr(end + 1, '/')) {
        memcpy(part, path, (size_t)(end - path));
        part[end - path] = '\0';
        (void)mkdir(part, 0777); /* what fails is told by the file's own failure */
    }
}

/* Records of a file's bytes, or none if they are not what was written here. */
static int64_t records_of(const char *data, size_t size, const char name[NAME_BYTES])
{
    uint64_t hash, n;
    if (size < NAME_BYTES + 16 || memcmp(data, name, NAME_BYTES) != 0)
        return 0;
    memcpy(&n, data + NAME_BYTES, 8);
    memcpy(&hash, data + size - 8, 8);
    if (n > FV_CUDA_CLASSES || size != NAME_BYTES + 16 + n * sizeof(fv_cuda_algorithm) ||
        hash != fv_cuda_hash(data, size - 8))
        return 0;
    return (int64_t)n;
}

static void read_file(fv_cuda_table *t, const char *path, const char name[NAME_BYTES])
{
    FILE *file = fopen(path, "rb");
    char *data = (char *)malloc(MOST_BYTES + 1);
    if (file && data) {
        size_t size = fread(data, 1, MOST_BYTES + 1, file);
        int64_t n = records_of(data, size, name);
        for (int64_t i = 0; i < n; i++) {
            fv_cuda_algorithm a;
            memcpy(&a, data + NAME_BYTES + 8 + i * sizeof a, sizeof a);
            if (a.of.n > 0)
                fv_cuda_table_put(t, &a);
        }
    }
    free(data);
    if (file)
        (void)fclose(file);
}

void fv_cuda_table_read(fv_cuda_table *t, int device)
{
    char name[NAME_BYTES], path[PATH_MAX];
    if (name_of(name, device) && path_of(path, name))
        read_file(t, path, name);
}

static size_t pack(const fv_cuda_table *t, const char name[NAME_BYTES], char *data)
{
    uint64_t n = 0;
    char *to = data + NAME_BYTES + 8;
    for (int i = 0; i < FV_CUDA_CLASSES; i++)
        if (t->algorithm[i].of.n) {
            memcpy(to + n * sizeof t->algorithm[i], &t->algorithm[i], sizeof t->algorithm[i]);
            n++;
        }
    memcpy(data, name, NAME_BYTES);
    memcpy(data + NAME_BYTES, &n, 8);
    to += n * sizeof(fv_cuda_algorithm);
    uint64_t hash = fv_cuda_hash(data, (size_t)(to - data));
    memcpy(to, &hash, 8);
    return (size_t)(to + 8 - data);
}

/* Under another name, then renamed: a reader sees the old or the new. */
static void write_file(const char *path, const char *data, size_t size)
{
    char other[PATH_MAX + 32];
    snprintf(other, sizeof other, "%s.%ld", path, (long)getpid());
    FILE *file = fopen(other, "wb");
    if (!file)
        return;
    int is_whole = fwrite(data, 1, size, file) == size;
    is_whole = fclose(file) == 0 && is_whole;
    if (!is_whole || rename(other, path) != 0)
        (void)unlink(other);
}

void fv_cuda_table_write(fv_cuda_table *t, int device)
{
    char name[NAME_BYTES], path[PATH_MAX];
    if (t->n_new == 0 || !name_of(name, device) || !path_of(path, name))
        return;
    char *data = (char *)malloc(MOST_BYTES);
    if (!data)
        return;
    make_folders(path);
    read_file(t, path, name); /* what another process has measured meanwhile */
    write_file(path, data, pack(t, name, data));
    t->n_new = 0;
    free(data);
}
