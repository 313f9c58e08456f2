/* Files: mapped whole for reading, written whole or not at all. Local. */
#ifndef FOVEA_BASE_FILE_H
#define FOVEA_BASE_FILE_H

#include "fovea/base/error.h"

#include <stddef.h>
#include <stdint.h>

/* Alignment of memory that files are read into, and of datasets in files: a page. Copies by the system into
 * what is not aligned to a cache line take three times as long on some processors (rep movsb of AMD's Zen 3).
 */
enum { FV_COPY_ALIGN = 4096 };

typedef struct fv_file_map {
    const uint8_t *data; /* owned; read-only; NULL if the file is empty */
    size_t size;
} fv_file_map;

/* Map a regular file. FV_ERR_IO names the path and the system's reason; FV_ERR_FORMAT a pointer of Git LFS,
 * which stands for a file that was not fetched. */
fv_err fv_file_open_map(const char *path, fv_file_map *out);
void fv_file_close_map(fv_file_map *map); /* back to {0} */

/* Write size bytes so that path holds either its old content or all of the new: a temporary file beside it,
 * fsync, rename, fsync of the folder. */
fv_err fv_file_write(const char *path, const void *data, size_t size);

/* The same for content that comes piece by piece. Every created writer is ended by commit (also if that
 * fails) or abandon, which leaves path as it was. */
typedef struct fv_file_writer {
    int descriptor;
    char *path, *temporary; /* owned */
} fv_file_writer;

fv_err fv_file_create(const char *path, fv_file_writer *out);
fv_err fv_file_append(fv_file_writer *writer, const void *data, size_t size);
fv_err fv_file_commit(fv_file_writer *writer);
void fv_file_abandon(fv_file_writer *writer);

/* SIGINT, SIGTERM and SIGHUP, unless they are ignored, remove the temporary files of all writers under way
 * before they end the process. The handler itself, for who has handled the signal so far. */
fv_err fv_file_clean_on_signals(void);
void fv_file_end_by_signal(int number);

/* Write to as fv_file_write does, with the content of from. */
fv_err fv_file_copy(const char *from, const char *to);

/* fsync of a file, or of a folder: the names in it. */
fv_err fv_file_sync(const char *path);
fv_err fv_file_sync_folder_of(const char *path); /* the folder that path is in */

fv_err fv_file_size(const char *path, uint64_t *out); /* bytes */

/* 1 if there is something at path, readable or not, else 0. */
int fv_file_exists(const char *path);

/* Create a folder (its parent must exist). Not an error if it exists. */
fv_err fv_file_make_folder(const char *path);

/* The same with all the folders that it is in. path is not empty. */
fv_err fv_file_make_folders(const char *path);

/* Remove a folder with all that is in it, or a file. Not an error if there is nothing. */
fv_err fv_file_remove_tree(const char *path);

/* Give the folder made the name path, in place of what has that name: all of it at once where the file system
 * can exchange two names, else with a moment in which there is nothing at path. What was there is then at
 * made. Both are in one file system. The folders they are in are synced. */
fv_err fv_file_replace_folder(const char *made, const char *path);

/* folder + "/" + name into out. FV_ERR_ARGUMENT if it is longer than size. */
fv_err fv_file_path(char *out, size_t size, const char *folder, const char *name);

#endif
