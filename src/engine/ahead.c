/* The pass after one whose draws are on their way: the next token of each of its sequences, whatever that is.
 * Its id never comes to the host before: it is put in place where it was drawn.
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
    return fv_is_awaited(a) && a->n + 2 <= engine->settings.max_tokens;
}

/* Every sequence that wants something waits for a draw of the flight, and has its rows. */
static int all_wait(const fv_engine *engine, const fv_flight *flight)
{
    int64_t n_running = 0, n_awaited = 0;
    for (const fv_sequence *s = engine->oldest; s; s = s->younger) {
        if (!s->is_running)
            continue;
        n_running++;
        if (fv_sequence_rows(s) != s->n || s->sampling.repetition_penalty != 1)
            return 0;
    }
    for (int64_t i = 0; i < flight->n_awaited; i++)
        n_awaited += fv_is_awaited(&flight->awaited[i]);
    return n_awaited == n_running;
}

/* Without taking from anybody. */
static int there_is_room(const fv_engine *engine, const fv_flight *flight)
{
    int n = 0;
    for (int64_t i = 0; i < flight->n_awaited; i++)
        if (goes_on(engine, &flight->awaited[i]))
            n += fv_page_table_wants(&engine->table, flight->awaited[i].sequence->slot, 1);
    return n <= engine->table.n_free;
}

static void add(fv_engine *engine, fv_sequence *s, int64_t draw)
{
    fv_pass_plan *p = &engine->pass;
    fv_page_copy copy;
    fv_page_table_extend(&engine->table, s->slot, 1, &copy);
    if (copy.n_rows > 0)
        p->copies[p->n_copies++] = copy;
    fv_pass_add_segment(engine, s, 1);
    fv_pass_add_unknown(engine, s, draw);
    fv_pass_add_want(engine, s, s->n + 1);
}

int fv_schedule_ahead(fv_engine *engine, const fv_flight *flight)
{
    if (!engine->is_recording || !all_wait(engine, flight) || !there_is_room(engine, flight))
        return 0;
    fv_pass_clear(engine);
    for (int64_t i = 0; i < flight->n_awaited; i++)
        if (goes_on(engine, &flight->awaited[i]))
            add(engine, flight->awaited[i].sequence, i);
    return engine->pass.n > 0;
}
