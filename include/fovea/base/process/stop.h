/* The wish that a run should stop: finish the phase it is in, save, and end so that it can go on later. Who
 * wishes (a signal, the end of an allocation) and who obeys (the loops of training) meet here only. Local. */
#ifndef FOVEA_BASE_STOP_H
#define FOVEA_BASE_STOP_H

#include "fovea/base/error.h"

#include <stdint.h>

/* From now on every fv_stop_requested of this process is 1. Safe in signal handlers and in any thread. */
void fv_stop_request(void);
int fv_stop_requested(void);

/* The first signal that requested it; 0: none has. */
int fv_stop_signal(void);

/* How often this process has called fv_stop_requested: between two calls it could not be stopped. */
uint64_t fv_stop_places(void);

/* SIGTERM, SIGINT and SIGUSR1 request a stop; the first rank says at once that it has heard.
 * Once a stop is requested another SIGINT ends the process, as it does a program that asked for nothing. A
 * launcher that would kill us meanwhile is held (launcher.h). From then on a broken pipe is an error of the
 * call that writes, and no signal. */
fv_err fv_stop_on_signals(void);

/* SIGINT and SIGTERM alone request a stop, and nothing is said; another one does what it did before. For
 * programs that end in order where they are. What was ignored stays so. */
fv_err fv_stop_on_interrupt(void);

/* The program comes to its end: signals of a launcher that ends what is left are not answered. */
void fv_stop_say_no_more(void);

#endif
