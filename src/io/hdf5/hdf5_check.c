/* Whether a file from outside may be given to the HDF5 library.
 *
 * The library dies of some damaged files, by a signal or in a loop without end, and follows what a file says
 * to other files and to any size. So a process of its own goes through the whole file first: every link,
 * every dataset, all numbers but those of large datasets, all texts. What it finds, or that it died, becomes
 * one sentence here, and this process never opens such a file. The process is a fork, which costs no start of
 * a program; it only calls the library, which this thread holds, and allocates memory. */
#include "io/hdf5/hdf5_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <hdf5.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    SENTENCE_BYTES = 1024,
    PROCESSOR_S = 60,
    NUMBERS_BYTES = 1 << 26, /* of larger datasets the index of pieces alone is gone through */
    TEXTS = 1024,            /* read at a time */
    MAX_INFLATION = 1032,    /* of deflate */
    MEMORY_BYTES = 1 << 30   /* beside what this process has */
};

typedef struct walk {
    const char *path;
    int may_be_virtual;
    hsize_t file_bytes;
    size_t text_bytes; /* of the texts being read */
    fv_err err;
} walk;

/* One dataset. */

static fv_err check_virtual(const walk *w, const char *name, hid_t layout)
{
    size_t n = 0;
    char file[256];
    FV_CHECK(w->may_be_virtual, FV_ERR_FORMAT,
             "%s: dataset \"%s\" is virtual: it shows other files; a copy that holds the numbers is read",
             w->path, name);
    FV_CHECK(H5Pget_virtual_count(layout, &n) >= 0, FV_ERR_FORMAT, "%s: dataset \"%s\" cannot be read",
             w->path, name);
    for (size_t i = 0; i < n; i++)
        FV_CHECK(H5Pget_virtual_filename(layout, i, file, sizeof file) < (ssize_t)sizeof file &&
                     !strchr(file, '/'),
                 FV_ERR_FORMAT, "%s: dataset \"%s\" shows %s, which is not in the folder of the file",
                 w->path, name, file);
    return FV_OK;
}

/* Bytes that are said to be there, against bytes of the file. */
static fv_err check_size(const walk *w, const char *name, hid_t set, hid_t layout)
{
    hid_t space = H5Dget_space(set), type = H5Dget_type(set);
    hssize_t n = H5Sget_simple_extent_npoints(space);
    hsize_t most = H5Dget_storage_size(set), element = H5Tget_size(type), said;
    H5Tclose(type);
    H5Sclose(space);
    if (H5Pget_nfilters(layout) > 0)
        most *= MAX_INFLATION;
    FV_CHECK(n >= 0 && !__builtin_mul_overflow((hsize_t)n, element, &said) && said <= most, FV_ERR_FORMAT,
             "%s: dataset \"%s\" should have %lld elements, but the file holds %llu bytes of it: the file is "
             "damaged, or was never filled",
             w->path, name, (long long)n, (unsigned long long)H5Dget_storage_size(set));
    return FV_OK;
}

static fv_err read_numbers(const walk *w, const char *name, hid_t set)
{
    hid_t space = H5Dget_space(set), type = H5Dget_type(set);
    hsize_t n = (hsize_t)H5Sget_simple_extent_npoints(space), bytes = n * H5Tget_size(type), n_pieces;
    herr_t status = 0;
    if (bytes <= NUMBERS_BYTES) {
        void *data = malloc(bytes + 1);
        status = data ? H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) : -1;
        free(data);
    } else {
        hid_t layout = H5Dget_create_plist(set);
        if (H5Pget_layout(layout) == H5D_CHUNKED)
            status = H5Dget_num_chunks(set, space, &n_pieces);
        H5Pclose(layout);
    }
    H5Tclose(type);
    H5Sclose(space);
    FV_CHECK(status >= 0, FV_ERR_FORMAT, "%s: dataset \"%s\" cannot be read: %s", w->path, name,
             fv_hdf5_reason());
    return FV_OK;
}

/* A file can show one text a million times. */
static void *allocate_text(size_t size, void *context)
{
    walk *w = context;
    w->text_bytes += size;
    return w->text_bytes <= w->file_bytes + MEMORY_BYTES / 4 ? malloc(size) : NULL;
}

