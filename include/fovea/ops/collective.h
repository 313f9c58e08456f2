/* Process groups over tensors: comm.h for memory that a back end owns. Collective over comm. */
#ifndef FOVEA_OPS_COLLECTIVE_H
#define FOVEA_OPS_COLLECTIVE_H

#include "fovea/ops/backend.h"
#include "fovea/comm/comm.h"

/* t = sum over ranks, in rank order. F32, contiguous. */
fv_err fv_all_reduce(fv_backend *backend, fv_comm *comm, fv_tensor t);

/* out (size * n, ...) = the in (n, ...) of every rank, one after the other. Contiguous, the same shape on
 * every rank. */
fv_err fv_all_gather(fv_backend *backend, fv_comm *comm, fv_tensor in, fv_tensor out);

/* t of rank root on every rank. Contiguous. */
fv_err fv_broadcast(fv_backend *backend, fv_comm *comm, fv_tensor t, int root);

#endif
