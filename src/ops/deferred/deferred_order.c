/* Happens-before (Lamport, 1978) by vector clocks: each stream knows up to which call of the other all have
 * run before whatever comes on it next. Two uses of the same bytes race if neither call knows of the other,
 * whether or not they meet in time. */
#include "deferred.h"

#include <stdlib.h>

void fv_order_fini(fv_order *order)
{
    free(order->uses);
    *order = (fv_order){0};
}

int64_t fv_order_call(fv_order *order, fv_stream stream)
{
    fv_order_learn(order, (int)stream, &order->clock[FV_HOST]);
    return order->clock[stream].known[stream] = ++order->n[stream];
}

static const char *name_of(fv_stream stream)
{
    static const char *const names[] = {"compute", "copy", "back"};
    return names[stream];
}

static int overlap(const fv_use *a, const fv_use *b)
{
    return a->first < b->end && b->first < a->end;
}

static fv_err keep(fv_order *order, const fv_use *use)
{
    if (order->n_uses == order->capacity) {
        size_t capacity = 2 * order->capacity + 64;
        fv_use *uses = realloc(order->uses, capacity * sizeof *uses);
        FV_CHECK(uses, FV_ERR_MEMORY, "cannot allocate a list of %zu uses of memory", capacity);
        order->uses = uses;
        order->capacity = capacity;
    }
    order->uses[order->n_uses++] = *use;
    return FV_OK;
}

fv_err fv_order_use(fv_order *order, const fv_use *use)
{
    const fv_clock *clock = &order->clock[use->stream];
    for (size_t i = 0; i < order->n_uses; i++) {
        const fv_use *other = &order->uses[i];
        if (other->at <= clock->known[other->stream] || !(other->writes || use->writes) ||
            !overlap(other, use))
            continue;
        return FV_FAIL(
            FV_ERR_INTERNAL,
            "%s on the %s stream %s %s while %s on the %s stream may still %s it (%s): wait for an "
            "event recorded behind that",
            use->call, name_of(use->stream), use->writes ? "writes" : "reads", use->what, other->call,
            name_of(other->stream), other->writes ? "write" : "read", other->what);
    }
    return keep(order, use);
}

fv_clock fv_order_record(const fv_order *order, fv_stream stream)
{
    fv_clock clock = order->clock[stream];
    for (int s = 0; s < FV_N_STREAMS; s++) /* what the host knew when it recorded */
        if (clock.known[s] < order->clock[FV_HOST].known[s])
            clock.known[s] = order->clock[FV_HOST].known[s];
    return clock;
}

/* Uses that the host knows to be over can meet nothing any more. */
static void forget(fv_order *order)
{
    size_t n = 0;
    for (size_t i = 0; i < order->n_uses; i++)
        if (order->uses[i].at > order->clock[FV_HOST].known[order->uses[i].stream])
            order->uses[n++] = order->uses[i];
    order->n_uses = n;
}

void fv_order_learn(fv_order *order, int actor, const fv_clock *clock)
{
    int is_news = 0;
    fv_clock *own = &order->clock[actor];
    for (int s = 0; s < FV_N_STREAMS; s++)
        if (own->known[s] < clock->known[s]) {
            own->known[s] = clock->known[s];
            is_news = 1;
        }
    if (actor == FV_HOST && is_news)
        forget(order);
}

const fv_use *fv_order_find(const fv_order *order, const void *first, size_t bytes)
{
    const fv_use wanted = {.first = (uintptr_t)first, .end = (uintptr_t)first + bytes};
    for (size_t i = 0; i < order->n_uses; i++)
        if (overlap(&order->uses[i], &wanted))
            return &order->uses[i];
    return NULL;
}
