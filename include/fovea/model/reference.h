/* The weights of the reference policy, kept beside a model's own. Local.
 *
 * In memory of the back end they are a second copy there, and exchanging the two is a matter of pointers. In
 * host memory they go through a small buffer, piece by piece, so that the back end's memory holds one set of
 * weights at any time; passes with them cost two such exchanges. */
#ifndef FOVEA_MODEL_REFERENCE_H
#define FOVEA_MODEL_REFERENCE_H

#include "fovea/model/model.h"

/* Starts as {0}. */
typedef struct fv_reference {
    fv_model *model;    /* borrowed; NULL: there is no reference */
    fv_weights weights; /* of the back end */
    void *host;         /* the flat buffer; owned; NULL: weights are there */
} fv_reference;

/* Keep the model's weights as they are now. */
fv_err fv_reference_init(fv_reference *reference, fv_model *model, int on_host);
void fv_reference_fini(fv_reference *reference); /* back to {0} */

/* The passes that follow use the reference's weights; after a second call, the model's own again. After a
 * failure neither can be used. */
fv_err fv_reference_exchange(fv_reference *reference);

#endif
