#include "fovea/model/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Views and shares begin at multiples of so many elements, whatever their dtype: a checkpoint of a flat
 * buffer fits every precision. */
enum { ALIGN_ELEMENTS = 64 };

/* A view and the parameters that lie side by side in it. Views whose first parameter a family lacks stay
 * absent. */
enum { MAX_MEMBERS = 3 };
typedef struct view {
    size_t field;
    const char *members[MAX_MEMBERS];
} view;

#define BLOCK(field) offsetof(fv_block_weights, field)
#define MODEL(field) offsetof(fv_weights, field)

static const view text_block[] = {
    {BLOCK(norm1), {"input_layernorm.weight"}},
    {BLOCK(qkv), {"self_attn.q_proj.weight", "self_attn.k_proj.weight", "self_attn.v_proj.weight"}},
    {BLOCK(qkv_bias), {"self_attn.q_proj.bias", "self_attn.k_proj.bias", "self_attn.v_proj.bias"}},
    {BLOCK(q_norm), {"self_attn.q_norm.weight"}},
    {BLOCK(k_norm), {"self_attn.k_norm.weight"}},
    {BLOCK(out), {"self_attn.o_proj.weight"}},
    {BLOCK(norm2), {"post_attention_layernorm.weight"}},
    {BLOCK(gate_up), {"mlp.gate_proj.weight", "mlp.up_proj.weight"}},
    {BLOCK(down), {"mlp.down_proj.weight"}},
    {0},
};

static const view vision_block[] = {
    {BLOCK(norm1), {"norm1.weight"}},
    {BLOCK(qkv), {"attn.qkv.weight"}},
    {BLOCK(qkv_bias), {"attn.qkv.bias"}},
    {BLOCK(out), {"attn.proj.weight"}},
    {BLOCK(out_bias), {"attn.proj.bias"}},
    {BLOCK(norm2), {"norm2.weight"}},
    {BLOCK(gate_up), {"mlp.gate_proj.weight", "mlp.up_proj.weight"}},
    {BLOCK(gate_up_bias), {"mlp.gate_proj.bias", "mlp.up_proj.bias"}},
    {BLOCK(down), {"mlp.down_proj.weight"}},
    {BLOCK(down_bias), {"mlp.down_proj.bias"}},
    {0},
};

static const view whole_model[] = {
    {MODEL(embed), {"model.embed_tokens.weight"}},
    {MODEL(norm), {"model.norm.weight"}},
    {MODEL(head), {"lm_head.weight"}},
    {MODEL(patch), {"visual.patch_embed.proj.weight"}},
    {MODEL(merger_norm), {"visual.merger.ln_q.weight"}},
    {MODEL(merger_in), {"visual.merger.mlp.0.weight"}},
    {MODEL(merger_in_bias), {"visual.merger.mlp.0.bias"}},
    {MODEL(merger_out), {"visual.merger.mlp.2.weight"}},
    {MODEL(merger_out_bias), {"visual.merger.mlp.2.bias"}},
    {0},
};

/* A walk over all views either places their members in a layout or binds them to memory. */
typedef struct visitor {
    fv_layout *layout;       /* placing; else NULL */
    const fv_layout *placed; /* binding */
    fv_tensor flat;
} visitor;

static int find(const fv_layout *layout, const char *prefix, const char *member)
{
    char name[FV_PARAM_NAME_BYTES];
    snprintf(name, sizeof name, "%s%s", prefix, member);
    const fv_param *param = fv_param_find(&layout->params, name);
    return param ? (int)(param - layout->params.items) : -1;
}

static fv_param_part part_of(const fv_layout *layout, int i)
{
    return fv_param_part_of(&layout->params.items[i], layout->rank, layout->n_ranks);
}

static int64_t aligned(int64_t n)
{
    return (n + ALIGN_ELEMENTS - 1) / ALIGN_ELEMENTS * ALIGN_ELEMENTS;
}

static void place_view(fv_layout *layout, const view *v, const char *prefix)
{
    layout->n_elements = aligned(layout->n_elements);
    for (int m = 0; m < MAX_MEMBERS && v->members[m]; m++) {
        int i = find(layout, prefix, v->members[m]);
        if (i < 0)
            return;
        fv_param_part part = part_of(layout, i);
        layout->offset[i] = layout->n_elements;
        layout->n_elements += part.rows * part.cols;
    }
}

static fv_tensor bind(const fv_layout *layout, const view *v, const char *prefix, fv_tensor flat)
{
    int first = find(layout, prefix, v->members[0]);
    if (first < 0)
        return (fv_tensor){0};
    int64_t rows = 0;
    for (int m = 0; m < MAX_MEMBERS && v->members[m]; m++)
        rows += part_of(layout, find(layout, prefix, v->members[m])).rows;
    void *data = fv_tensor_rows(flat, layout->offset[first], 0).data;
    if (layout->params.items[first].n_dims == 1)
        return fv_tensor_1d(data, flat.dtype, rows);
    return fv_tensor_2d(data, flat.dtype, rows, part_of(layout, first).cols);
}

/* Visit the views of a table; base is the struct that receives them when binding. */
static void visit(const visitor *walk, const view *table, const char *prefix, void *base)
{
    for (const view *v = table; v->members[0]; v++) {
        if (walk->layout)
            place_view(walk->layout, v, prefix);
        else
            *(fv_tensor *)((char *)base + v->field) = bind(walk->placed, v, prefix, walk->flat);
    }
}

