/* What the next pass computes.
 *
 * Sequences that want something are looked at from the oldest to the youngest. Each gets one token, and what
 * is left of the pass is given out in the same order: to those that have more to compute, because they are
 * new, were appended to, or have given up their rows. A fork begins with the rows of its parent as soon as an
 * earlier pass has computed them; until then the parent is computed in its place, so nothing is computed for
 * forks that have ended. The first token of forks is drawn from the parent's last row, in the pass that
 * computes it.
 *
 * A sequence without a free page takes those of the youngest, and at last those of its own parent, whose rows
 * it names itself. So the oldest always goes on, and a sequence that fits into the cache comes to its end. */
#include "engine/engine_internal.h"

/* Who computes. */

/* Its tokens, with the one that a flight brings. */
static int64_t tokens_of(const fv_sequence *s)
{
    return s->n + (s->ahead > 0);
}

static int64_t min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* The sequence that computes next for a sequence: itself, or its parent if it has to begin with what the
 * parent has not got yet. */
static fv_sequence *computing_for(fv_sequence *s)
{
    while (s->parent && fv_sequence_rows(s) == 0 && s->parent->n_computed < s->first)
        s = s->parent;
    return s;
}

/* The one that computes next, on behalf of s if that wants something; NULL: none does. */
static fv_sequence *wanted_by(fv_sequence *s)
{
    return s->is_running && s->ahead >= 0 ? computing_for(s) : NULL;
}

/* Pages for all that a sequence has to compute: a fork that begins has its parent's, and may copy the last.
 */
static int64_t pages_for_all(const fv_engine *engine, const fv_sequence *s)
{
    int64_t rows = fv_sequence_rows(s);
    if (s->parent && rows == 0)
        return fv_pages_for(tokens_of(s) - min(s->first, tokens_of(s) - 1)) + 1;
    return fv_page_table_wants(&engine->table, s->slot, tokens_of(s) - rows);
}

/* Of all sequences that compute: tokens that are left of a pass when each has one; and pages. */
typedef struct demand {
    int64_t spare_tokens, pages;
} demand;

static demand demand_of(fv_engine *engine)
{
    demand d = {.spare_tokens = engine->settings.pass_tokens};
    for (fv_sequence *s = engine->oldest; s; s = s->younger) {
        fv_sequence *computing = wanted_by(s);
        if (!computing || computing->counted_in == engine->pass.number)
            continue;
        computing->counted_in = engine->pass.number;
        d.spare_tokens--;
        d.pages += pages_for_all(engine, computing);
    }
    return d;
}

/* Room. */

/* Whose rows go next so that computing, on behalf of wanting, gets some; NULL if there is nobody. */
static fv_sequence *find_victim(fv_engine *engine, const fv_sequence *computing, const fv_sequence *wanting)
{
    for (fv_sequence *s = engine->youngest; s && s != wanting; s = s->older)
        if (fv_sequence_rows(s) > 0)
            return s;
    for (fv_sequence *s = computing->parent; s; s = s->parent)
        if (fv_sequence_rows(s) > 0 && s->planned_in != engine->pass.number)
            return s;
    return NULL;
}

static int make_room(fv_engine *engine, fv_sequence *computing, const fv_sequence *wanting, int64_t n)
{
    fv_pass_plan *p = &engine->pass;
    fv_page_copy copy;
    while (!fv_page_table_extend(&engine->table, computing->slot, n, &copy)) {
        fv_sequence *victim = find_victim(engine, computing, wanting);
        if (!victim)
            return 0;
        fv_sequence_evict(victim);
        engine->stats.n_evictions++;
    }
    if (copy.n_rows > 0)
        p->copies[p->n_copies++] = copy;
    return 1;
}

/* The parent's rows, which are all there. A fork without a token of its own computes the last one again. */
static void begin_fork(fv_engine *engine, fv_sequence *s)
{
    if (!s->parent || fv_sequence_rows(s) > 0)
        return;
    int64_t n = min(s->first, tokens_of(s) - 1);
    if (n > 0)
        fv_page_table_share(&engine->table, s->parent->slot, s->slot, n);
    s->n_computed = n;
}

/* The pass. */

/* The sequence is computed to its end: that is also where forks without a token of their own begin. */
static void add_ends(fv_engine *engine, fv_sequence *s)
{
    int64_t n = tokens_of(s);
    if (s->is_running)
        fv_pass_add_want(engine, s, n);
    for (fv_sequence *fork = s->n_forks ? s->younger : NULL; fork; fork = fork->younger)
        if (fork->parent == s && fork->is_running && !fork->ahead && fork->n == n && fork->first == n)
            fv_pass_add_want(engine, fork, n);
}

/* computing gets n tokens of the pass if there is room for their features and rows. */
static fv_err add_tokens(fv_engine *engine, fv_sequence *computing, const fv_sequence *wanting, int64_t *n)
{
    int64_t first = fv_sequence_rows(computing);
    FV_TRY(fv_images_need(engine, computing, first, n));
    if (*n == 0 || !make_room(engine, computing, wanting, *n)) {
        *n = 0;
        return FV_OK;
    }
    fv_pass_add_segment(engine, computing, *n);
    for (int64_t i = first; i < min(first + *n, computing->n); i++)
        fv_pass_add_token(engine, computing, i);
    if (first + *n > computing->n)
        fv_pass_add_unknown(engine, computing);
    if (first + *n == tokens_of(computing))
        add_ends(engine, computing);
    return FV_OK;
}

static fv_err add_all(fv_engine *engine, int64_t spare)
{
    fv_pass_plan *p = &engine->pass;
    int64_t most = engine->settings.pass_tokens;
    for (fv_sequence *s = engine->oldest; s && p->n < most; s = s->younger) {
        fv_sequence *computing = wanted_by(s);
        if (!computing || computing->planned_in == p->number)
            continue;
        computing->planned_in = p->number;
        begin_fork(engine, computing);
        int64_t left = tokens_of(computing) - fv_sequence_rows(computing);
        int64_t n = min(1 + min(left - 1, spare), most - p->n);
        FV_TRY(add_tokens(engine, computing, s, &n));
        spare -= n > 0 ? n - 1 : 0;
    }
    return FV_OK;
}

fv_err fv_schedule_pass(fv_engine *engine, int may_evict)
{
    fv_pass_clear(engine);
    for (fv_sequence *s = engine->oldest; s; s = s->younger)
        s->n_computed = fv_sequence_rows(s);
    demand d = demand_of(engine);
    return may_evict || d.pages <= engine->table.n_free ? add_all(engine, d.spare_tokens) : FV_OK;
}
