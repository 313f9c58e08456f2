#include "fovea/meter.h"

#include "fovea/clock.h"
#include "fovea/log.h"

#include <stdatomic.h>
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
static atomic_int is_shown; /* a line stands on the terminal */

/* What a line says. */

static void append(char *out, size_t size, const char *format, const char *name, int64_t a, int64_t b)
{
    size_t used = strlen(out);
    if (used && used < size)
        used += (size_t)snprintf(out + used, size - used, " | ");
    if (used < size)
        snprintf(out + used, size - used, format, name, (long long)a, (long long)b);
}

/* The two largest units. */
static void append_left(char *out, size_t size, double seconds)
{
    int64_t s = (int64_t)(seconds + 0.5);
    if (s >= 86400)
        append(out, size, "%s%lld d %lld h left", "", s / 86400, s % 86400 / 3600);
    else if (s >= 3600)
        append(out, size, "%s%lld h %lld min left", "", s / 3600, s % 3600 / 60);
    else if (s >= 60)
        append(out, size, "%s%lld min %lld s left", "", s / 60, s % 60);
    else
        append(out, size, "%s%lld s left", "", s, 0);
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

void fv_meter_print(const fv_meter *m, char *out, size_t size)
{
    double left = seconds_left(m);
    *out = '\0';
    if (m->unit)
        append(out, size, "%s %lld of %lld", m->unit, m->done, m->total);
    if (m->phase && m->phase_total > 0)
        append(out, size, "%s %lld %%", m->phase, 100 * m->phase_done / m->phase_total, 0);
    else if (m->phase && m->phase_done > 0)
        append(out, size, "%s %lld", m->phase, m->phase_done, 0);
    else if (m->phase)
        append(out, size, "%s", m->phase, 0, 0);
    if (m->tokens > 0 && m->phase_s > 0)
        append(out, size, "%s%lld tokens/s", "", (int64_t)((double)m->tokens / m->phase_s), 0);
    if (left >= 0)
        append_left(out, size, left);
}

/* Where it is said. */

static size_t width(void)
{
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col : 80;
}

void fv_meter_hide(void)
{
    if (atomic_exchange(&is_shown, 0))
        fprintf(stderr, "\r\033[K");
}

static void tell(double now)
{
    char text[256];
    fv_meter *m = &state.meter;
    m->since_s = now - state.advanced_at;
    m->phase_s = now - state.phase_at;
    fv_meter_print(m, text, sizeof text);
    state.told_at = now;
    if (!state.is_terminal) {
        FV_LOG_ROOT(INFO, "%s", text);
        return;
    }
    fprintf(stderr, "\r\033[K%.*s", (int)width() - 1, text);
    atomic_store(&is_shown, 1);
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
    fv_meter_hide();
    state.is_on = 0;
}
