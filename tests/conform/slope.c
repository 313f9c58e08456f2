/* Gradients against central differences of the loss, in double precision, along random directions. */
#include "suite.h"

#include "fovea/base/rng.h"

#include <math.h>

enum { DIRECTIONS = 2 };
static const double step = 1e-4;

static void move(fv_tensor x, const double *toward, double by)
{
    for (int64_t i = 0; i < fv_tensor_count(x); i++)
        ((double *)x.data)[i] += by * toward[i];
}

static double *draw_direction(int64_t n, uint32_t stream)
{
    double *toward = host_take((size_t)n * sizeof *toward);
    for (int64_t i = 0; i < n; i++)
        toward[i] = (double)fv_rng_normal((fv_rng_key){.seed = 8, .step = stream}, (uint32_t)i);
    return toward;
}

static double difference(const conform_case *c, any_args *args, fv_tensor x, const double *toward)
{
    size_t mark = host_mark();
    move(x, toward, step);
    double up = c->loss(args);
    move(x, toward, -2.0 * step);
    double down = c->loss(args);
    move(x, toward, step);
    host_release(mark);
    return (up - down) / (2.0 * step);
}

static void check_slope(const conform_case *c, conform_slope s, const any_args *found, double slack)
{
    any_args args = args_widen(c->op, c->args);
    fv_tensor x = *args_field(&args, field_named(c->op, s.input));
    const float *after = args_field(found, field_named(c->op, s.gradient))->data;
    const float *before = args_field(c->args, field_named(c->op, s.gradient))->data;
    for (uint32_t k = 0; k < DIRECTIONS; k++) {
        double along = 0.0, size = 1.0, *toward = draw_direction(fv_tensor_count(x), k);
        for (int64_t i = 0; i < fv_tensor_count(x); i++) {
            double slope = (double)after[i] - (s.added ? (double)before[i] : 0.0);
            along += slope * toward[i];
            size += fabs(slope * toward[i]);
        }
        double exact = difference(c, &args, x, toward);
        if (!(fabs(along - exact) <= slack * 1e-6 * size))
            fail_msg("%s: the slope along a direction of %s is %.9g by %s, %.9g by differences", case_name(c),
                     s.input, along, s.gradient, exact);
    }
}

void check_slopes(const conform_case *c, const any_args *found, double slack)
{
    size_t mark = host_mark();
    for (int i = 0; i < CONFORM_SLOPES && c->slopes[i].input; i++)
        check_slope(c, c->slopes[i], found, slack);
    host_release(mark);
}
