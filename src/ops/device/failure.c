#include "ops/device/failure.h"

#include "fovea/base/log.h"
#include "fovea/base/phase.h"

#include <stdio.h>
#include <string.h>

fv_err fv_failure_at(fv_err err, const char *at)
{
    if (err != FV_ERR_DEVICE || strncmp(fv_error_text(), "rank ", strlen("rank ")) == 0)
        return err; /* of something else, or told already by a call within this one */
    return fv_error_prefix(err, "rank %d, phase %s, %s", fv_log_rank(), fv_phase_get().name, at);
}

void fv_wait_begin(void)
{
    fv_phase_enter("a wait for the device");
}

fv_err fv_wait_end(fv_err err)
{
    char at[128];
    const char *last = fv_phase_get().operation;
    fv_phase_leave();
    snprintf(at, sizeof at, "waiting for the device after %s", last ? last : "nothing");
    return fv_failure_at(err, at);
}
