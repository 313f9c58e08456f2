/* A server that is away is not asked again and again. */
#include "reward/judge/judge_api_internal.h"

#include <math.h>

static const double first_pause_s = 1, longest_pause_s = 15;

int fv_breaker_allows(const fv_breaker *breaker, double now_s)
{
    return !breaker->is_open || (!breaker->is_probing && now_s >= breaker->probe_s);
}

void fv_breaker_send(fv_breaker *breaker)
{
    breaker->is_probing = breaker->is_open;
}

void fv_breaker_succeed(fv_breaker *breaker)
{
    *breaker = (fv_breaker){0};
}

static void pause(fv_breaker *breaker, double now_s, double wanted_s)
{
    breaker->probe_s = fmax(breaker->probe_s, now_s + fmax(breaker->pause_s, wanted_s));
}

void fv_breaker_fail(fv_breaker *breaker, double now_s, const fv_api_reading *reading, int is_probe)
{
    breaker->why = reading->verdict.why;
    breaker->n_failed++;
    if (!breaker->is_open && breaker->n_failed >= FV_BREAKER_FAILURES) {
        breaker->is_open = 1;
        breaker->since_s = now_s;
        breaker->pause_s = first_pause_s;
        pause(breaker, now_s, reading->pause_s);
    } else if (breaker->is_open && is_probe) {
        breaker->is_probing = 0;
        breaker->pause_s = fmin(2 * breaker->pause_s, longest_pause_s);
        pause(breaker, now_s, reading->pause_s);
    }
}
