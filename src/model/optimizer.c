#include "fovea/optimizer.h"

#include <math.h>

fv_err fv_optimizer_init(fv_optimizer *optimizer, fv_model *model, const fv_optimizer_settings *settings)
{
    *optimizer = (fv_optimizer){.model = model, .settings = *settings};
    fv_err err = fv_model_alloc_weights(model, &optimizer->m);
    if (err == FV_OK)
        err = fv_model_alloc_weights(model, &optimizer->v);
    if (err != FV_OK)
        fv_optimizer_fini(optimizer);
    return err;
}

void fv_optimizer_fini(fv_optimizer *optimizer)
{
    if (!optimizer->model)
        return;
    fv_model_free_weights(optimizer->model, &optimizer->m);
    fv_model_free_weights(optimizer->model, &optimizer->v);
    *optimizer = (fv_optimizer){0};
}

fv_err fv_optimizer_step(fv_optimizer *optimizer, fv_weights *grads, float lr, double *norm)
{
    const fv_optimizer_settings *settings = &optimizer->settings;
    FV_TRY(fv_model_reduce_grads(optimizer->model, grads));
    FV_TRY(fv_model_norm(optimizer->model, grads, norm));
    FV_CHECK(isfinite(*norm), FV_ERR_NUMERIC, "the norm of the gradient is %g at step %d", *norm,
             optimizer->step + 1);
    float scale = settings->clip > 0 && *norm > settings->clip ? (float)(settings->clip / *norm) : 1.0f;
    optimizer->step++;
    return fv_adamw(fv_model_backend(optimizer->model),
                    &(fv_adamw_args){.grad = grads->flat,
                                     .param = fv_model_weights(optimizer->model)->flat,
                                     .m = optimizer->m.flat,
                                     .v = optimizer->v.flat,
                                     .step = optimizer->step,
                                     .lr = lr,
                                     .beta1 = settings->beta1,
                                     .beta2 = settings->beta2,
                                     .eps = settings->eps,
                                     .weight_decay = settings->weight_decay,
                                     .grad_scale = scale});
}
