/* Graphs of back ends that run the body each time and see that its calls are those of its first run. Local.
 */
#ifndef FOVEA_SRC_OPS_RECORD_H
#define FOVEA_SRC_OPS_RECORD_H

#include "fovea/ops/backend.h"

/* What they put into their tables. */
fv_err fv_record_create(fv_backend *backend, fv_graph **out);
void fv_record_destroy(fv_backend *backend, fv_graph *graph);
fv_err fv_record_run(fv_backend *backend, fv_graph *graph, fv_graph_body body, void *context);

/* The body calls an operation. */
fv_err fv_record_call(fv_graph *graph, fv_op op, const void *args);

#endif
