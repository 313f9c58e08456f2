#include "fovea/model/nn/flops.h"

double fv_flops_of_token(const fv_model_shape *shape)
{
    const fv_text_shape *t = &shape->text;
    double hidden = t->hidden, heads = (double)t->n_heads * t->head_dim;
    double kv = (double)t->n_kv_heads * t->head_dim;
    double attention = hidden * (heads + 2 * kv) + heads * hidden, mlp = 3 * hidden * t->intermediate;
    return 2 * t->n_layers * (attention + mlp);
}

double fv_flops_of_draw(const fv_model_shape *shape)
{
    return 2.0 * shape->text.hidden * shape->text.vocab;
}

double fv_flops_of_patch(const fv_model_shape *shape)
{
    const fv_vision_shape *v = &shape->vision;
    if (v->depth == 0)
        return 0;
    double hidden = v->hidden, unit = (double)v->merge * v->merge, merged = hidden * unit;
    double embed = (double)v->in_channels * v->temporal_patch * v->patch * v->patch * hidden;
    double block = 4 * hidden * hidden + 3 * hidden * v->intermediate;
    double merger = (merged * merged + merged * v->out_hidden) / unit;
    return 2 * (embed + v->depth * block + merger);
}

double fv_flops_of_pair(const fv_model_shape *shape)
{
    const fv_text_shape *t = &shape->text;
    return 4.0 * t->n_layers * t->n_heads * t->head_dim;
}

double fv_flops_of_views(const fv_model_shape *shape, double n_patches)
{
    const fv_vision_shape *v = &shape->vision;
    double edge = v->depth ? (double)v->window / v->patch : 0, pairs = 0;
    for (int i = 0; i < v->depth; i++)
        pairs += v->full_attention[i] || n_patches < edge * edge ? n_patches : edge * edge;
    return 4.0 * v->hidden * pairs * n_patches;
}
