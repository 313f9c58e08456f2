/* The small files of a model folder. Local. */
#ifndef FOVEA_SRC_MODEL_HF_FOLDER_CONFIG_H
#define FOVEA_SRC_MODEL_HF_FOLDER_CONFIG_H

#include "fovea/model/hf/folder.h"
#include "fovea/io/json.h"

/* config.json (args->style, args->dtype): the source's with its dtype changed, or made from the shape. */
fv_err fv_folder_write_config(const char *path, const fv_folder_write_args *args);

/* Everything else but tensors: copied from the source, or made from the shape. */
fv_err fv_folder_write_small_files(const char *path, const fv_folder_write_args *args);

/* root as the file folder/name. */
fv_err fv_folder_write_json(const char *folder, const char *name, const fv_json *root);

/* folder_v4.c: the small files of a folder, as transformers 5 may have written them, in the form that
 * transformers 4.49 to 4.57 read. */
fv_err fv_folder_make_v4(const char *folder);

#endif