static void visit_blocks(const visitor *walk, const view *table, const char *stem, int n,
                         fv_block_weights *blocks)
{
    for (int i = 0; i < n; i++) {
        char prefix[FV_PARAM_NAME_BYTES];
        snprintf(prefix, sizeof prefix, "%s.%d.", stem, i);
        visit(walk, table, prefix, blocks ? &blocks[i] : NULL);
    }
}

static void visit_model(const visitor *walk, const fv_model_shape *shape, fv_weights *weights)
{
    visit(walk, whole_model, "", weights);
    visit_blocks(walk, text_block, "model.layers", shape->text.n_layers, weights ? weights->text : NULL);
    visit_blocks(walk, vision_block, "visual.blocks", shape->vision.depth, weights ? weights->vision : NULL);
}

/* Heads are the units that cannot be cut; every other split dimension needs at least one row a rank. */
static fv_err check_split(const fv_model_shape *shape, int n)
{
    const fv_text_shape *text = &shape->text;
    FV_CHECK(text->n_heads % n == 0, FV_ERR_ARGUMENT,
             "%d ranks cannot share %d query heads: take a number that divides them", n, text->n_heads);
    FV_CHECK(text->n_kv_heads % n == 0 || n % text->n_kv_heads == 0, FV_ERR_ARGUMENT,
             "%d ranks cannot share %d key heads: neither number divides the other", n, text->n_kv_heads);
    FV_CHECK(text->vocab >= n, FV_ERR_ARGUMENT, "%d ranks cannot share a vocabulary of %d: take fewer", n,
             text->vocab);
    FV_CHECK(text->intermediate >= n, FV_ERR_ARGUMENT, "%d ranks cannot share an MLP of width %d: take fewer",
             n, text->intermediate);
    const fv_vision_shape *vision = &shape->vision;
    FV_CHECK(vision->depth == 0 || vision->n_heads % n == 0, FV_ERR_ARGUMENT,
             "%d ranks cannot share the %d heads of the vision tower: take a number that divides them", n,
             vision->n_heads);
    FV_CHECK(vision->depth == 0 || vision->intermediate >= n, FV_ERR_ARGUMENT,
             "%d ranks cannot share a vision MLP of width %d: take fewer", n, vision->intermediate);
    return FV_OK;
}

static fv_err check_placed(const fv_layout *layout)
{
    for (int i = 0; i < layout->params.n; i++)
        FV_CHECK(layout->offset[i] >= 0, FV_ERR_INTERNAL, "no view holds the parameter %s",
                 layout->params.items[i].name);
    return FV_OK;
}

fv_err fv_layout_init(fv_layout *layout, const fv_model_shape *shape, int rank, int n_ranks)
{
    fv_err err = FV_OK;
    *layout = (fv_layout){.rank = rank, .n_ranks = n_ranks};
    FV_TRY(check_split(shape, n_ranks));
    FV_TRY_DONE(fv_param_list_init(&layout->params, shape));
    layout->offset = malloc((size_t)layout->params.n * sizeof *layout->offset);
    FV_CHECK_DONE(layout->offset, FV_ERR_MEMORY, "cannot allocate the layout of %d parameters",
                  layout->params.n);
    memset(layout->offset, -1, (size_t)layout->params.n * sizeof *layout->offset);
    visit_model(&(visitor){.layout = layout}, shape, NULL);
    layout->n_elements = aligned(layout->n_elements);
    fv_layout_pad(layout, 1);
    FV_TRY_DONE(check_placed(layout));
done:
    if (err != FV_OK)
        fv_layout_fini(layout);
    return err;
}

void fv_layout_pad(fv_layout *layout, int n_shares)
{
    layout->share = aligned((layout->n_elements + n_shares - 1) / n_shares);
    layout->n_flat = layout->share * n_shares;
}

void fv_layout_fini(fv_layout *layout)
{
    fv_param_list_fini(&layout->params);
    free(layout->offset);
    *layout = (fv_layout){0};
}

fv_err fv_weights_init(fv_weights *weights, const fv_layout *layout, const fv_model_shape *shape,
                       fv_dtype dtype, void *memory)
{
    *weights = (fv_weights){.flat = fv_tensor_1d(memory, dtype, layout->n_flat)};
    weights->text = calloc((size_t)shape->text.n_layers, sizeof *weights->text);
    weights->vision = calloc((size_t)shape->vision.depth + 1, sizeof *weights->vision);
    if (!weights->text || !weights->vision) {
        fv_weights_fini(weights);
        return FV_FAIL(FV_ERR_MEMORY, "cannot allocate the views of %d layers", shape->text.n_layers);
    }
    visit_model(&(visitor){.placed = layout, .flat = weights->flat}, shape, weights);
    if (!weights->head.data)
        weights->head = weights->embed;
    return FV_OK;
}

void fv_weights_fini(fv_weights *weights)
{
    free(weights->text);
    free(weights->vision);
    *weights = (fv_weights){0};
}

fv_tensor fv_weights_param(const fv_weights *weights, const fv_layout *layout, int i)
{
    fv_param_part part = part_of(layout, i);
    void *data = fv_tensor_rows(weights->flat, layout->offset[i], 0).data;
    return fv_tensor_2d(data, weights->flat.dtype, part.rows, part.cols);
}
