/* The CUDA driver, which is loaded if it is there; nothing of it is linked. Local. */
#ifndef FOVEA_COMM_DRIVER_H
#define FOVEA_COMM_DRIVER_H

typedef struct fv_driver {
    int is_here;
    int code;      /* of the call that failed, as in cuda.h; 0: none has */
    int version;   /* of CUDA: 1000 x major + 10 x minor */
    int n_devices; /* that this process sees */
    void *library; /* stays open to the end of the process; NULL: there is none */
} fv_driver;

void fv_driver_ask(fv_driver *out);

/* The UUID of a device of the n_devices, as 32 hexadecimal digits: what it is called on every list. 0 if the
 * driver does not tell. */
int fv_driver_uuid(const fv_driver *driver, int device, char out[33]);

#endif
