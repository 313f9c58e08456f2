#include "fovea/model/reference.h"
#include "fovea/ops/staging.h"
#include "model/model.h"

#include <stdlib.h>
#include <string.h>

enum { PIECE = 1 << 18 }; /* elements */

static fv_err keep_on_host(fv_reference *r)
{
    fv_tensor flat = fv_model_weights(r->model)->flat;
    r->host = malloc(fv_tensor_span_bytes(flat) + 1);
    FV_CHECK(r->host, FV_ERR_MEMORY, "cannot allocate %zu bytes of host memory for the reference policy",
             fv_tensor_span_bytes(flat));
    return fv_download_now(fv_model_backend(r->model), flat, r->host);
}

static fv_err keep_on_device(fv_reference *r)
{
    FV_TRY(fv_model_alloc_weights(r->model, fv_model_precision(r->model)->param, &r->weights));
    return fv_model_copy_weights(r->model, &r->weights);
}

fv_err fv_reference_init(fv_reference *reference, fv_model *model, int on_host)
{
    *reference = (fv_reference){.model = model};
    fv_err err = on_host ? keep_on_host(reference) : keep_on_device(reference);
    if (err != FV_OK)
        fv_reference_fini(reference);
    return err;
}

void fv_reference_fini(fv_reference *reference)
{
    if (reference->weights.flat.data)
        fv_model_free_weights(reference->model, &reference->weights);
    free(reference->host);
    *reference = (fv_reference){0};
}

static fv_err exchange_piece(fv_model *model, fv_tensor piece, void *host)
{
    fv_backend *backend = fv_model_backend(model);
    size_t bytes = fv_tensor_span_bytes(piece);
    void *own;
    FV_TRY(fv_model_stage(model, bytes, &own));
    FV_TRY(fv_download_now(backend, piece, own));
    FV_TRY(fv_upload_array(backend, piece, host));
    memcpy(host, own, bytes);
    return FV_OK;
}

fv_err fv_reference_exchange(fv_reference *reference)
{
    fv_model *model = reference->model;
    fv_tensor flat = fv_model_weights(model)->flat;
    int64_t n = flat.dim[0];
    if (!reference->host) {
        fv_model_swap_weights(model, &reference->weights);
        return FV_OK;
    }
    for (int64_t first = 0; first < n; first += PIECE) {
        fv_tensor piece = fv_tensor_rows(flat, first, n - first < PIECE ? n - first : PIECE);
        char *host = reference->host;
        FV_TRY(exchange_piece(model, piece, host + (size_t)first * fv_dtype_bytes(flat.dtype)));
    }
    return FV_OK;
}
