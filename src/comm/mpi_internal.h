/* What the parts of the groups over MPI share; a group's state is its MPI_Comm. */
#ifndef FOVEA_SRC_COMM_MPI_INTERNAL_H
#define FOVEA_SRC_COMM_MPI_INTERNAL_H

#include "fovea/comm/mail.h"

/* FV_ERR_COMM with MPI's reason unless code is MPI_SUCCESS. */
fv_err fv_mpi_check(int code, const char *call);
#define TRY_MPI(function, ...) FV_TRY(fv_mpi_check(function(__VA_ARGS__), #function))

/* Of the table. */
fv_err fv_mpi_mail_create(fv_comm *comm, fv_mail *mail);
fv_err fv_mpi_mail_send(fv_mail *mail, int to, const void *data, size_t bytes);
fv_err fv_mpi_mail_receive(fv_mail *mail, int *from, fv_buffer *letter);
void fv_mpi_mail_destroy(fv_mail *mail);

#endif
