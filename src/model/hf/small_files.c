/* The small files of a folder, copied. */
#include "fovea/model/hf/small_files.h"

#include "fovea/base/file.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static fv_err copy_if_there(const char *from, const char *to, const char *name)
{
    char source[PATH_MAX], target[PATH_MAX];
    FV_TRY(fv_file_path(source, sizeof source, from, name));
    FV_TRY(fv_file_path(target, sizeof target, to, name));
    return fv_file_exists(source) ? fv_file_copy(source, target) : FV_OK;
}

/* Ended by NULL. */
static const char *const tokenizer_files[] = {
    "tokenizer.json",      "tokenizer_config.json", "vocab.json",
    "merges.txt",          "added_tokens.json",     "special_tokens_map.json",
    "chat_template.jinja", "chat_template.json",    NULL};
static const char *const settings_files[] = {"generation_config.json", "preprocessor_config.json",
                                             "processor_config.json", "video_preprocessor_config.json", NULL};

static fv_err copy_files(const char *from, const char *to, const char *const *names)
{
    for (; *names; names++)
        FV_TRY(copy_if_there(from, to, *names));
    return FV_OK;
}

fv_err fv_folder_copy_tokenizer(const char *from, const char *to)
{
    return copy_files(from, to, tokenizer_files);
}

fv_err fv_folder_copy_settings(const char *from, const char *to)
{
    return copy_files(from, to, settings_files);
}

fv_err fv_folder_copy_small_files(const char *from, const char *to)
{
    FV_TRY(fv_folder_copy_tokenizer(from, to));
    FV_TRY(fv_folder_copy_settings(from, to));
    return copy_if_there(from, to, "config.json");
}

/* Links. */

static int is_below(const char *path, const char *folder)
{
    size_t n = strlen(folder);
    return strncmp(path, folder, n) == 0 && path[n] == '/';
}

/* A cache of Hugging Face: REPOSITORY/snapshots/REVISION is links to REPOSITORY/blobs. root is cut to that.
 */
static void find_blobs(char root[PATH_MAX])
{
    for (int i = 0; i < 2; i++) {
        char *last = strrchr(root, '/');
        if (!last || (i == 1 && strcmp(last, "/snapshots") != 0)) {
            root[0] = '\0';
            return;
        }
        *last = '\0';
    }
    size_t n = strlen(root);
    snprintf(root + n, PATH_MAX - n, "/blobs");
}

static fv_err check_link(const char *folder, const char *name)
{
    char path[PATH_MAX], real[PATH_MAX], root[PATH_MAX];
    FV_TRY(fv_file_path(path, sizeof path, folder, name));
    if (!fv_file_exists(path))
        return FV_OK;
    FV_CHECK(realpath(folder, root) && realpath(path, real), FV_ERR_IO, "cannot resolve %s: %s", path,
             strerror(errno));
    int is_inside = is_below(real, root);
    find_blobs(root);
    FV_CHECK(is_inside || (root[0] && is_below(real, root)), FV_ERR_ARGUMENT,
             "%s is a link out of its folder, to %s: put the file itself there if it is to be copied", path,
             real);
    return FV_OK;
}

fv_err fv_folder_check_links(const char *folder)
{
    for (const char *const *name = tokenizer_files; *name; name++)
        FV_TRY(check_link(folder, *name));
    for (const char *const *name = settings_files; *name; name++)
        FV_TRY(check_link(folder, *name));
    return check_link(folder, "config.json");
}
