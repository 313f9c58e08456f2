/* fovea doctor --ranks: where the ranks of a job are. */
#include "jobs/doctor/doctor.h"

#include "jobs/runtime.h"

#include "fovea/comm/device.h"

#include <stdio.h>
#include <stdlib.h>

/* One rank, as it finds itself placed. */
typedef struct rank_place {
    fv_device device;
    int n_threads;
    char cores[64];
} rank_place;

static fv_err find_place(fv_comm *world, rank_place *out)
{
    fv_backend *backend = NULL;
    *out = (rank_place){0};
    fv_err err = fv_device_choose(world, &out->device);
    fv_doctor_read_proc("/proc/self/status", "Cpus_allowed_list", out->cores, sizeof out->cores);
    fv_err made = fv_backend_cpu_create(NULL, 0, &backend);
    if (made == FV_OK)
        out->n_threads = backend->n_threads;
    fv_backend_destroy(backend);
    made = fv_comm_agree(world, made);
    return err != FV_OK ? err : made;
}

static void print_places(const rank_place *places, int n)
{
    printf("%6s  %-24s %-16s %8s  %s\n", "rank", "node", "cores", "threads", "device");
    for (int rank = 0; rank < n; rank++)
        printf("%6d  %-24s %-16s %8d  %s\n", rank, places[rank].device.host, places[rank].cores,
               places[rank].n_threads, places[rank].device.name);
}

static fv_err tell_places(fv_comm *world)
{
    rank_place own, *places = malloc((size_t)world->size * sizeof *places);
    fv_err placed = FV_OK;
    fv_err err =
        fv_comm_agree(world, places ? FV_OK : FV_FAIL(FV_ERR_MEMORY, "no memory for %d ranks", world->size));
    if (err == FV_OK) {
        placed = find_place(world, &own);
        err = fv_comm_all_gather(world, &own, sizeof own, places);
    }
    if (err == FV_OK && world->rank == 0)
        print_places(places, world->size);
    free(places);
    return err != FV_OK ? err : placed;
}

int fv_doctor_ranks(void)
{
    fv_runtime runtime = {0};
    fv_err err = fv_comm_world(&runtime.world);
    if (err == FV_OK)
        err = tell_places(runtime.world);
    return fv_runtime_finish(&runtime, err);
}
