#include "fovea/base/patience.h"

#include "fovea/base/phase.h"

#include <unistd.h>

static const double first_s = 0.05, all_s = 20;

int fv_patience_wait(fv_patience *patience)
{
    double pause_s = patience->waited_s + first_s;
    if (patience->waited_s > all_s)
        return 0;
    fv_phase_move();
    usleep((useconds_t)(1e6 * pause_s));
    patience->waited_s += pause_s;
    return 1;
}
