/* Rotary positions of the decoder. */
#include "fovea/model/nn/positions.h"

#include <math.h>

/* The pair that turns so many times over the original positions; a fraction. */
static double pair_of_turns(const fv_text_shape *shape, double turns)
{
    return shape->head_dim * log(shape->rope.original / (turns * 2 * M_PI)) / (2 * log(shape->rope_theta));
}

/* Fast pairs keep their rate, slow ones are divided by the factor, those between are mixed of both. */
static double yarn_rate(const fv_text_shape *shape, int pair, double rate)
{
    const fv_rope_scaling *rope = &shape->rope;
    double low = pair_of_turns(shape, rope->fast), high = pair_of_turns(shape, rope->slow);
    if (rope->truncates) {
        low = floor(low);
        high = ceil(high);
    }
    low = fmax(low, 0);
    high = fmin(high, shape->head_dim - 1);
    double width = high == low ? 0.001 : high - low; /* as the reference avoids a division by zero */
    double divided = fmin(fmax((pair - low) / width, 0), 1);
    return rate / rope->factor * divided + rate * (1 - divided);
}

static double llama3_rate(const fv_rope_scaling *rope, double rate)
{
    double turns = rope->original * rate / (2 * M_PI);
    double kept = fmin(fmax((turns - rope->slow) / (rope->fast - rope->slow), 0), 1);
    return rate / rope->factor * (1 - kept) + rate * kept;
}

/* How far a pair turns for one position. */
static double rate_of(const fv_text_shape *shape, int pair)
{
    double rate = pow(shape->rope_theta, -2.0 * pair / shape->head_dim);
    switch (shape->rope.kind) {
    case FV_ROPE_LINEAR:
        return rate / shape->rope.factor;
    case FV_ROPE_YARN:
        return yarn_rate(shape, pair, rate);
    case FV_ROPE_LLAMA3:
        return llama3_rate(&shape->rope, rate);
    default:
        return rate;
    }
}

void fv_rope_rates(const fv_text_shape *shape, double *rates)
{
    for (int pair = 0; pair < shape->head_dim / 2; pair++)
        rates[pair] = rate_of(shape, pair);
}

double fv_rope_scale(const fv_text_shape *shape)
{
    return shape->rope.kind == FV_ROPE_YARN ? shape->rope.attention : 1;
}
