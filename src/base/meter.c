#include "fovea/base/meter.h"

#include "fovea/base/clock.h"
#include "fovea/base/log.h"
#include "fovea/base/phase.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static const double redraw_s = 0.2, line_s = 60;

static struct {
    fv_meter meter;
    int is_on, is_terminal;
    double started_at, advanced_at, phase_at, told_at;
} state;

/* What a line says: parts, of which the last are kept longest where there is little room. */

enum { WHOLE, PHASE, SPEED, LEFT, N_PARTS, PART_BYTES = 64 };

typedef char line_parts[N_PARTS][PART_BYTES];

/* The two largest units. */
static void print_left(char *out, double seconds)
{
    int64_t s = (int64_t)(seconds + 0.5);
    if (s >= 86400)
        snprintf(out, PART_BYTES, "%lld d %lld h left", (long long)s / 86400, (long long)s % 86400 / 3600);
    else if (s >= 3600)
        snprintf(out, PART_BYTES, "%lld h %lld min left", (long long)s / 3600, (long long)s % 3600 / 60);
    else if (s >= 60)
        snprintf(out, PART_BYTES, "%lld min %lld s left", (long long)s / 60, (long long)s % 60);
    else
        snprintf(out, PART_BYTES, "%lld s left", (long long)s);
}

/* Of the whole, from the mean of the units done; of a phase that is all there is, from its parts. Below 0:
 * unknown. */
static double seconds_left(const fv_meter *m)
{
    if (m->unit && m->done > m->first) {
        double mean = m->whole_s / (double)(m->done - m->first), left = mean * (double)(m->total - m->done);
        return left > m->since_s ? left - m->since_s : 0;
    }
    if (!m->unit && m->phase_done > 0 && m->phase_total > 0)
        return m->phase_s * (double)(m->phase_total - m->phase_done) / (double)m->phase_done;
    return -1;
}

static void print_parts(const fv_meter *m, line_parts parts)
{
    double left = seconds_left(m);
    memset(parts, 0, sizeof(line_parts));
    if (m->unit)
        snprintf(parts[WHOLE], PART_BYTES, "%s %lld of %lld", m->unit, (long long)m->done,
                 (long long)m->total);
    if (m->phase && m->phase_total > 0)
        snprintf(parts[PHASE], PART_BYTES, "%s %lld %%", m->phase,
                 (long long)(100 * m->phase_done / m->phase_total));
    else if (m->phase && m->phase_done > 0)
        snprintf(parts[PHASE], PART_BYTES, "%s %lld", m->phase, (long long)m->phase_done);
    else if (m->phase)
        snprintf(parts[PHASE], PART_BYTES, "%s", m->phase);
    if (m->tokens > 0 && m->phase_s > 0)
        snprintf(parts[SPEED], PART_BYTES, "%lld tokens/s", (long long)((double)m->tokens / m->phase_s));
    if (left >= 0)
        print_left(parts[LEFT], left);
}

/* The parts that are there, joined. Returns their length, which may be more than size. */
static size_t join(line_parts parts, char *out, size_t size)
{
    size_t n = 0;
    *out = '\0';
    for (int i = 0; i < N_PARTS; i++)
        if (*parts[i])
            n += (size_t)snprintf(n < size ? out + n : NULL, n < size ? size - n : 0, "%s%s", n ? " | " : "",
                                  parts[i]);
    return n;
}

void fv_meter_print(const fv_meter *m, char *out, size_t size)
{
    static const int dispensable[] = {SPEED, PHASE, WHOLE};
    line_parts parts;
    print_parts(m, parts);
    int is_last = !*parts[LEFT];
    for (int i = 0; join(parts, out, size) >= size && i < 3 - is_last; i++)
        *parts[dispensable[i]] = '\0';
}

/* Where it is said. */

static size_t width(void)
{
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col : 80;
}

static void tell(double now)
{
    char text[256];
    size_t room = state.is_terminal ? width() : sizeof text;
    fv_meter *m = &state.meter;
    m->since_s = now - state.advanced_at;
    m->phase_s = now - state.phase_at;
    fv_meter_print(m, text, room < sizeof text ? room : sizeof text);
    state.told_at = now;
    if (!state.is_terminal) {
        FV_LOG_ROOT(INFO, "%s", text);
        return;
    }
    fv_log_status(text);
}

static void tell_if_due(void)
{
    double now = fv_clock_now();
    if (state.is_on && now - state.told_at >= (state.is_terminal ? redraw_s : line_s))
        tell(now);
}

void fv_meter_start(const char *unit, int64_t done, int64_t total)
{
    double now = fv_clock_now();
    state.meter = (fv_meter){.unit = unit, .first = done, .done = done, .total = total};
    state.is_on = 1;
    state.is_terminal = isatty(STDERR_FILENO);
    state.started_at = state.advanced_at = state.phase_at = state.told_at = now;
}

void fv_meter_advance(int64_t done)
{
    state.meter.done = done;
    state.advanced_at = fv_clock_now();
    state.meter.whole_s = state.advanced_at - state.started_at;
    tell_if_due();
}

void fv_meter_phase(const char *name, int64_t n)
{
    fv_phase_set(name);
    state.meter.phase = name;
    state.meter.phase_total = n;
    state.phase_at = fv_clock_now();
    fv_meter_at(0, 0);
}

void fv_meter_at(int64_t done, int64_t tokens)
{
    state.meter.phase_done = done;
    state.meter.tokens = tokens;
    tell_if_due();
}

void fv_meter_stop(void)
{
    fv_log_status_hide();
    state.is_on = 0;
}
