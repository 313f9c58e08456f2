/* Copies between tensors and ordinary host memory, through a ring of pinned buffers that each back end has.
 *
 * Uploads copy into a buffer and are queued on FV_STREAM_COMPUTE: the array is the caller's again at once.
 * Downloads wait until the numbers are there: for cold paths, and for results that the host needs now.
 * Nothing is allocated after the first use. Local. */
#ifndef FOVEA_OPS_STAGING_H
#define FOVEA_OPS_STAGING_H

#include "fovea/ops/backend.h"

enum { FV_STAGING_BUFFERS = 4, FV_STAGING_BYTES = 1 << 20 };

/* The elements of a tensor, side by side in host memory. */
typedef struct fv_upload_part {
    fv_tensor to;
    const void *from;
} fv_upload_part;

/* Upload n arrays. Contiguous tensors that were taken from an arena one after the other go in one copy. */
fv_err fv_upload_parts(fv_backend *backend, const fv_upload_part *parts, int n);
fv_err fv_upload_array(fv_backend *backend, fv_tensor to, const void *from);

/* Download and wait. */
fv_err fv_download_now(fv_backend *backend, fv_tensor from, void *to);

/* A ring of one's own, for much that is made in place: fv_staging_next gives the next buffer (bytes), which
 * may be written until fv_staging_upload queues it, from its beginning, to a tensor no larger than it. */
fv_err fv_staging_create(fv_backend *backend, size_t bytes, fv_staging **out);
fv_err fv_staging_next(fv_staging *staging, void **buffer);
fv_err fv_staging_upload(fv_staging *staging, fv_tensor to);

#endif
