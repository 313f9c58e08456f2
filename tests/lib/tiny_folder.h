/* A tiny model folder, written by the library itself. */
#ifndef FOVEA_TINY_FOLDER_H
#define FOVEA_TINY_FOLDER_H

#include "temp_folder.h"

#include "fovea/model/hf/folder.h"

extern const fv_generation_defaults tiny_generation;

/* Two layers, 33 tokens; every number as small as the family allows. */
fv_model_shape tiny_shape(fv_family family, int tied);

/* Write the model of shape into root/name. */
fv_err tiny_write(const char *name, const fv_model_shape *shape, fv_folder_style style, int64_t shard_bytes);

#endif
