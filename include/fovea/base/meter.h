/* How far a program has come and how fast it is, for people. On a terminal it is one line at the end of
 * standard error, rewritten in place; elsewhere an ordinary line of the log, once a minute. Local; one
 * thread. Until fv_meter_start, and on ranks that never call it, all calls but fv_meter_phase do nothing.
 */
#ifndef FOVEA_BASE_METER_H
#define FOVEA_BASE_METER_H

#include <stddef.h>
#include <stdint.h>

/* The whole: done of total units ("step", "row"), of which some may have been done before. unit NULL: phases
 * are all there is. */
void fv_meter_start(const char *unit, int64_t done, int64_t total);
void fv_meter_advance(int64_t done);

/* A phase of it begins, also for the watch (phase.h) and where nothing is shown. n: parts of the phase; 0:
 * unknown. */
void fv_meter_phase(const char *name, int64_t n);
/* So many parts and tokens of the phase are done. */
void fv_meter_at(int64_t done, int64_t tokens);

void fv_meter_stop(void);

/* What a line says. */
typedef struct fv_meter {
    const char *unit; /* NULL: none */
    int64_t first, done, total;
    double whole_s; /* from first to done */
    double since_s; /* since done */
    const char *phase;
    int64_t phase_done, phase_total, tokens;
    double phase_s;
} fv_meter;

/* "step 3 of 140 | rollout 61 % | 3412 tokens/s | 4 min 10 s left", as far as it is known. Where size is too
 * small for all of it, parts are left out, the time left last. Pure. */
void fv_meter_print(const fv_meter *meter, char *out, size_t size);

#endif
