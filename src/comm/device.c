#include "fovea/comm/device.h"

#include "fovea/comm/driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What a rank sees, and where. */
typedef struct seat {
    char host[64];
    char seen[1024]; /* devices, as they are called on this node */
    int32_t n;
} seat;

/* Slurm's word for no devices is one as well. */
static const char *list_of_environment(void)
{
    const char *list = getenv("CUDA_VISIBLE_DEVICES");
    return list && strcmp(list, "-1") != 0 && strcmp(list, "NoDevFiles") != 0 ? list : "";
}

static int count_entries(const char *list)
{
    int n = *list != '\0';
    for (; *list; list++)
        n += *list == ',';
    return n;
}

static void see_by_driver(const fv_driver *driver, seat *out)
{
    char uuid[33];
    size_t used = 0;
    out->n = driver->n_devices;
    for (int i = 0; i < driver->n_devices && used + sizeof uuid < sizeof out->seen; i++)
        if (fv_driver_uuid(driver, i, uuid))
            used += (size_t)snprintf(out->seen + used, sizeof out->seen - used, "%s ", uuid);
}

static void see(const fv_driver *driver, seat *out)
{
    *out = (seat){0};
    gethostname(out->host, sizeof out->host - 1);
    if (driver->is_here) {
        see_by_driver(driver, out);
        return;
    }
    snprintf(out->seen, sizeof out->seen, "%s", list_of_environment());
    out->n = count_entries(out->seen);
}

static void add_uuid(const fv_driver *driver, fv_device *device)
{
    char uuid[33];
    size_t used = strlen(device->name);
    if (fv_driver_uuid(driver, device->index, uuid))
        snprintf(device->name + used, sizeof device->name - used, " (GPU-%.8s)", uuid);
}

static void name_it(const fv_driver *driver, fv_device *device)
{
    const char *list = list_of_environment();
    for (int i = 0; i < device->index && *list; i++) {
        list += strcspn(list, ",");
        list += *list == ',';
    }
    if (device->index < 0)
        snprintf(device->name, sizeof device->name, "none");
    else if (*list)
        snprintf(device->name, sizeof device->name, "%.*s", (int)strcspn(list, ","), list);
    else
        snprintf(device->name, sizeof device->name, "%d", device->index);
    if (device->index >= 0)
        add_uuid(driver, device);
}

static fv_err choose_device(const fv_comm *world, const seat *seats, const fv_driver *driver, fv_device *out)
{
    const seat *own = &seats[world->rank];
    int turn = 0, n_sharers = 0;
    for (int rank = 0; rank < world->size; rank++) {
        int shares = strcmp(seats[rank].host, own->host) == 0 && strcmp(seats[rank].seen, own->seen) == 0;
        turn += shares && rank < world->rank;
        n_sharers += shares;
    }
    *out = (fv_device){.index = turn < own->n ? turn : -1, .n_visible = own->n};
    snprintf(out->host, sizeof out->host, "%s", own->host);
    name_it(driver, out);
    FV_CHECK(
        own->n == 0 || out->index >= 0, FV_ERR_ARGUMENT,
        "node %s has %d devices for %d ranks that share them: give it more (--gres), or start fewer ranks "
        "there (--ntasks-per-node)",
        own->host, own->n, n_sharers);
    return FV_OK;
}

fv_err fv_device_choose(fv_comm *world, fv_device *out)
{
    fv_driver driver;
    seat own, *seats = malloc((size_t)world->size * sizeof *seats);
    *out = (fv_device){.index = -1};
    fv_err err = seats ? FV_OK : FV_FAIL(FV_ERR_MEMORY, "no memory for what %d ranks see", world->size);
    err = fv_comm_agree(world, err);
    if (err == FV_OK) {
        fv_driver_ask(&driver);
        see(&driver, &own);
        err = fv_comm_all_gather(world, &own, sizeof own, seats);
    }
    if (err == FV_OK)
        err = fv_comm_agree(world, choose_device(world, seats, &driver, out));
    free(seats);
    return err;
}
