/* AdamW. */
#include "cpu.h"

/* b^step, by squaring: powers of a float by double products are as good as pow. */
static double power(double b, int step)
{
    double result = 1.0;
    for (; step > 0; step /= 2, b = b * b)
        if (step % 2)
            result = result * b;
    return result;
}

typedef struct rule {
    float b1, rest1, b2, rest2; /* the betas and 1 - beta */
    float scale, eps;
    float keep_decay; /* lr * weight_decay */
    float rate;       /* lr / (1 - b1^step) */
    float unbias2;    /* 1 / (1 - b2^step) */
} rule;

static void update(rule k, const float *restrict grad, float *restrict param, float *restrict m,
                   float *restrict v, fv_cpu_range range)
{
    for (int64_t i = range.first; i < range.end; i++) {
        float g = grad[i] * k.scale;
        float m1 = k.b1 * m[i] + k.rest1 * g;
        float v1 = k.b2 * v[i] + k.rest2 * (g * g);
        float p = param[i] - k.keep_decay * param[i];
        m[i] = m1;
        v[i] = v1;
        param[i] = p - k.rate * m1 / (__builtin_sqrtf(v1 * k.unbias2) + k.eps);
    }
}

fv_err FV_CPU(adamw)(fv_backend *backend, const fv_adamw_args *args)
{
    int64_t n = args->param.dim[0];
    rule k = {.b1 = args->beta1,
              .rest1 = 1.0f - args->beta1,
              .b2 = args->beta2,
              .rest2 = 1.0f - args->beta2,
              .scale = *fv_f32(args->scale),
              .eps = args->eps,
              .keep_decay = args->lr * args->weight_decay,
              .rate = (float)((double)args->lr / (1.0 - power(args->beta1, args->step))),
              .unbias2 = (float)(1.0 / (1.0 - power(args->beta2, args->step)))};
    if (k.scale == 0.0f)
        return FV_OK;
#pragma omp parallel num_threads(backend->n_threads) if (n > FV_CPU_SERIAL)
    update(k, fv_f32(args->grad), fv_f32(args->param), fv_f32(args->m), fv_f32(args->v), fv_cpu_share(n, 16));
    return FV_OK;
}
