/* Between the sources of `fovea doctor`. Local unless marked. */
#ifndef FOVEA_JOBS_DOCTOR_H
#define FOVEA_JOBS_DOCTOR_H

#include <stddef.h>

/* The rest of the first line of a file of /proc that starts with key, without ':' and blanks; "" if none. */
void fv_doctor_read_proc(const char *path, const char *key, char *out, size_t size);

/* Print node, cores, threads and device of every process that was started with this one; returns the exit
 * status: also a rank that is left without a device is a failure. Collective over all processes. */
int fv_doctor_ranks(void);

#endif
