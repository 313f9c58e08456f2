/* State that waits on the host, on its way through the back end's memory.
 *
 * There are two slots. A piece comes into one on FV_STREAM_COPY, is worked on on FV_STREAM_COMPUTE, and goes
 * back on FV_STREAM_BACK; meanwhile the next piece comes into the other. Each step waits for the event behind
 * the one before it: `there` when a piece has come, `done` when it has been worked on, `gone` when it is back
 * and its slot is free. A piece that is fetched in a later visit has gone back before: downloads run in
 * order, and its slot's last one came behind. */
#include "model/optimizer_internal.h"

#include "model/model.h"

#include <stdlib.h>

enum { N_SLOTS = 2, MOST = 1 << 25, LEAST = 1 << 12, SHARE = 16 /* pieces of a small share */ };

typedef struct slot {
    fv_tensor parts[FV_STATE_PARTS]; /* (elements); absent if the part does not wait on the host */
    fv_event *there, *done, *gone;
} slot;

struct fv_state_slots {
    int64_t elements;
    slot all[N_SLOTS];
};

int fv_state_waits(const fv_optimizer *o, fv_state_part part)
{
    if (part == FV_STATE_MASTER)
        return o->settings.on_host == FV_ON_HOST_ALL && o->model->weights.flat.dtype != FV_F32;
    return o->settings.on_host != FV_ON_HOST_NOTHING;
}

static int64_t elements_of(int64_t n)
{
    int64_t elements = (n / SHARE + LEAST) / LEAST * LEAST;
    return elements < MOST ? elements : MOST;
}

static fv_err open_slot(fv_backend *backend, slot *s)
{
    FV_TRY(fv_event_create(backend, &s->there));
    FV_TRY(fv_event_create(backend, &s->done));
    return fv_event_create(backend, &s->gone);
}

fv_err fv_state_slots_create(fv_optimizer *o)
{
    if (o->settings.on_host == FV_ON_HOST_NOTHING)
        return FV_OK;
    o->slots = calloc(1, sizeof *o->slots);
    FV_CHECK(o->slots, FV_ERR_MEMORY, "cannot allocate the slots of an optimizer");
    o->slots->elements = elements_of(o->n);
    for (int i = 0; i < N_SLOTS; i++)
        FV_TRY(open_slot(o->model->backend, &o->slots->all[i]));
    return FV_OK;
}

fv_err fv_state_slots_take(fv_optimizer *o, fv_arena *arena)
{
    for (int i = 0; i < N_SLOTS && o->slots; i++)
        for (fv_state_part part = 0; part < FV_STATE_PARTS; part++)
            if (fv_state_waits(o, part))
                FV_TRY(fv_tensor_take(arena, fv_optimizer_dtype(o, part), 1, &o->slots->elements,
                                      &o->slots->all[i].parts[part]));
    return FV_OK;
}

void fv_state_slots_destroy(fv_optimizer *o)
{
    if (!o->slots)
        return;
    fv_backend *backend = o->model->backend;
    fv_backend_settle(backend);
    for (slot *s = o->slots->all; s < o->slots->all + N_SLOTS; s++) {
        fv_event_destroy(backend, s->there);
        fv_event_destroy(backend, s->done);
        fv_event_destroy(backend, s->gone);
    }
    for (int part = 0; part < FV_STATE_PARTS; part++)
        fv_host_free(backend, o->host[part]);
    free(o->slots);
    o->slots = NULL;
}

static void *host_at(const fv_optimizer *o, fv_state_part part, int64_t first)
{
    return (char *)o->host[part] + (size_t)first * fv_dtype_bytes(fv_optimizer_dtype(o, part));
}

static fv_err fetch(const fv_optimizer *o, const slot *s, int64_t first, int64_t n)
{
    fv_backend *backend = o->model->backend;
    FV_TRY(fv_event_wait(backend, s->gone, FV_STREAM_COPY));
    for (fv_state_part part = 0; part < FV_STATE_PARTS; part++)
        if (s->parts[part].data)
            FV_TRY(fv_upload(backend, FV_STREAM_COPY, fv_tensor_rows(s->parts[part], 0, n),
                             host_at(o, part, first)));
    FV_TRY(fv_event_record(backend, s->there, FV_STREAM_COPY));
    return fv_event_wait(backend, s->there, FV_STREAM_COMPUTE);
}

static fv_err give_back(const fv_optimizer *o, const slot *s, int64_t first, int64_t n)
{
    fv_backend *backend = o->model->backend;
    FV_TRY(fv_event_record(backend, s->done, FV_STREAM_COMPUTE));
    FV_TRY(fv_event_wait(backend, s->done, FV_STREAM_BACK));
    for (fv_state_part part = 0; part < FV_STATE_PARTS; part++)
        if (s->parts[part].data)
            FV_TRY(fv_download(backend, FV_STREAM_BACK, fv_tensor_rows(s->parts[part], 0, n),
                               host_at(o, part, first)));
    return fv_event_record(backend, s->gone, FV_STREAM_BACK);
}

/* Where a part of the piece is: in its slot, or where it always is. */
static fv_tensor part_of(fv_tensor resident, fv_tensor visiting, int64_t first, int64_t n)
{
    return visiting.data ? fv_tensor_rows(visiting, 0, n) : fv_rows_if(resident, first, n);
}

static fv_state_piece piece_of(const fv_optimizer *o, const slot *s, int64_t first, int64_t n)
{
    return (fv_state_piece){.first = first,
                            .n = n,
                            .master = part_of(o->master, s->parts[FV_STATE_MASTER], first, n),
                            .low = fv_rows_if(o->low, first, n),
                            .m = part_of(o->m, s->parts[FV_STATE_M], first, n),
                            .v = part_of(o->v, s->parts[FV_STATE_V], first, n)};
}

typedef struct visit {
    fv_state_work work;
    void *context;
    int fetches;
} visit;

static fv_err stream(fv_optimizer *o, int64_t first, int64_t n, const visit *v)
{
    int64_t end = first + n;
    for (int i = 0; first < end; i = (i + 1) % N_SLOTS) {
        const slot *s = &o->slots->all[i];
        n = end - first < o->slots->elements ? end - first : o->slots->elements;
        const fv_state_piece piece = piece_of(o, s, first, n);
        if (v->fetches)
            FV_TRY(fetch(o, s, first, n));
        else
            FV_TRY(fv_event_wait(o->model->backend, s->gone, FV_STREAM_COMPUTE));
        FV_TRY(v->work(v->context, &piece));
        FV_TRY(give_back(o, s, first, n));
        first += n;
    }
    return FV_OK;
}

fv_err fv_state_host_init(fv_optimizer *o, fv_state_work work, void *context)
{
    const visit v = {work, context, 0};
    for (fv_state_part part = 0; part < FV_STATE_PARTS; part++)
        if (fv_state_waits(o, part))
            FV_TRY(fv_host_alloc(o->model->backend,
                                 (size_t)o->n * fv_dtype_bytes(fv_optimizer_dtype(o, part)), &o->host[part]));
    return stream(o, 0, o->n, &v);
}

fv_err fv_state_visit(fv_optimizer *o, int64_t first, int64_t n, fv_state_work work, void *context)
{
    static const slot none;
    const visit v = {work, context, 1};
    const fv_state_piece all = piece_of(o, &none, first, n);
    if (!o->slots)
        return work(context, &all);
    if (o->before_change)
        FV_TRY(o->before_change(o->before_context));
    return stream(o, first, n, &v);
}
