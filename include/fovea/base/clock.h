/* Seconds of a clock that only goes forward. Local. */
#ifndef FOVEA_BASE_CLOCK_H
#define FOVEA_BASE_CLOCK_H

double fv_clock_now(void);

#endif
