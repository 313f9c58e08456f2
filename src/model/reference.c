/* A reference that waits on the host trades places with the weights piece by piece. There are two slots: a
 * piece of the reference comes into one on FV_STREAM_COPY, the weights' piece goes to the host on
 * FV_STREAM_BACK, to where the other came from, and the slot is copied to the weights' place; meanwhile the
 * next piece comes into the other slot. */
#include "fovea/model/reference.h"
#include "fovea/ops/staging.h"
#include "model/model.h"

#include <stdlib.h>

enum { N_SLOTS = 2, MOST = 1 << 25, LEAST = 1 << 12, SHARE = 16 /* pieces of a small model */ };

typedef struct slot {
    fv_tensor t;                      /* (elements) */
    fv_event *there, *gone, *is_free; /* the reference has come; the weights have gone; the slot is free */
} slot;

struct fv_reference_slots {
    int64_t elements;
    void *memory;    /* of both, owned */
    fv_event *begun; /* what used the weights before is done */
    slot all[N_SLOTS];
};

static fv_err open_slot(fv_backend *backend, slot *s)
{
    FV_TRY(fv_event_create(backend, &s->there));
    FV_TRY(fv_event_create(backend, &s->gone));
    return fv_event_create(backend, &s->is_free);
}

static fv_err open_slots(fv_reference *r, fv_tensor flat)
{
    fv_backend *backend = fv_model_backend(r->model);
    struct fv_reference_slots *slots = r->slots = calloc(1, sizeof *slots);
    FV_CHECK(slots, FV_ERR_MEMORY, "cannot allocate the slots of a reference policy");
    int64_t elements = (flat.dim[0] / SHARE + LEAST) / LEAST * LEAST;
    slots->elements = elements < MOST ? elements : MOST;
    size_t bytes = (size_t)slots->elements * fv_dtype_bytes(flat.dtype);
    FV_TRY(fv_event_create(backend, &slots->begun));
    FV_TRY(fv_backend_alloc(backend, N_SLOTS * bytes, &slots->memory));
    for (int i = 0; i < N_SLOTS; i++) {
        slots->all[i].t =
            fv_tensor_1d((char *)slots->memory + (size_t)i * bytes, flat.dtype, slots->elements);
        FV_TRY(open_slot(backend, &slots->all[i]));
    }
    return FV_OK;
}

static void close_slots(fv_reference *r)
{
    if (!r->slots)
        return;
    fv_backend *backend = fv_model_backend(r->model);
    fv_backend_release(backend, r->slots->memory);
    fv_event_destroy(backend, r->slots->begun);
    for (slot *s = r->slots->all; s < r->slots->all + N_SLOTS; s++) {
        fv_event_destroy(backend, s->there);
        fv_event_destroy(backend, s->gone);
        fv_event_destroy(backend, s->is_free);
    }
    free(r->slots);
}

static fv_err keep_on_host(fv_reference *r)
{
    fv_backend *backend = fv_model_backend(r->model);
    fv_tensor flat = fv_model_weights(r->model)->flat;
    FV_TRY(open_slots(r, flat));
    FV_TRY(fv_host_alloc(backend, fv_tensor_span_bytes(flat), &r->host));
    FV_TRY(fv_download(backend, FV_STREAM_COMPUTE, flat, r->host));
    return fv_backend_synchronize(backend);
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
    close_slots(reference);
    if (reference->host)
        fv_host_free(fv_model_backend(reference->model), reference->host);
    *reference = (fv_reference){0};
}

static fv_err exchange_piece(fv_backend *backend, const slot *s, fv_tensor piece, void *host)
{
    int64_t n = piece.dim[0];
    fv_tensor in = fv_tensor_rows(s->t, 0, n);
    FV_TRY(fv_event_wait(backend, s->is_free, FV_STREAM_COPY));
    FV_TRY(fv_upload(backend, FV_STREAM_COPY, in, host));
    FV_TRY(fv_event_record(backend, s->there, FV_STREAM_COPY));
    FV_TRY(fv_event_wait(backend, s->there, FV_STREAM_BACK));
    FV_TRY(fv_download(backend, FV_STREAM_BACK, piece, host));
    FV_TRY(fv_event_record(backend, s->gone, FV_STREAM_BACK));
    FV_TRY(fv_event_wait(backend, s->gone, FV_STREAM_COMPUTE));
    FV_TRY(fv_copy(backend, &(fv_copy_args){.in = fv_tensor_2d(in.data, in.dtype, 1, n),
                                            .out = fv_tensor_2d(piece.data, piece.dtype, 1, n)}));
    return fv_event_record(backend, s->is_free, FV_STREAM_COMPUTE);
}

static fv_err exchange(fv_reference *r)
{
    const struct fv_reference_slots *slots = r->slots;
    fv_backend *backend = fv_model_backend(r->model);
    fv_tensor flat = fv_model_weights(r->model)->flat;
    int64_t n = flat.dim[0];
    FV_TRY(fv_event_record(backend, slots->begun, FV_STREAM_COMPUTE));
    FV_TRY(fv_event_wait(backend, slots->begun, FV_STREAM_COPY));
    FV_TRY(fv_event_wait(backend, slots->begun, FV_STREAM_BACK));
    for (int64_t first = 0, i = 0; first < n; first += slots->elements, i = (i + 1) % N_SLOTS) {
        int64_t left = n - first;
        fv_tensor piece = fv_tensor_rows(flat, first, left < slots->elements ? left : slots->elements);
        char *host = (char *)r->host + (size_t)first * fv_dtype_bytes(flat.dtype);
        FV_TRY(exchange_piece(backend, &slots->all[i], piece, host));
    }
    return FV_OK;
}

fv_err fv_reference_exchange(fv_reference *reference)
{
    if (reference->host)
        return exchange(reference);
    fv_model_swap_weights(reference->model, &reference->weights);
    return FV_OK;
}

size_t fv_reference_slot_bytes(const fv_reference *reference)
{
    const struct fv_reference_slots *slots = reference->slots;
    return slots ? N_SLOTS * (size_t)slots->elements * fv_dtype_bytes(slots->all[0].t.dtype) : 0;
}
