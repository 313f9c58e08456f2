/* The pass after one whose draws are on their way. A sequence that waits for a draw goes on with it, whatever
 * it is: its id never comes to the host before, but is put in place where it was drawn. Others compute what
 * is known of them, such as a prompt, or what was appended.
 *
 * If a sequence turns out to have come to its end, its rows are given back and the draw is not looked at; if
 * something was appended to it, its row stays and the draw is not looked at. So the owner is told what it
 * would be told anyway, and a device has work while it is. */
#include "engine/engine_internal.h"

int fv_is_awaited(const fv_awaited *a)
{
    return a->sequence->life == a->life && a->sequence->is_running && a->sequence->n == a->n;
}

/* There is room for one more token behind the one that is awaited. */
static int goes_on(const fv_engine *engine, const fv_awaited *a)
{
    return a->n + 2 <= engine->settings.max_tokens;
}

static void mark(const fv_engine *engine, const fv_flight *flight)
{
    for (const fv_awaited *a = flight->awaited; a < flight->awaited + flight->n_awaited; a++) {
        if (!fv_is_awaited(a))
            continue;
        a->sequence->ahead = goes_on(engine, a) ? 1 : -1;
        a->sequence->draw = a->look;
    }
}

static void unmark(const fv_flight *flight)
{
    for (const fv_awaited *a = flight->awaited; a < flight->awaited + flight->n_awaited; a++)
        a->sequence->ahead = 0;
}

/* Logits are not made less likely by tokens that the host does not know. */
static int has_penalty(const fv_engine *engine)
{
    for (const fv_sequence *s = engine->oldest; s; s = s->younger)
        if (s->is_running && s->sampling.repetition_penalty != 1)
            return 1;
    return 0;
}

fv_err fv_schedule_ahead(fv_engine *engine, const fv_flight *flight, int *is_there)
{
    *is_there = 0;
    if (!engine->is_recording || has_penalty(engine))
        return FV_OK;
    mark(engine, flight);
    fv_err err = fv_schedule_pass(engine, 0);
    unmark(flight);
    *is_there = err == FV_OK && engine->pass.n > 0;
    return err;
}