static void release_text(void *text, void *context)
{
    (void)context;
    free(text);
}

static herr_t read_some(walk *w, hid_t set, hid_t space, hsize_t first, hsize_t n)
{
    char *texts[TEXTS] = {NULL};
    hid_t type = H5Dget_type(set), memory = H5Screate_simple(1, &n, NULL),
          transfer = H5Pcreate(H5P_DATASET_XFER);
    w->text_bytes = 0;
    herr_t status = H5Pset_vlen_mem_manager(transfer, allocate_text, w, release_text, w);
    if (status >= 0)
        status = H5Sselect_hyperslab(space, H5S_SELECT_SET, &first, NULL, &n, NULL);
    if (status >= 0)
        status = H5Dread(set, type, memory, space, transfer, texts);
    for (hsize_t i = 0; i < n; i++)
        free(texts[i]);
    H5Pclose(transfer);
    H5Sclose(memory);
    H5Tclose(type);
    return status;
}

static fv_err read_texts(walk *w, const char *name, hid_t set)
{
    hid_t space = H5Dget_space(set);
    hsize_t n = 0;
    fv_err err = FV_OK;
    FV_CHECK_DONE(H5Sget_simple_extent_ndims(space) == 1 && H5Sget_simple_extent_dims(space, &n, NULL) == 1,
                  FV_ERR_FORMAT, "%s: dataset \"%s\" of texts has not one dimension", w->path, name);
    for (hsize_t first = 0; first < n; first += TEXTS)
        FV_CHECK_DONE(read_some(w, set, space, first, n - first < TEXTS ? n - first : TEXTS) >= 0,
                      FV_ERR_FORMAT, "%s: the texts of dataset \"%s\" cannot be read: %s", w->path, name,
                      fv_hdf5_reason());
done:
    H5Sclose(space);
    return err;
}

static fv_err read_through(walk *w, const char *name, hid_t set)
{
    hid_t type = H5Dget_type(set);
    H5T_class_t class = H5Tget_class(type);
    int is_text = H5Tis_variable_str(type) > 0;
    H5Tclose(type);
    if (is_text)
        return read_texts(w, name, set);
    return class == H5T_INTEGER || class == H5T_FLOAT ? read_numbers(w, name, set) : FV_OK;
}

static fv_err check_dataset(walk *w, const char *name, hid_t set)
{
    hid_t layout = H5Dget_create_plist(set);
    fv_err err = FV_OK;
    FV_CHECK_DONE(layout >= 0, FV_ERR_FORMAT, "%s: dataset \"%s\" cannot be read: %s", w->path, name,
                  fv_hdf5_reason());
    FV_CHECK_DONE(H5Pget_external_count(layout) == 0, FV_ERR_FORMAT,
                  "%s: the numbers of dataset \"%s\" are in another file; a copy that holds them is read",
                  w->path, name);
    if (H5Pget_layout(layout) == H5D_VIRTUAL) {
        FV_TRY_DONE(check_virtual(w, name, layout));
    } else {
        FV_TRY_DONE(check_size(w, name, set, layout));
        FV_TRY_DONE(read_through(w, name, set));
    }
done:
    H5Pclose(layout);
    return err;
}

/* The whole file. */

static fv_err check_link(walk *w, hid_t root, const char *name, const H5L_info_t *info)
{
    FV_CHECK(info->type == H5L_TYPE_HARD, FV_ERR_FORMAT,
             "%s: \"%s\" is a link to somewhere else; a copy that holds what it shows is read", w->path,
             name);
    hid_t object = H5Oopen(root, name, H5P_DEFAULT);
    FV_CHECK(object >= 0, FV_ERR_FORMAT, "%s: \"%s\" cannot be read: %s", w->path, name, fv_hdf5_reason());
    fv_err err = H5Iget_type(object) == H5I_DATASET ? check_dataset(w, name, object) : FV_OK;
    H5Oclose(object);
    return err;
}

static herr_t visit(hid_t root, const char *name, const H5L_info_t *info, void *context)
{
    walk *w = context;
    w->err = check_link(w, root, name, info);
    return w->err == FV_OK ? 0 : 1;
}

