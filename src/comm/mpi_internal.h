/* What the parts of the groups over MPI share; a group's state is its MPI_Comm. */
#ifndef FOVEA_SRC_COMM_MPI_INTERNAL_H
#define FOVEA_SRC_COMM_MPI_INTERNAL_H

#include "fovea/comm/mailbox.h"

/* FV_ERR_COMM with MPI's reason unless code is MPI_SUCCESS. */
fv_err fv_mpi_check(int code, const char *call);
#define TRY_MPI(function, ...) FV_TRY(fv_mpi_check(function(__VA_ARGS__), #function))

/* Of the table. */
fv_err fv_mpi_mailbox_create(fv_comm *comm, fv_mailbox *mailbox);
fv_err fv_mpi_mailbox_send(fv_mailbox *mailbox, int to, const void *data, size_t bytes);
fv_err fv_mpi_mailbox_receive(fv_mailbox *mailbox, int *from, fv_buffer *message);
void fv_mpi_mailbox_destroy(fv_mailbox *mailbox);

#endif
