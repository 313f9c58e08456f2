#include "io/image/image_weights.h"

#include <math.h>
#include <stdlib.h>

static double bicubic(double x)
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1.0)
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
    return x < 2.0 ? (((x - 5) * x + 8) * x - 4) * a : 0.0;
}

static double sinc(double x)
{
    return x == 0.0 ? 1.0 : sin(x * M_PI) / (x * M_PI);
}

static double lanczos(double x)
{
    return x >= -3.0 && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0;
}

typedef struct kernel {
    double (*value)(double x);
    double support; /* stretched */
    double scale;   /* inputs an output */
    double shrink;  /* 1 / stretch */
} kernel;

static kernel kernel_of(fv_filter filter, int n_in, int n_out)
{
    double scale = (double)n_in / n_out, stretch = scale < 1.0 ? 1.0 : scale;
    int is_cubic = filter == FV_FILTER_BICUBIC;
    return (kernel){.value = is_cubic ? bicubic : lanczos,
                    .support = (is_cubic ? 2.0 : 3.0) * stretch,
                    .scale = scale,
                    .shrink = 1.0 / stretch};
}

static void store(fv_resize_weights *w, int at, int tap, double value)
{
    int fixed = (int)((value < 0 ? -0.5 : 0.5) + value * (1 << FV_RESIZE_BITS));
    int16_t *group = (int16_t *)fv_resize_group(w, at, tap / FV_RESIZE_GROUP);
    group[tap % FV_RESIZE_GROUP] = (int16_t)(fixed >> FV_RESIZE_LOW_BITS);
    group[FV_RESIZE_GROUP + tap % FV_RESIZE_GROUP] = (int16_t)(fixed & ((1 << FV_RESIZE_LOW_BITS) - 1));
}

/* scratch holds one number a tap. */
static void fill_output(fv_resize_weights *w, const kernel *k, int n_in, int at, double *scratch)
{
    double centre = (at + 0.5) * k->scale, sum = 0;
    int first = (int)(centre - k->support + 0.5), end = (int)(centre + k->support + 0.5);
    first = first < 0 ? 0 : first;
    end = end > n_in ? n_in : end;
    for (int i = first; i < end; i++) {
        scratch[i - first] = k->value((i - centre + 0.5) * k->shrink);
        sum += scratch[i - first];
    }
    w->first[at] = first;
    w->count[at] = end - first;
    for (int i = 0; i < end - first; i++)
        store(w, at, i, sum != 0.0 ? scratch[i] / sum : scratch[i]);
}

fv_err fv_resize_weights_init(fv_resize_weights *w, fv_filter filter, int n_in, int n_out)
{
    kernel k = kernel_of(filter, n_in, n_out);
    int n_taps = (int)ceil(k.support) * 2 + 1;
    int used = n_taps < n_in ? n_taps : n_in;
    size_t n = (size_t)n_out;
    *w = (fv_resize_weights){.n_out = n_out, .n_groups = (used + FV_RESIZE_GROUP - 1) / FV_RESIZE_GROUP};
    w->first = calloc(n, sizeof *w->first);
    w->count = calloc(n, sizeof *w->count);
    w->parts = calloc(n * (size_t)w->n_groups, 8 * sizeof *w->parts);
    double *scratch = malloc((size_t)n_taps * sizeof *scratch);
    if (!w->first || !w->count || !w->parts || !scratch) {
        free(scratch);
        fv_resize_weights_fini(w);
        return FV_FAIL(FV_ERR_MEMORY, "no memory for the weights to resize %d to %d pixels", n_in, n_out);
    }
    for (int at = 0; at < n_out; at++)
        fill_output(w, &k, n_in, at, scratch);
    free(scratch);
    return FV_OK;
}

void fv_resize_weights_fini(fv_resize_weights *w)
{
    free(w->first);
    free(w->count);
    free(w->parts);
    *w = (fv_resize_weights){0};
}
