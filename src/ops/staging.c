/* The ring: a buffer is written again when the event behind its last copy has happened. An upload of any size
 * runs through it in pieces, so that no buffer ever grows. */
#include "fovea/ops/staging.h"

#include <stdlib.h>
#include <string.h>

typedef struct buffer {
    void *memory; /* owned, pinned */
    fv_event *idle;
} buffer;

struct fv_staging {
    fv_backend *backend; /* borrowed */
    size_t bytes;        /* of a buffer */
    buffer ring[FV_STAGING_BUFFERS];
    int last; /* the buffer given out last */
};

void fv_staging_destroy(fv_staging *staging)
{
    if (!staging)
        return;
    fv_backend_settle(staging->backend);
    for (buffer *b = staging->ring; b < staging->ring + FV_STAGING_BUFFERS; b++) {
        fv_event_destroy(staging->backend, b->idle);
        fv_host_free(staging->backend, b->memory);
    }
    free(staging);
}

static fv_err open_ring(fv_staging *staging)
{
    for (buffer *b = staging->ring; b < staging->ring + FV_STAGING_BUFFERS; b++) {
        FV_TRY(fv_host_alloc(staging->backend, staging->bytes, &b->memory));
        FV_TRY(fv_event_create(staging->backend, &b->idle));
    }
    return FV_OK;
}

fv_err fv_staging_create(fv_backend *backend, size_t bytes, fv_staging **out)
{
    *out = NULL;
    fv_staging *staging = calloc(1, sizeof *staging);
    FV_CHECK(staging, FV_ERR_MEMORY, "cannot allocate a ring of staging buffers");
    *staging = (fv_staging){.backend = backend, .bytes = bytes};
    fv_err err = open_ring(staging);
    if (err == FV_OK)
        *out = staging;
    else
        fv_staging_destroy(staging);
    return err;
}

static fv_err next(fv_staging *staging, buffer **out)
{
    staging->last = (staging->last + 1) % FV_STAGING_BUFFERS;
    *out = &staging->ring[staging->last];
    return fv_event_synchronize(staging->backend, (*out)->idle);
}

fv_err fv_staging_next(fv_staging *staging, void **out)
{
    buffer *b = NULL;
    FV_TRY(next(staging, &b));
    *out = b->memory;
    return FV_OK;
}

fv_err fv_staging_upload(fv_staging *staging, fv_tensor to)
{
    const buffer *b = &staging->ring[staging->last];
    size_t bytes = (size_t)fv_tensor_count(to) * fv_dtype_bytes(to.dtype);
    FV_CHECK(bytes <= staging->bytes, FV_ERR_INTERNAL, "an upload of %zu bytes from a buffer of %zu", bytes,
             staging->bytes);
    FV_TRY(fv_upload(staging->backend, FV_STREAM_COMPUTE, to, b->memory));
    return fv_event_record(staging->backend, b->idle, FV_STREAM_COMPUTE);
}

/* The back end's own ring. */
static fv_err ring_of(fv_backend *backend)
{
    return backend->staging ? FV_OK : fv_staging_create(backend, FV_STAGING_BYTES, &backend->staging);
}

/* A tensor as units, elements if it is contiguous and else rows, of which some go at a time. */
typedef struct pieces {
    fv_tensor t;
    size_t unit; /* bytes */
    int64_t n;   /* units of a piece */
} pieces;

static fv_err cut(fv_tensor t, pieces *out)
{
    if (fv_tensor_is_contiguous(t))
        t = fv_tensor_1d(t.data, t.dtype, fv_tensor_count(t));
    *out = (pieces){.t = t, .unit = (size_t)fv_tensor_row_count(t) * fv_dtype_bytes(t.dtype)};
    FV_CHECK(out->unit <= FV_STAGING_BYTES, FV_ERR_UNSUPPORTED,
             "a copy of rows that lie apart and have %zu bytes, at most %d are supported", out->unit,
             FV_STAGING_BYTES);
    out->n = out->unit ? (int64_t)(FV_STAGING_BYTES / out->unit) : 1;
    return FV_OK;
}

static fv_tensor piece_at(const pieces *all, int64_t first)
{
    int64_t left = all->t.dim[0] - first;
    return fv_tensor_rows(all->t, first, left < all->n ? left : all->n);
}

