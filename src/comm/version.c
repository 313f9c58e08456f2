#include "fovea/comm/comm.h"

#include <mpi.h>
#include <stdio.h>
#include <string.h>

void fv_comm_version(char *out, size_t size)
{
    char text[MPI_MAX_LIBRARY_VERSION_STRING] = "";
    int length = 0, major = 0, minor = 0;
    MPI_Get_library_version(text, &length);
    MPI_Get_version(&major, &minor);
    text[strcspn(text, ",\n")] = '\0'; /* the rest tells of its packaging */
    snprintf(out, size, "%s (MPI %d.%d)", text, major, minor);
}
