#include "fovea/model/checkpoint/checkpoint.h"
#include "fovea/model/hf/folder.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const text_prefixes[] = {"model.", "model.language_model."};
static const char *const vision_prefixes[] = {"visual.", "model.visual."};

static int starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

void fv_name_style_apply(fv_name_style style, const char *param_name, char *out)
{
    const char *prefix = "", *rest = param_name;
    if (starts_with(param_name, text_prefixes[0])) {
        prefix = style.text;
        rest += strlen(text_prefixes[0]);
    } else if (starts_with(param_name, vision_prefixes[0])) {
        prefix = style.vision;
        rest += strlen(vision_prefixes[0]);
    }
    snprintf(out, FV_TENSOR_NAME_BYTES, "%s%s", prefix, rest);
}

void fv_folder_tensor_name(const fv_folder *folder, int param, char *out)
{
    fv_name_style_apply(folder->style, folder->params.items[param].name, out);
}

static const fv_safetensor *find_tensor(const fv_folder *folder, const char *name)
{
    const fv_safetensor *found = NULL;
    for (int i = 0; i < folder->n_files && !found; i++)
        found = fv_safetensors_find(&folder->files[i], name);
    return found;
}

/* A prefix whose tensor of that name is there; the first if none is. */
static const char *find_prefix(const fv_folder *folder, const char *const prefixes[2], const char *name)
{
    char full[FV_TENSOR_NAME_BYTES];
    snprintf(full, sizeof full, "%s%s", prefixes[1], name);
    return find_tensor(folder, full) ? prefixes[1] : prefixes[0];
}

static fv_err open_file(fv_folder *folder, const char *name)
{
    char path[PATH_MAX];
    FV_TRY(fv_file_path(path, sizeof path, folder->path, name));
    fv_safetensors *files = realloc(folder->files, (size_t)(folder->n_files + 1) * sizeof *files);
    FV_CHECK(files, FV_ERR_MEMORY, "no memory for file %d of %s", folder->n_files, folder->path);
    folder->files = files;
    FV_TRY(fv_safetensors_open(path, &files[folder->n_files]));
    folder->n_files++;
    return FV_OK;
}

/* Open the files that an index names, each once; names[i] becomes the name of file i. */
static fv_err open_indexed(fv_folder *folder, const fv_json *map, const char **names)
{
    for (void *i = fv_json_first(map); i; i = fv_json_next(map, i)) {
        const char *name = NULL;
        int file = 0;
        FV_TRY(fv_json_to_string(fv_json_member(i), fv_json_key(i), &name, NULL));
        FV_CHECK(*name && !strchr(name, '/') && name[0] != '.', FV_ERR_FORMAT,
                 "tensor \"%.128s\" is said to be in \"%.128s\", expected the name of a file of this folder",
                 fv_json_key(i), name);
        while (file < folder->n_files && strcmp(names[file], name) != 0)
            file++;
        if (file == folder->n_files) {
            FV_TRY(open_file(folder, name));
            names[file] = name;
        }
        FV_CHECK(fv_safetensors_find(&folder->files[file], fv_json_key(i)), FV_ERR_FORMAT,
                 "tensor \"%.128s\" is said to be in %s, which does not have it", fv_json_key(i), name);
    }
    return FV_OK;
}

static fv_err open_index(fv_folder *folder, const char *path)
{
    fv_json *index = NULL;
    FV_TRY(fv_json_load(path, &index));
    const fv_json *map = fv_json_get(index, "weight_map");
    const char **names = calloc(fv_json_size(map) + 1, sizeof *names);
    fv_err err = FV_OK;
    FV_CHECK_DONE(names, FV_ERR_MEMORY, "no memory for %zu names", fv_json_size(map));
    FV_CHECK_DONE(map && fv_json_kind_of(map) == FV_JSON_OBJECT, FV_ERR_FORMAT,
                  "\"weight_map\" is missing or not an object");
    FV_TRY_DONE(open_indexed(folder, map, names));
done:
    free(names);
    fv_json_destroy(index);
    return err == FV_OK ? FV_OK : fv_error_prefix(err, "%s", path);
}

static fv_err open_files(fv_folder *folder)
{
    char path[PATH_MAX];
    FV_TRY(fv_file_path(path, sizeof path, folder->path, "model.safetensors"));
    if (fv_file_exists(path))
        return open_file(folder, "model.safetensors");
    FV_TRY(fv_file_path(path, sizeof path, folder->path, "model.safetensors.index.json"));
    FV_CHECK(fv_file_exists(path), FV_ERR_IO,
             "%s has neither model.safetensors nor model.safetensors.index.json", folder->path);
    return open_index(folder, path);
}

static fv_err check_tensor(const fv_param *param, const fv_safetensor *tensor)
{
    char found[128], expected[128];
    fv_safetensor_print_dims(tensor->dim, tensor->n_dims, found, sizeof found);
    fv_safetensor_print_dims(param->dim, param->n_dims, expected, sizeof expected);
    FV_CHECK(tensor->n_dims == param->n_dims &&
                 memcmp(tensor->dim, param->dim, (size_t)param->n_dims * sizeof *param->dim) == 0,
             FV_ERR_SHAPE, "tensor \"%s\" has shape %s, expected %s by config.json", tensor->name, found,
             expected);
    FV_CHECK(fv_dtype_is_float(tensor->dtype), FV_ERR_UNSUPPORTED,
             "tensor \"%s\" has dtype %s, expected F32, F16 or BF16", tensor->name,
             fv_dtype_name(tensor->dtype));
    return FV_OK;
}

