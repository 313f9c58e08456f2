#include "comm/started.h"

#include <stdlib.h>

static const char own_launcher[] = "the mpirun of the MPI library that fovea uses (fovea doctor names it)";
static const char of_slurm[] = "srun --mpi=pmix, or mpirun";

/* Whose variable says how many, the nearest launcher first. */
static const struct {
    const char *name, *mend;
} counts[] = {
    {"OMPI_COMM_WORLD_SIZE", own_launcher}, {"PMI_SIZE", own_launcher}, {"SLURM_STEP_NUM_TASKS", of_slurm}};

/* Open MPI's mpirun, PMIx (srun --mpi=pmix), PMI (MPICH). */
static int is_of_mpi(void)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (getenv(names[i]))
            return 1;
    return 0;
}

fv_started fv_started_look(void)
{
    fv_started started = {.is_of_mpi = is_of_mpi()};
    for (size_t i = 0; i < sizeof counts / sizeof *counts && started.n == 0; i++) {
        const char *text = getenv(counts[i].name);
        if (text)
            started = (fv_started){started.is_of_mpi, atol(text), counts[i].name, counts[i].mend};
    }
    return started;
}

fv_err fv_started_check(const fv_started *started, int size)
{
    FV_CHECK(
        started->n <= size, FV_ERR_ARGUMENT,
        "%ld processes were started together (%s), but MPI finds %d: each would be a run of its own; start "
        "them with %s",
        started->n, started->told_by, size, started->mend);
    return FV_OK;
}
