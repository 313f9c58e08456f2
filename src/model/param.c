#include "fovea/model/param.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct builder {
    fv_param *items; /* borrowed; NULL in the pass that counts */
    int n;
} builder;

/* How the matrix of a parameter is split over ranks. */
typedef struct split {
    int dim;
    int64_t unit;
    int blocks;
} split;

static const split whole = {.dim = -1, .unit = 1, .blocks = 1};

static split by_rows(int64_t unit)
{
    return (split){.dim = 0, .unit = unit, .blocks = 1};
}

static split by_cols(int64_t unit)
{
    return (split){.dim = 1, .unit = unit, .blocks = 1};
}

/* Append a parameter of shape (rows, cols), or (rows) if cols is 0. NULL in the pass that counts. */
__attribute__((format(printf, 6, 7))) static fv_param *add(builder *list, fv_param_init init, split how,
                                                           int64_t rows, int64_t cols, const char *name, ...)
{
    int index = list->n++;
    if (!list->items)
        return NULL;
    fv_param *param = &list->items[index];
    *param = (fv_param){.n_dims = cols ? 2 : 1,
                        .dim = {rows, cols},
                        .rows = rows,
                        .cols = cols ? cols : 1,
                        .split_dim = how.dim,
                        .unit = how.unit,
                        .blocks = how.blocks,
                        .init = init};
    va_list arguments;
    va_start(arguments, name);
    vsnprintf(param->name, sizeof param->name, name, arguments);
    va_end(arguments);
    return param;
}

/* A norm of head_dim numbers that every rank applies to its own heads. */
static void add_head_norm(builder *list, int layer, const char *which, int64_t head_dim)
{
    fv_param *param =
        add(list, FV_INIT_ONE, whole, head_dim, 0, "model.layers.%d.self_attn.%s_norm.weight", layer, which);
    if (param)
        param->sum_grad = 1;
}

static void add_projection(builder *list, const fv_text_shape *text, int layer, const char *which,
                           int n_heads)
{
    int64_t rows = (int64_t)n_heads * text->head_dim;
    add(list, FV_INIT_LINEAR, by_rows(text->head_dim), rows, text->hidden,
        "model.layers.%d.self_attn.%s_proj.weight", layer, which);
    if (text->has_qkv_bias)
        add(list, FV_INIT_ZERO, by_rows(text->head_dim), rows, 0, "model.layers.%d.self_attn.%s_proj.bias",
            layer, which);
}

static void add_layer(builder *list, const fv_text_shape *text, int i)
{
    int64_t hidden = text->hidden, intermediate = text->intermediate, head_dim = text->head_dim;
    add(list, FV_INIT_ONE, whole, hidden, 0, "model.layers.%d.input_layernorm.weight", i);
    add_projection(list, text, i, "q", text->n_heads);
    add_projection(list, text, i, "k", text->n_kv_heads);
    add_projection(list, text, i, "v", text->n_kv_heads);
    if (text->has_qk_norm) {
        add_head_norm(list, i, "q", head_dim);
        add_head_norm(list, i, "k", head_dim);
    }
    add(list, FV_INIT_LINEAR, by_cols(head_dim), hidden, text->n_heads * head_dim,
        "model.layers.%d.self_attn.o_proj.weight", i);
    add(list, FV_INIT_ONE, whole, hidden, 0, "model.layers.%d.post_attention_layernorm.weight", i);
    add(list, FV_INIT_LINEAR, by_rows(1), intermediate, hidden, "model.layers.%d.mlp.gate_proj.weight", i);
    add(list, FV_INIT_LINEAR, by_rows(1), intermediate, hidden, "model.layers.%d.mlp.up_proj.weight", i);
    add(list, FV_INIT_LINEAR, by_cols(1), hidden, intermediate, "model.layers.%d.mlp.down_proj.weight", i);
}

/* The weight and the bias of a linear map of the vision tower; a bias follows the rows of its matrix. */
static void add_linear(builder *list, split how, int64_t rows, int64_t cols, const char *name)
{
    add(list, FV_INIT_LINEAR, how, rows, cols, "visual.%s.weight", name);
    add(list, FV_INIT_ZERO, how.dim == 0 ? how : whole, rows, 0, "visual.%s.bias", name);
}

