/* Between the sources of `fovea doctor`. Local unless marked. */
#ifndef FOVEA_JOBS_DOCTOR_H
#define FOVEA_JOBS_DOCTOR_H

#include "fovea/base/buffer.h"

/* What is missing, in the order found. */
typedef struct fv_doctor {
    fv_buffer missing; /* owned */
    int n_required;
} fv_doctor;

/* One line of what is there, on standard output; one of what is missing, and how to get it. */
void fv_doctor_print(const char *label, const char *format, ...) __attribute__((format(printf, 2, 3)));
fv_err fv_doctor_note(fv_doctor *doctor, int required, const char *what, const char *mend);

/* Driver, library and devices, each of which is tested. */
fv_err fv_doctor_gpu(fv_doctor *doctor);

/* The rest of the first line of a file of /proc that starts with key, without ':' and blanks; "" if none. */
void fv_doctor_read_proc(const char *path, const char *key, char *out, size_t size);

/* Print node, cores, threads and device of every process that was started with this one; returns the exit
 * status: also a rank that is left without a device is a failure. Collective over all processes. */
int fv_doctor_ranks(void);

#endif
