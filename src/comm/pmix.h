/* Between the sources of comm.h: the process manager's barrier. */
#ifndef FOVEA_SRC_COMM_PMIX_H
#define FOVEA_SRC_COMM_PMIX_H

#include "fovea/base/error.h"

/* Wait until every rank of this Slurm step has come here: what MPI_Init and MPI_Finalize should do and do
 * not. Open MPI asks the process manager for a barrier without data, and Slurm's PMIx plugin (22.05 and
 * later) lets every node through by itself while the step has fewer nodes than Slurm's TreeWidth, 50 by
 * default. A rank that is ahead then sends to one that is still inside MPI_Init, which dies of it (SIGSEGV in
 * mca_btl_tcp) or waits for ever. With data the plugin goes round a ring of the nodes, and waits.
 *
 * Nothing under another process manager, or if MPI has brought a PMIx of its own. Between MPI_Init and
 * MPI_Finalize. Collective over all processes that were started together. */
fv_err fv_pmix_fence(void);

#endif
