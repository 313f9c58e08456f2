/* From transformers 5 to transformers 4. The newer library writes one processor_config.json where the older
 * ones want preprocessor_config.json, a template in a file of its own that 4.49 does not know, and names in
 * tokenizer_config.json that only it knows. */
#include "fovea/base/file.h"
#include "model/hf/folder_config.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

static fv_err path_if_there(const char *folder, const char *name, char path[PATH_MAX], int *is_there)
{
    *is_there = 0;
    FV_TRY(fv_file_path(path, PATH_MAX, folder, name));
    *is_there = fv_file_exists(path);
    return FV_OK;
}

/* NULL if there is no such file. */
static fv_err load_if_there(const char *folder, const char *name, fv_json **out)
{
    char path[PATH_MAX];
    int is_there = 0;
    *out = NULL;
    FV_TRY(path_if_there(folder, name, path, &is_there));
    return is_there ? fv_json_load_foreign(path, out) : FV_OK;
}

static fv_err copy_member(fv_json *to, const char *key, const fv_json *from, const char *from_key)
{
    const fv_json *value = fv_json_get(from, from_key);
    return value ? fv_json_set(to, key, fv_json_copy(value)) : FV_OK;
}

/* The tokenizer. */

/* What one library calls extra tokens the other calls additional ones, and its own word means something else.
 */
static fv_err rename_lists(fv_json *config)
{
    if (fv_json_kind_of(fv_json_get(config, "extra_special_tokens")) != FV_JSON_ARRAY)
        return FV_OK;
    if (fv_json_size(fv_json_get(config, "extra_special_tokens")))
        FV_TRY(copy_member(config, "additional_special_tokens", config, "extra_special_tokens"));
    fv_json_remove(config, "extra_special_tokens");
    return FV_OK;
}

static fv_err change_tokenizer(fv_json *config)
{
    static const char *const removed[] = {"backend", "is_local", "local_files_only"};
    const char *class = "";
    for (size_t i = 0; i < sizeof removed / sizeof removed[0]; i++)
        fv_json_remove(config, removed[i]);
    FV_TRY(rename_lists(config));
    FV_TRY(fv_json_get_string(config, "tokenizer_class", &class));
    return strcmp(class, "TokenizersBackend") == 0
               ? fv_json_set_text(config, "tokenizer_class", "PreTrainedTokenizerFast")
               : FV_OK;
}

/* Chat templates. */

static fv_err read_jinja(const char *folder, fv_json **out)
{
    char path[PATH_MAX];
    fv_file_map map;
    int is_there = 0;
    *out = NULL;
    FV_TRY(path_if_there(folder, "chat_template.jinja", path, &is_there));
    if (!is_there)
        return FV_OK;
    FV_TRY(fv_file_open_map(path, &map));
    *out = fv_json_make_string(map.data ? (const char *)map.data : "", map.size);
    fv_file_close_map(&map);
    FV_CHECK(*out, FV_ERR_MEMORY, "no memory for the template of %s", path);
    return FV_OK;
}

fv_err fv_folder_write_template(const char *folder)
{
    char path[PATH_MAX];
    int is_there = 0;
    fv_json *config = NULL, *root = fv_json_make_object();
    fv_err err = FV_OK;
    FV_TRY_DONE(path_if_there(folder, "chat_template.json", path, &is_there));
    FV_TRY_DONE(load_if_there(folder, "tokenizer_config.json", &config));
    if (is_there || fv_json_kind_of(fv_json_get(config, "chat_template")) != FV_JSON_STRING)
        goto done;
    FV_TRY_DONE(copy_member(root, "chat_template", config, "chat_template"));
    FV_TRY_DONE(fv_folder_write_json(folder, "chat_template.json", root));
done:
    fv_json_destroy(config);
    fv_json_destroy(root);
    return err;
}

static fv_err write_tokenizer(const char *folder)
{
    fv_json *config = NULL, *template = NULL;
    fv_err err = FV_OK;
    FV_TRY_DONE(load_if_there(folder, "tokenizer_config.json", &config));
    if (!config)
        goto done;
    FV_TRY_DONE(change_tokenizer(config));
    FV_TRY_DONE(read_jinja(folder, &template));
    if (template) {
        fv_json *taken = template;
        template = NULL;
        FV_TRY_DONE(fv_json_set(config, "chat_template", taken));
    }
    FV_TRY_DONE(fv_folder_write_json(folder, "tokenizer_config.json", config));
done:
    fv_json_destroy(config);
    fv_json_destroy(template);
    return err;
}

/* The processor. */

/* Bounds of the pixels: 4.49 knows no "size". All later versions take both. */
static fv_err change_images(fv_json *images)
{
    const fv_json *size = fv_json_get(images, "size");
    FV_TRY(copy_member(images, "min_pixels", size, "shortest_edge"));
    FV_TRY(copy_member(images, "max_pixels", size, "longest_edge"));
    FV_TRY(fv_json_set_text(images, "image_processor_type", "Qwen2VLImageProcessor"));
    return fv_json_set_text(images, "processor_class", "Qwen2_5_VLProcessor");
}

static fv_err write_section(const char *folder, const char *name, const fv_json *section)
{
    fv_json *copy = fv_json_copy(section);
    fv_err err = FV_OK;
    if (!section)
        return FV_OK;
    FV_CHECK(copy, FV_ERR_MEMORY, "no memory for %s", name);
    if (fv_json_get(copy, "image_processor_type"))
        FV_TRY_DONE(change_images(copy));
    FV_TRY_DONE(fv_folder_write_json(folder, name, copy));
done:
    fv_json_destroy(copy);
    return err;
}

static fv_err write_processor(const char *folder)
{
    char path[PATH_MAX];
    fv_json *all = NULL, *images = NULL;
    fv_err err = FV_OK;
    FV_TRY_DONE(load_if_there(folder, "preprocessor_config.json", &images));
    FV_TRY_DONE(load_if_there(folder, "processor_config.json", &all));
    const fv_json *section = fv_json_get(all, "image_processor");
    FV_TRY_DONE(write_section(folder, "preprocessor_config.json", section ? section : images));
    if (!section)
        goto done;
    FV_TRY_DONE(write_section(folder, "video_preprocessor_config.json", fv_json_get(all, "video_processor")));
    FV_TRY_DONE(fv_file_path(path, sizeof path, folder, "processor_config.json"));
    FV_CHECK_DONE(unlink(path) == 0, FV_ERR_IO, "cannot remove %s: %s", path, strerror(errno));
done:
    fv_json_destroy(all);
    fv_json_destroy(images);
    return err;
}

fv_err fv_folder_make_v4(const char *folder)
{
    FV_TRY(write_tokenizer(folder));
    FV_TRY(fv_folder_write_template(folder));
    return write_processor(folder);
}
