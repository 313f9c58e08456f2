/* A model folder in the layout of Hugging Face: config.json and tensors in one safetensors file, or in
 * several with an index. Local: every rank opens the folder itself and reads its own parts.
 *
 * Tensors are looked up by the names of param.h whatever the folder calls them: the text's prefix may be
 * "model." or "model.language_model.", the vision tower's "visual." or "model.visual.". */
#ifndef FOVEA_FOLDER_H
#define FOVEA_FOLDER_H

#include "fovea/param.h"
#include "fovea/safetensors.h"

/* How an open folder names its tensors. */
typedef struct fv_name_style {
    const char *text;   /* "model." or "model.language_model."; static storage */
    const char *vision; /* "visual." or "model.visual." */
} fv_name_style;

enum { FV_TENSOR_NAME_BYTES = FV_PARAM_NAME_BYTES + 16 };

typedef struct fv_folder {
    char *path; /* owned */
    fv_model_shape shape;
    fv_generation_defaults generation;
    fv_param_list params;
    fv_name_style style;
    fv_safetensors *files; /* owned */
    int n_files;
    const fv_safetensor **tensors; /* owned list; one a parameter, in its order; borrowed from files */
} fv_folder;

/* Read the shape, map the files and check that they hold exactly the parameters of the shape, each with its
 * dimensions and a float storage. Passed over: the "inv_freq" tables of old files, and a tied model's
 * lm_head.weight if it equals the embedding. Nothing is read yet. */
fv_err fv_folder_open(const char *path, fv_folder *out);
void fv_folder_close(fv_folder *folder); /* back to {0} */

/* Read part (fv_param_part_of) of parameter number param into out (part.rows, part.cols), fp32, whose rows
 * are stride elements apart: straight from the mapping, in parallel. */
fv_err fv_folder_read(const fv_folder *folder, int param, const fv_param_part *part, float *out,
                      int64_t stride);

/* The folder's own name of a parameter into out (FV_TENSOR_NAME_BYTES). */
void fv_folder_tensor_name(const fv_folder *folder, int param, char *out);
void fv_name_style_apply(fv_name_style style, const char *param_name, char *out);

#endif