static fv_err go_through(walk *w)
{
    hid_t file = H5Fopen(w->path, H5F_ACC_RDONLY, H5P_DEFAULT);
    FV_CHECK(file >= 0, FV_ERR_FORMAT, "%s is not a readable HDF5 file: %s", w->path, fv_hdf5_reason());
    herr_t status = H5Lvisit(file, H5_INDEX_NAME, H5_ITER_NATIVE, visit, w);
    H5Fclose(file);
    FV_TRY(w->err);
    FV_CHECK(status >= 0, FV_ERR_FORMAT, "%s: what is in it cannot be listed: %s", w->path, fv_hdf5_reason());
    return FV_OK;
}

/* The process that looks. */

/* Sanitizers reserve more address space than any limit. */
static void limit_memory(void)
{
#if !defined(__SANITIZE_ADDRESS__)
    unsigned long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file && fscanf(file, "%llu", &pages) == 1) {
        rlim_t most = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + MEMORY_BYTES;
        setrlimit(RLIMIT_AS, &(struct rlimit){most, most});
    }
    if (file)
        fclose(file);
#endif
}

/* It dies in silence, whoever handles signals here. */
static void become_helper(void)
{
    static const int fatal[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGTERM, SIGINT, SIGUSR1};
    for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++)
        signal(fatal[i], SIG_DFL);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    setrlimit(RLIMIT_CPU, &(struct rlimit){PROCESSOR_S, PROCESSOR_S});
    limit_memory();
    int nowhere = open("/dev/null", O_WRONLY);
    if (nowhere >= 0)
        dup2(nowhere, STDERR_FILENO);
}

static void run_helper(walk *w, int out)
{
    become_helper();
    int is_told = 1;
    if (go_through(w) != FV_OK)
        is_told = write(out, fv_error_text(), strlen(fv_error_text())) > 0;
    _exit(is_told ? EXIT_SUCCESS : EXIT_FAILURE);
}

/* What the process wrote, until it ended. */
static void hear(int in, char *text, size_t size)
{
    size_t n = 0;
    ssize_t got;
    while (n + 1 < size && ((got = read(in, text + n, size - 1 - n)) > 0 || (got < 0 && errno == EINTR)))
        n += got > 0 ? (size_t)got : 0;
    text[n] = '\0';
}

static fv_err conclude(const char *path, pid_t helper, const char *text)
{
    int status = 0;
    while (waitpid(helper, &status, 0) < 0)
        FV_CHECK(errno == EINTR, FV_ERR_IO, "cannot wait for the process that reads %s: %s", path,
                 strerror(errno));
    FV_CHECK(!text[0], FV_ERR_FORMAT, "%s", text);
    FV_CHECK(
        !WIFSIGNALED(status), FV_ERR_FORMAT,
        "%s is damaged: the HDF5 library ended by signal %d when a process tried to read it; make or copy it "
        "anew",
        path, WTERMSIG(status));
    FV_CHECK(WEXITSTATUS(status) == 0, FV_ERR_FORMAT,
             "%s is damaged: the HDF5 library cannot go through it; make or copy it anew", path);
    return FV_OK;
}

fv_err fv_hdf5_check(const char *path, int may_be_virtual)
{
    int ends[2];
    char text[SENTENCE_BYTES];
    struct stat info;
    FV_CHECK(stat(path, &info) == 0, FV_ERR_IO, "cannot read %s: %s", path, strerror(errno));
    walk w = {
        .path = path, .may_be_virtual = may_be_virtual, .file_bytes = (hsize_t)info.st_size, .err = FV_OK};
    FV_CHECK(pipe2(ends, O_CLOEXEC) == 0, FV_ERR_IO, "cannot make a pipe: %s", strerror(errno));
    pid_t helper = fork();
    if (helper == 0)
        run_helper(&w, ends[1]);
    close(ends[1]);
    if (helper > 0)
        hear(ends[0], text, sizeof text);
    close(ends[0]);
    FV_CHECK(helper > 0, FV_ERR_IO, "cannot start a process that reads %s: %s", path, strerror(errno));
    return conclude(path, helper, text);
}