/* Find the tensor of every parameter; a sentence names the first few that are missing. */
static fv_err find_all(fv_folder *folder)
{
    char name[FV_TENSOR_NAME_BYTES], missing[3 * FV_TENSOR_NAME_BYTES + 16] = "";
    int n_missing = 0;
    for (int i = 0; i < folder->params.n; i++) {
        fv_folder_tensor_name(folder, i, name);
        folder->tensors[i] = find_tensor(folder, name);
        if (folder->tensors[i]) {
            FV_TRY(check_tensor(&folder->params.items[i], folder->tensors[i]));
            continue;
        }
        if (n_missing++ < 3)
            snprintf(missing + strlen(missing), sizeof missing - strlen(missing), "%s%s",
                     *missing ? ", " : "", name);
    }
    FV_CHECK(n_missing == 0, FV_ERR_FORMAT,
             "%d of %d tensors that config.json asks for are missing, such as %s", n_missing,
             folder->params.n, missing);
    return FV_OK;
}

static int compare_tensors(const void *a, const void *b)
{
    const fv_safetensor *left = *(const fv_safetensor *const *)a, *right = *(const fv_safetensor *const *)b;
    return left < right ? -1 : left > right;
}

/* Tables that older libraries stored though they follow from the configuration. */
static int is_harmless(const char *name)
{
    static const char suffix[] = "rotary_emb.inv_freq", visual[] = "rotary_pos_emb.inv_freq";
    size_t n = strlen(name);
    return (n >= sizeof suffix && strcmp(name + n - sizeof suffix + 1, suffix) == 0) ||
           (n >= sizeof visual && strcmp(name + n - sizeof visual + 1, visual) == 0);
}

/* A tied model's file may repeat the embedding under the name of the head. */
static fv_err check_extra(const fv_folder *folder, const fv_safetensor *extra)
{
    const fv_safetensor *embedding = folder->tensors[0];
    if (is_harmless(extra->name))
        return FV_OK;
    FV_CHECK(
        folder->shape.text.tied && strcmp(extra->name, "lm_head.weight") == 0, FV_ERR_FORMAT,
        "tensor \"%.128s\" is not of this model, or is there twice: does config.json belong to these files?",
        extra->name);
    FV_CHECK(extra->dtype == embedding->dtype && extra->bytes == embedding->bytes &&
                 memcmp(extra->data, embedding->data, extra->bytes) == 0,
             FV_ERR_FORMAT,
             "\"lm_head.weight\" differs from \"%s\", but \"tie_word_embeddings\" in config.json is true",
             embedding->name);
    return FV_OK;
}

/* sorted: the found tensors by address. */
static fv_err check_extras(const fv_folder *folder, const fv_safetensor **sorted)
{
    size_t n = (size_t)folder->params.n;
    memcpy(sorted, folder->tensors, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, compare_tensors);
    for (int f = 0; f < folder->n_files; f++) {
        for (size_t i = 0; i < folder->files[f].n; i++) {
            const fv_safetensor *item = &folder->files[f].items[i];
            if (!bsearch(&item, sorted, n, sizeof *sorted, compare_tensors))
                FV_TRY(check_extra(folder, item));
        }
    }
    return FV_OK;
}

static fv_err check_tensors(fv_folder *folder)
{
    size_t n = (size_t)folder->params.n;
    folder->tensors = calloc(n, sizeof *folder->tensors);
    const fv_safetensor **sorted = calloc(n, sizeof *sorted);
    fv_err err = FV_OK;
    FV_CHECK_DONE(folder->tensors && sorted, FV_ERR_MEMORY, "no memory for %zu tensors", n);
    folder->style.text = find_prefix(folder, text_prefixes, "embed_tokens.weight");
    folder->style.vision = find_prefix(folder, vision_prefixes, "patch_embed.proj.weight");
    FV_TRY_DONE(find_all(folder));
    FV_TRY_DONE(check_extras(folder, sorted));
    folder->dtype = folder->tensors[0]->dtype;
done:
    free(sorted);
    return err == FV_OK ? FV_OK : fv_error_prefix(err, "%s", folder->path);
}

static fv_err open_checkpoint(fv_folder *folder)
{
    folder->style = (fv_name_style){text_prefixes[0], vision_prefixes[0]};
    folder->dtype = FV_F32;
    FV_TRY(fv_checkpoint_open(folder->path, &folder->checkpoint));
    return fv_checkpoint_check(folder->checkpoint, FV_CHECKPOINT_WEIGHTS);
}

static fv_err open_all(const char *path, fv_folder *out)
{
    out->path = strdup(path);
    FV_CHECK(out->path, FV_ERR_MEMORY, "no memory for the path %s", path);
    FV_TRY(fv_model_shape_load(path, &out->shape, &out->generation));
    FV_TRY(fv_param_list_init(&out->params, &out->shape));
    if (fv_checkpoint_is(path))
        return open_checkpoint(out);
    FV_TRY(open_files(out));
    return check_tensors(out);
}

fv_err fv_folder_open(const char *path, fv_folder *out)
{
    *out = (fv_folder){0};
    fv_err err = open_all(path, out);
    if (err != FV_OK)
        fv_folder_close(out);
    return err;
}

void fv_folder_close(fv_folder *folder)
{
    for (int i = 0; i < folder->n_files; i++)
        fv_safetensors_close(&folder->files[i]);
    fv_checkpoint_close(folder->checkpoint);
    free(folder->files);
    free(folder->tensors);
    fv_param_list_fini(&folder->params);
    free(folder->path);
    *folder = (fv_folder){0};
}
