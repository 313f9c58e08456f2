/* Patience with a disk that is full for a while: pauses that double, half a minute or more in all. Starts as
 * {0}. Local. */
#ifndef FOVEA_BASE_PATIENCE_H
#define FOVEA_BASE_PATIENCE_H

typedef struct fv_patience {
    double waited_s;
} fv_patience;

/* Wait before another try; 0, without a wait: there is no patience left. */
int fv_patience_wait(fv_patience *patience);

#endif
