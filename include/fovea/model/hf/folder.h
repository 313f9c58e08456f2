/* A model folder in the layout of Hugging Face: config.json and tensors in one safetensors file, or in
 * several with an index; or a checkpoint (checkpoint.h), whose weights are then read. Local: every rank opens
 * the folder itself and reads its own parts.
 *
 * Tensors are looked up by the names of param.h whatever the folder calls them: the text's prefix may be
 * "model." or "model.language_model.", the vision tower's "visual." or "model.visual.". */
#ifndef FOVEA_MODEL_HF_FOLDER_H
#define FOVEA_MODEL_HF_FOLDER_H

#include "fovea/model/param.h"
#include "fovea/io/safetensors.h"

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
    const fv_safetensor **tensors;    /* owned list; one a parameter, in its order; borrowed from files */
    struct fv_checkpoint *checkpoint; /* owned; NULL, or in place of files and tensors */
    fv_dtype dtype;                   /* of the embedding */
} fv_folder;

/* Read the shape, map the files and check that they hold exactly the parameters of the shape, each with its
 * dimensions and a float dtype. Passed over: the "inv_freq" tables of old files, and a tied model's
 * lm_head.weight if it equals the embedding. Nothing is read yet, but a checkpoint's weights are compared
 * with their checksums. */
fv_err fv_folder_open(const char *path, fv_folder *out);
void fv_folder_close(fv_folder *folder); /* back to {0} */

/* Where what is read goes, and its dtype, a float one: F32 is exact, others are rounded to nearest even. */
typedef struct fv_folder_out {
    fv_dtype dtype;
    void *data;
} fv_folder_out;

/* Read rows [first, first + n) of a part (fv_param_part_of) of parameter number param into out (n,
 * part.cols): straight from the mapping, in parallel. */
fv_err fv_folder_read(const fv_folder *folder, int param, const fv_param_part *part, int64_t first, int64_t n,
                      fv_folder_out out);

/* Read rows [first, first + n) of the whole parameter into out (n, cols), fp32, the same way. */
fv_err fv_folder_read_rows(const fv_folder *folder, int param, int64_t first, int64_t n, float *out);

/* The folder's own name of a parameter into out (FV_TENSOR_NAME_BYTES). */
void fv_folder_tensor_name(const fv_folder *folder, int param, char *out);
void fv_name_style_apply(fv_name_style style, const char *param_name, char *out);

/* The form in which a folder is written: the names of tensors and the form of config.json (flat or nested).
 */
typedef enum fv_folder_style {
    FV_FOLDER_KEEP, /* like the source folder */
    FV_FOLDER_V4,   /* transformers 4: "model.", "visual.", flat; small files as 4.49 to 4.57 read them */
    FV_FOLDER_V5 /* transformers 5: "model.language_model.", "model.visual.", nested, for models with vision
                  */
} fv_folder_style;

typedef struct fv_folder_write_args {
    const fv_model_shape *shape;
    const fv_generation_defaults *generation; /* for generation_config.json if there is no source */
    const fv_folder *source; /* its configuration, tokenizer and other small files are copied; or NULL */
    fv_folder_style style;   /* KEEP needs a source */
    fv_dtype dtype;          /* a float one */
    int64_t max_shard_bytes; /* a larger model is cut into files of at most this; one tensor is never cut */
    int writes;              /* 0: only call rows, as the other ranks of a collective writing do */

    /* Put rows [first, first + n) of parameter number param, (n, cols) fp32, into out. Called for all
     * parameters in order, rows ascending, with the same arguments on every rank; a rank that fails to write
     * still makes all the calls before it returns the error, so rows may be collective. A failure of rows
     * ends the writing. */
    fv_err (*rows)(void *context, int param, int64_t first, int64_t n, float *out);
    fv_err (*more)(void *context, const char *path); /* adds files to the folder path; or NULL */
    void *context;
} fv_folder_write_args;

/* Write a folder that this library and transformers load. path may exist if it is empty; its parent must.
 * config.json comes last: a folder that has it is whole. Numbers are rounded to nearest even; one that fp16
 * cannot hold is FV_ERR_NUMERIC and names the tensor. Collective if args->rows is. */
fv_err fv_folder_write(const char *path, const fv_folder_write_args *args);

/* The default of max_shard_bytes. */
#define FV_FOLDER_SHARD_BYTES ((int64_t)5000000000)

/* Write chat_template.json, where processors of transformers look for it, with the template of
 * tokenizer_config.json, unless it is there or there is none. */
fv_err fv_folder_write_template(const char *folder);

#endif