static void add_block(builder *list, const fv_vision_shape *vision, int i)
{
    int64_t hidden = vision->hidden, head_dim = hidden / vision->n_heads;
    static const char *const mlp[] = {"gate_proj", "up_proj"};
    char name[FV_PARAM_NAME_BYTES];
    add(list, FV_INIT_ONE, whole, hidden, 0, "visual.blocks.%d.norm1.weight", i);
    add(list, FV_INIT_ONE, whole, hidden, 0, "visual.blocks.%d.norm2.weight", i);
    snprintf(name, sizeof name, "blocks.%d.attn.qkv", i);
    add_linear(list, (split){.dim = 0, .unit = head_dim, .blocks = 3}, 3 * hidden, hidden, name);
    snprintf(name, sizeof name, "blocks.%d.attn.proj", i);
    add_linear(list, by_cols(head_dim), hidden, hidden, name);
    for (int m = 0; m < 2; m++) {
        snprintf(name, sizeof name, "blocks.%d.mlp.%s", i, mlp[m]);
        add_linear(list, by_rows(1), vision->intermediate, hidden, name);
    }
    snprintf(name, sizeof name, "blocks.%d.mlp.down_proj", i);
    add_linear(list, by_cols(1), hidden, vision->intermediate, name);
}

static void add_vision(builder *list, const fv_vision_shape *vision)
{
    int64_t merged = (int64_t)vision->hidden * vision->merge * vision->merge;
    int64_t pixels = (int64_t)vision->in_channels * vision->temporal_patch * vision->patch * vision->patch;
    fv_param *patch =
        add(list, FV_INIT_LINEAR, whole, vision->hidden, pixels, "visual.patch_embed.proj.weight");
    if (patch) {
        const int64_t dim[] = {vision->hidden, vision->in_channels, vision->temporal_patch, vision->patch,
                               vision->patch};
        patch->n_dims = 5;
        memcpy(patch->dim, dim, sizeof dim);
    }
    for (int i = 0; i < vision->depth; i++)
        add_block(list, vision, i);
    add(list, FV_INIT_ONE, whole, vision->hidden, 0, "visual.merger.ln_q.weight");
    add_linear(list, by_rows(1), merged, merged, "merger.mlp.0");
    add_linear(list, by_cols(1), vision->out_hidden, merged, "merger.mlp.2");
}

static void add_all(builder *list, const fv_model_shape *shape)
{
    const fv_text_shape *text = &shape->text;
    add(list, FV_INIT_EMBEDDING, by_rows(1), text->vocab, text->hidden, "model.embed_tokens.weight");
    for (int i = 0; i < text->n_layers; i++)
        add_layer(list, text, i);
    add(list, FV_INIT_ONE, whole, text->hidden, 0, "model.norm.weight");
    if (!text->tied)
        add(list, FV_INIT_LINEAR, by_rows(1), text->vocab, text->hidden, "lm_head.weight");
    if (shape->vision.depth > 0)
        add_vision(list, &shape->vision);
}

fv_err fv_param_list_init(fv_param_list *list, const fv_model_shape *shape)
{
    builder count = {0};
    *list = (fv_param_list){0};
    FV_TRY(fv_model_shape_check(shape));
    add_all(&count, shape);
    builder fill = {.items = calloc((size_t)count.n, sizeof *fill.items)};
    FV_CHECK(fill.items, FV_ERR_MEMORY, "no memory for a list of %d parameters", count.n);
    add_all(&fill, shape);
    *list = (fv_param_list){.items = fill.items, .n = fill.n};
    return FV_OK;
}

void fv_param_list_fini(fv_param_list *list)
{
    free(list->items);
    *list = (fv_param_list){0};
}

const fv_param *fv_param_find(const fv_param_list *list, const char *name)
{
    for (int i = 0; i < list->n; i++)
        if (strcmp(list->items[i].name, name) == 0)
            return &list->items[i];
    return NULL;
}

fv_param_part fv_param_part_of(const fv_param *param, int rank, int n_ranks)
{
    fv_param_part part = {.rows = param->rows, .cols = param->cols};
    if (param->split_dim < 0) {
        part.n = part.stride = param->rows;
        return part;
    }
    int64_t size = param->split_dim == 0 ? param->rows : param->cols;
    int64_t n_units = size / param->blocks / param->unit;
    int64_t begin = rank * n_units / n_ranks;
    int64_t end = n_units < n_ranks ? begin + 1 : (rank + 1) * n_units / n_ranks;
    part.first = begin * param->unit;
    part.n = (end - begin) * param->unit;
    part.stride = size / param->blocks;
    *(param->split_dim == 0 ? &part.rows : &part.cols) = part.n * param->blocks;
    return part;
}

int64_t fv_param_run(const fv_param *param, const fv_param_part *part, int64_t i, int64_t *in_whole)
{
    if (part->rows == param->rows && part->cols == param->cols) {
        *in_whole = i;
        return param->rows * param->cols - i;
    }
    int64_t row = i / part->cols, col = i % part->cols;
    int64_t held = param->split_dim == 1 ? col : row, inside = held % part->n;
    int64_t along = part->first + held / part->n * part->stride + inside;
    *in_whole = param->split_dim == 1 ? row * param->cols + along : along * param->cols + col;
    return param->split_dim == 1 ? part->n - inside : (part->n - inside) * param->cols - col;
}
