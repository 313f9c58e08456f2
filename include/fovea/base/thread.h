/* Threads beside the main one. Local. */
#ifndef FOVEA_BASE_THREAD_H
#define FOVEA_BASE_THREAD_H

#include "fovea/base/error.h"

#include <pthread.h>

/* Start a thread in which no signal is handled: signals are for the main thread. FV_ERR_MEMORY. */
fv_err fv_thread_start(pthread_t *thread, void *(*run)(void *), void *context);

/* Cores that this process may use, at least 1. */
int fv_thread_cores(void);

#endif
