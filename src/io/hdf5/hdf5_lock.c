#include "io/hdf5/hdf5_internal.h"

#include "fovea/base/phase.h"

#include <pthread.h>

static pthread_mutex_t library = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static int n_holds; /* of the thread that holds it */

int fv_hdf5_lock(void)
{
    fv_phase_move();
    int failed = pthread_mutex_lock(&library);
    if (n_holds++ == 0)
        fv_hdf5_forget_reason();
    return failed;
}

void fv_hdf5_unlock(const int *held)
{
    (void)held;
    n_holds--;
    pthread_mutex_unlock(&library);
}