/* Uploads. */

static fv_err upload_pieces(fv_backend *backend, fv_tensor to, const char *from)
{
    pieces all;
    void *memory = NULL;
    FV_TRY(ring_of(backend));
    FV_TRY(cut(to, &all));
    for (int64_t i = 0; i < all.t.dim[0] && all.unit; i += all.n) {
        fv_tensor piece = piece_at(&all, i);
        FV_TRY(fv_staging_next(backend->staging, &memory));
        memcpy(memory, from + (size_t)i * all.unit, (size_t)piece.dim[0] * all.unit);
        FV_TRY(fv_staging_upload(backend->staging, piece));
    }
    return FV_OK;
}

/* Neighbours that are being put together in one buffer, as they will lie. */
typedef struct pack {
    fv_staging *ring;
    char *memory, *first; /* the buffer; where its beginning goes */
    size_t used;
} pack;

static fv_err flush(pack *p)
{
    int64_t n = (int64_t)p->used;
    p->used = 0;
    return n ? fv_staging_upload(p->ring, fv_tensor_1d(p->first, FV_U8, n)) : FV_OK;
}

/* 1 if the part lies behind what is packed, with nothing but an arena's padding between, and still fits. */
static int follows(const pack *p, fv_tensor to, size_t bytes)
{
    uintptr_t end = (uintptr_t)p->first + p->used, at = (uintptr_t)to.data;
    return p->used > 0 && at >= end && at - end < FV_ARENA_ALIGN &&
           at - (uintptr_t)p->first + bytes <= FV_STAGING_BYTES;
}

static fv_err add(pack *p, const fv_upload_part *part, size_t bytes)
{
    if (!follows(p, part->to, bytes)) {
        void *memory = NULL;
        FV_TRY(flush(p));
        FV_TRY(fv_staging_next(p->ring, &memory));
        p->memory = memory;
        p->first = part->to.data;
    }
    size_t at = (size_t)((char *)part->to.data - p->first);
    memset(p->memory + p->used, 0, at - p->used);
    memcpy(p->memory + at, part->from, bytes);
    p->used = at + bytes;
    return FV_OK;
}

fv_err fv_upload_parts(fv_backend *backend, const fv_upload_part *parts, int n)
{
    FV_TRY(ring_of(backend));
    pack p = {.ring = backend->staging};
    for (int i = 0; i < n; i++) {
        size_t bytes = fv_tensor_span_bytes(parts[i].to);
        if (bytes == 0)
            continue;
        if (fv_tensor_is_contiguous(parts[i].to) && bytes <= FV_STAGING_BYTES) {
            FV_TRY(add(&p, &parts[i], bytes));
            continue;
        }
        FV_TRY(flush(&p));
        FV_TRY(upload_pieces(backend, parts[i].to, parts[i].from));
    }
    return flush(&p);
}

fv_err fv_upload_array(fv_backend *backend, fv_tensor to, const void *from)
{
    return upload_pieces(backend, to, from);
}

/* Downloads. A piece is copied out while the next one is on its way. */

typedef struct arrival {
    buffer *from;
    char *to;
    size_t bytes;
} arrival;

static fv_err receive(fv_backend *backend, const arrival *a)
{
    if (a->bytes == 0)
        return FV_OK;
    FV_TRY(fv_event_synchronize(backend, a->from->idle));
    memcpy(a->to, a->from->memory, a->bytes);
    return FV_OK;
}

fv_err fv_download_now(fv_backend *backend, fv_tensor from, void *to)
{
    pieces all;
    arrival before = {0};
    FV_TRY(ring_of(backend));
    FV_TRY(cut(from, &all));
    for (int64_t i = 0; i < all.t.dim[0] && all.unit; i += all.n) {
        fv_tensor piece = piece_at(&all, i);
        arrival now = {.to = (char *)to + (size_t)i * all.unit, .bytes = (size_t)piece.dim[0] * all.unit};
        FV_TRY(next(backend->staging, &now.from));
        FV_TRY(fv_download(backend, FV_STREAM_COMPUTE, piece, now.from->memory));
        FV_TRY(fv_event_record(backend, now.from->idle, FV_STREAM_COMPUTE));
        FV_TRY(receive(backend, &before));
        before = now;
    }
    return receive(backend, &before);
}
