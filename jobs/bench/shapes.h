/* Shapes by name. Local. */
#ifndef FOVEA_JOBS_BENCH_SHAPES_H
#define FOVEA_JOBS_BENCH_SHAPES_H

#include "fovea/model/shape/shape.h"

/* "3b" and "7b" of Qwen2.5-VL, "tiny", or a YAML file. */
fv_err fv_bench_shape_find(const char *name, fv_model_shape *out);

#endif
