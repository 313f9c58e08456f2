/* One folder for all ranks. */
#include "fovea/run/lease.h"

#include "fovea/base/clock.h"
#include "fovea/base/file.h"
#include "fovea/base/phase.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum { NONCE_BYTES = 16, PATIENCE_S = 10 };

static int holds(const char *path, const unsigned char *nonce)
{
    unsigned char found[NONCE_BYTES];
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return 0;
    int is_same =
        read(descriptor, found, sizeof found) == NONCE_BYTES && memcmp(found, nonce, sizeof found) == 0;
    close(descriptor);
    return is_same;
}

/* What another node has written may take a while to be seen. */
static fv_err await(const fv_lease *lease, const char *path, const unsigned char *nonce, const char *host)
{
    char own_host[64] = "";
    double end = fv_clock_now() + PATIENCE_S;
    while (!holds(path, nonce)) {
        fv_phase_move();
        if (fv_clock_now() < end) {
            nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
            continue;
        }
        (void)gethostname(own_host, sizeof own_host - 1);
        return FV_FAIL(
            FV_ERR_IO,
            "what rank 0 on %s writes into %s is not seen on %s: out must be a folder that all ranks "
            "share",
            host, lease->checkpoints, own_host);
    }
    return FV_OK;
}

static fv_err write_nonce(const fv_lease *lease, const char *path, unsigned char *nonce)
{
    FV_CHECK(getrandom(nonce, NONCE_BYTES, 0) == NONCE_BYTES, FV_ERR_IO, "no random bytes to be had");
    fv_err err = fv_file_write(path, nonce, NONCE_BYTES);
    if (err != FV_OK)
        FV_TRY(fv_lease_check(lease));
    return err;
}

fv_err fv_lease_share(fv_lease *lease, fv_comm *comm)
{
    unsigned char nonce[NONCE_BYTES];
    char path[PATH_MAX], host[64] = "";
    int descriptor = lease->descriptor;
    FV_TRY(fv_comm_broadcast(comm, lease, sizeof *lease, 0));
    lease->descriptor = comm->rank == 0 ? descriptor : -1;
    FV_TRY(fv_file_path(path, sizeof path, lease->own, "seen"));
    FV_TRY(fv_comm_agree(comm, comm->rank == 0 ? write_nonce(lease, path, nonce) : FV_OK));
    (void)gethostname(host, sizeof host - 1);
    FV_TRY(fv_comm_broadcast(comm, nonce, sizeof nonce, 0));
    FV_TRY(fv_comm_broadcast(comm, host, sizeof host, 0));
    return fv_comm_agree(comm, await(lease, path, nonce, host));
}
