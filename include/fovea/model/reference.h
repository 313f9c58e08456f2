/* The weights of the reference policy, kept beside a model's own. Local.
 *
 * In memory of the back end they are a second copy there, and exchanging the two is a matter of pointers. In
 * pinned host memory they come and go piece by piece, both ways at once, so that the back end's memory holds
 * one set of weights at any time; passes with them cost two such exchanges. */
#ifndef FOVEA_MODEL_REFERENCE_H
#define FOVEA_MODEL_REFERENCE_H

#include "fovea/model/model.h"

/* Starts as {0}. */
typedef struct fv_reference {
    fv_model *model;                  /* borrowed; NULL: there is no reference */
    fv_weights weights;               /* of the back end */
    void *host;                       /* the flat buffer, pinned; owned; NULL: weights are there */
    struct fv_reference_slots *slots; /* owned; with host */
} fv_reference;

/* Keep the model's weights as they are now. */
fv_err fv_reference_init(fv_reference *reference, fv_model *model, int on_host);
void fv_reference_fini(fv_reference *reference); /* back to {0} */

/* The passes that follow use the reference's weights; after a second call, the model's own again. After a
 * failure neither can be used. */
fv_err fv_reference_exchange(fv_reference *reference);

/* Memory of the back end that one in host memory takes. */
size_t fv_reference_slot_bytes(const fv_reference *reference);

#endif
