#include "fovea/ops/profile.h"

#include <stdlib.h>
#include <string.h>

enum { MARKS = 1024 };

typedef struct mark {
    fv_event *from, *to;
    fv_op op;
} mark;

typedef struct fv_profile {
    mark marks[MARKS];
    int n; /* that wait to be read */
} fv_profile;

/* What has been queued up to here becomes time. */
static fv_err read_marks(fv_backend *backend)
{
    fv_profile *p = backend->profile;
    FV_TRY(fv_backend_synchronize(backend));
    for (int i = 0; i < p->n; i++) {
        double seconds;
        FV_TRY(backend->table->event_seconds(backend, p->marks[i].from, p->marks[i].to, &seconds));
        backend->timer[p->marks[i].op].ns += (int64_t)(seconds * 1e9);
    }
    p->n = 0;
    return FV_OK;
}

fv_err fv_profile_begin(fv_backend *backend)
{
    fv_profile *p = backend->profile;
    if (p->n == MARKS)
        FV_TRY(read_marks(backend));
    return fv_event_record(backend, p->marks[p->n].from, FV_STREAM_COMPUTE);
}

fv_err fv_profile_end(fv_backend *backend, fv_op op)
{
    fv_profile *p = backend->profile;
    p->marks[p->n].op = op;
    return fv_event_record(backend, p->marks[p->n++].to, FV_STREAM_COMPUTE);
}

static void destroy(fv_backend *backend)
{
    fv_profile *p = backend->profile;
    for (int i = 0; p && i < MARKS; i++) {
        fv_event_destroy(backend, p->marks[i].from);
        fv_event_destroy(backend, p->marks[i].to);
    }
    free(p);
    backend->profile = NULL;
}

static fv_err create(fv_backend *backend)
{
    backend->profile = calloc(1, sizeof *backend->profile);
    FV_CHECK(backend->profile, FV_ERR_MEMORY, "cannot allocate a profile");
    for (int i = 0; i < MARKS; i++) {
        FV_TRY(fv_event_create(backend, &backend->profile->marks[i].from));
        FV_TRY(fv_event_create(backend, &backend->profile->marks[i].to));
    }
    return FV_OK;
}

fv_err fv_profile_start(fv_backend *backend)
{
    memset(backend->timer, 0, sizeof backend->timer);
    fv_err err = backend->table->event_seconds ? create(backend) : FV_OK;
    if (err != FV_OK)
        destroy(backend);
    return err;
}

fv_err fv_profile_stop(fv_backend *backend)
{
    fv_err err = backend->profile ? read_marks(backend) : FV_OK;
    destroy(backend);
    return err;
}
