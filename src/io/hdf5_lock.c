#include "io/hdf5_internal.h"

#include "fovea/phase.h"

#include <pthread.h>

static pthread_mutex_t library = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

int fv_hdf5_lock(void)
{
    fv_phase_move();
    return pthread_mutex_lock(&library);
}

void fv_hdf5_unlock(const int *held)
{
    (void)held;
    pthread_mutex_unlock(&library);
}
