/* The files of a model folder that are no tensors, from folder to folder. Local. */
#ifndef FOVEA_MODEL_HF_SMALL_FILES_H
#define FOVEA_MODEL_HF_SMALL_FILES_H

#include "fovea/base/error.h"

/* Copy tokenizer files from one folder to another, those that are there. */
fv_err fv_folder_copy_tokenizer(const char *from, const char *to);

/* FV_ERR_ARGUMENT if one of the small files that are copied is a link out of the folder, which may have come
 * from anywhere. The links of a cache of Hugging Face are none. */
fv_err fv_folder_check_links(const char *folder);

/* What says how the model is sampled and sees, from folder to folder. */
fv_err fv_folder_copy_settings(const char *from, const char *to);

/* config.json and all of those that there are, from folder to folder. */
fv_err fv_folder_copy_small_files(const char *from, const char *to);

#endif
