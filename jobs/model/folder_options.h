/* Options that programs which write model folders share. */
#ifndef FOVEA_JOBS_FOLDER_OPTIONS_H
#define FOVEA_JOBS_FOLDER_OPTIONS_H

#include "fovea/model/hf/folder.h"

#include <argp.h>

/* "4", "5" or, if keep is allowed, "keep"; argp_error (which ends the program) tells of others. */
fv_folder_style fv_parse_style(struct argp_state *state, const char *text, int keep);

/* fp32, fp16 or bf16. */
fv_dtype fv_parse_dtype(struct argp_state *state, const char *text);

/* A number of bytes. */
int64_t fv_parse_bytes(struct argp_state *state, const char *option, const char *text);

#endif
