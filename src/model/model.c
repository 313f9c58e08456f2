#include "model.h"

#include "fovea/model/hf/folder.h"
#include "fovea/ops/staging.h"

#include <stdlib.h>

static int share(int n, int ranks)
{
    return n < ranks ? 1 : n / ranks;
}

static int uneven_share(int n, int rank, int ranks)
{
    return (int)((int64_t)n * (rank + 1) / ranks - (int64_t)n * rank / ranks);
}

fv_chunks fv_model_sum(const fv_model *model, int64_t whole)
{
    return fv_chunks_of_rank(model->chunks, whole, model->tensor->rank, model->tensor->size);
}

fv_id_range fv_model_range(const fv_model *model, int64_t range)
{
    int64_t vocab = model->shape.text.vocab, first = range * vocab / model->chunks;
    return (fv_id_range){first, (range + 1) * vocab / model->chunks - first};
}

fv_id_range fv_model_ids_of(const fv_model *model, int rank)
{
    int64_t vocab = model->shape.text.vocab, ranks = model->tensor->size, first = rank * vocab / ranks;
    return (fv_id_range){first, (rank + 1) * vocab / ranks - first};
}

int64_t fv_model_range_parts(const fv_model *model)
{
    int64_t most = (model->shape.text.vocab + model->chunks - 1) / model->chunks;
    return (most + FV_VOCAB_CHUNK - 1) / FV_VOCAB_CHUNK;
}

static void set_block_shapes(fv_model *model)
{
    const fv_text_shape *text = &model->shape.text;
    const fv_vision_shape *vision = &model->shape.vision;
    int rank = model->tensor->rank, ranks = model->tensor->size;
    model->text = (fv_block_shape){.hidden = text->hidden,
                                   .n_heads = text->n_heads / ranks,
                                   .n_kv_heads = share(text->n_kv_heads, ranks),
                                   .head_dim = text->head_dim,
                                   .intermediate = uneven_share(text->intermediate, rank, ranks),
                                   .causal = 1,
                                   .window = text->sliding_window,
                                   .has_qk_norm = text->has_qk_norm,
                                   .dtype = model->precision.activation,
                                   .norm_eps = text->norm_eps,
                                   .out_sum = fv_model_sum(model, (int64_t)text->n_heads * text->head_dim),
                                   .down_sum = fv_model_sum(model, text->intermediate)};
    if (vision->depth == 0)
        return;
    model->vision = (fv_block_shape){.hidden = vision->hidden,
                                     .n_heads = vision->n_heads / ranks,
                                     .n_kv_heads = vision->n_heads / ranks,
                                     .head_dim = vision->hidden / vision->n_heads,
                                     .intermediate = uneven_share(vision->intermediate, rank, ranks),
                                     .dtype = model->precision.activation,
                                     .norm_eps = 1e-6f,
                                     .out_sum = fv_model_sum(model, vision->hidden),
                                     .down_sum = fv_model_sum(model, vision->intermediate)};
}

fv_err fv_model_stage(fv_model *model, size_t bytes, void **out)
{
    if (bytes > model->staging_bytes) {
        void *staging = realloc(model->staging, bytes);
        FV_CHECK(staging, FV_ERR_MEMORY, "cannot allocate %zu bytes to stage a pass", bytes);
        model->staging = staging;
        model->staging_bytes = bytes;
    }
    *out = model->staging;
    return FV_OK;
}

fv_err fv_model_alloc_weights(fv_model *model, fv_dtype dtype, fv_weights *weights)
{
    *weights = (fv_weights){0};
    void *memory;
    FV_TRY(fv_backend_alloc(model->backend, (size_t)model->layout.n_flat * fv_dtype_bytes(dtype), &memory));
    fv_err err = fv_weights_init(weights, &model->layout, &model->shape, dtype, memory);
    if (err == FV_OK)
        err = fv_fill(model->backend, &(fv_fill_args){.x = weights->flat});
    if (err != FV_OK) {
        fv_backend_release(model->backend, memory);
        fv_weights_fini(weights);
    }
    return err;
}

void fv_model_free_weights(fv_model *model, fv_weights *weights)
{
    fv_backend_release(model->backend, weights->flat.data);
    fv_weights_fini(weights);
}

fv_err fv_model_copy_weights(fv_model *model, fv_weights *to)
{
    int64_t n = model->layout.n_flat;
    fv_tensor from = model->weights.flat;
    return fv_copy(model->backend, &(fv_copy_args){.in = fv_tensor_2d(from.data, from.dtype, 1, n),
                                                   .out = fv_tensor_2d(to->flat.data, to->flat.dtype, 1, n)});
}

void fv_model_swap_weights(fv_model *model, fv_weights *with)
{
    fv_weights before = model->weights;
    model->weights = *with;
    *with = before;
}

static fv_err join_replicas(fv_model *model)
{
    int ranks = model->tensor->size, kv_heads = model->shape.text.n_kv_heads;
    if (ranks <= kv_heads)
        return FV_OK;
    return fv_comm_split(model->tensor, model->tensor->rank * kv_heads / ranks, model->tensor->rank,
                         &model->replicas);
}

enum { LOAD_BYTES = 4 << 20 /* of a buffer that weights go through */ };

/* Rows [first, first + n) of the part: what of it lies side by side in the whole tensor at a time. */
static void draw_rows(const fv_param *param, const fv_param_part *part, int64_t first, int64_t n,
                      fv_folder_out out)
{
    int64_t begin = first * part->cols, end = begin + n * part->cols;
    for (int64_t i = begin, run, whole; i < end; i += run) {
        run = fv_param_run(param, part, i, &whole);
        run = run < end - i ? run : end - i;
        fv_param_noise(param, whole, run, out.dtype,
                       (char *)out.data + (size_t)(i - begin) * fv_dtype_bytes(out.dtype));
    }
}

/* As many rows at a time as a buffer holds. folder NULL: noise. */
static fv_err read_param(fv_model *model, const fv_folder *folder, int i, fv_staging *staging)
{
    const fv_param *param = &model->layout.params.items[i];
    fv_param_part part = fv_param_part_of(param, model->layout.rank, model->layout.n_ranks);
    fv_tensor values = fv_weights_param(&model->weights, &model->layout, i);
    int64_t numbers = LOAD_BYTES / (int64_t)fv_dtype_bytes(values.dtype), most = numbers / part.cols;
    FV_CHECK(most > 0, FV_ERR_UNSUPPORTED, "%s has rows of %lld numbers, at most %lld are supported",
             param->name, (long long)part.cols, (long long)numbers);
    for (int64_t first = 0, n; first < part.rows; first += n) {
        void *buffer;
        n = part.rows - first < most ? part.rows - first : most;
        FV_TRY(fv_staging_next(staging, &buffer));
        const fv_folder_out out = {values.dtype, buffer};
        if (folder)
            FV_TRY(fv_folder_read(folder, i, &part, first, n, out));
        else
            draw_rows(param, &part, first, n, out);
        FV_TRY(fv_staging_upload(staging, fv_tensor_rows(values, first, n)));
    }
    return FV_OK;
}

static fv_err read_weights(fv_model *model, const fv_folder *folder)
{
    fv_staging *staging;
    fv_err err = fv_staging_create(model->backend, LOAD_BYTES, &staging);
    for (int i = 0; i < model->layout.params.n && err == FV_OK; i++)
        err = read_param(model, folder, i, staging);
    fv_staging_destroy(staging);
    return err;
}

/* Every rank has whole chunks of each sum. */
static fv_err check_chunks(int chunks, int n_ranks)
{
    FV_CHECK(chunks >= 1 && chunks <= FV_MAX_CHUNKS && (chunks & (chunks - 1)) == 0, FV_ERR_ARGUMENT,
             "sums in %d chunks (layout.chunks, --chunks): take 1, 2, 4 or 8", chunks);
    FV_CHECK(
        chunks % n_ranks == 0, FV_ERR_ARGUMENT,
        "%d ranks cannot share sums of %d chunks: %d = %d x %d + %d; take ranks that divide the chunks, or "
        "more chunks, at most %d (layout.chunks, --chunks)",
        n_ranks, chunks, chunks, chunks / n_ranks, n_ranks, chunks % n_ranks, FV_MAX_CHUNKS);
    return FV_OK;
}

static fv_err open_parts(fv_model *model, const fv_model_args *args, const fv_folder *folder)
{
    model->shape = folder ? folder->shape : *args->shape;
    FV_TRY(check_chunks(model->chunks, model->tensor->size));
    FV_TRY(fv_layout_init(&model->layout, &model->shape, model->tensor->rank, model->tensor->size));
    if (args->data_ranks > 1)
        fv_layout_pad(&model->layout, args->data_ranks);
    set_block_shapes(model);
    FV_TRY(fv_model_alloc_weights(model, model->precision.param, &model->weights));
    FV_TRY(read_weights(model, folder));
    return join_replicas(model);
}

fv_err fv_model_open(const fv_model_args *args, fv_model **out)
{
    *out = NULL;
    fv_folder folder = {0};
    fv_model *model = calloc(1, sizeof *model);
    FV_CHECK(model, FV_ERR_MEMORY, "cannot allocate a model");
    model->backend = args->backend;
    model->tensor = args->tensor;
    model->chunks = args->chunks ? args->chunks : FV_DEFAULT_CHUNKS;
    model->precision = args->precision;
    fv_err err = args->folder ? fv_folder_open(args->folder, &folder) : FV_OK;
    if (err == FV_OK)
        err = open_parts(model, args, args->folder ? &folder : NULL);
    fv_folder_close(&folder);
    err = fv_comm_agree(args->tensor, err);
    if (err != FV_OK)
        fv_model_destroy(model);
    else
        *out = model;
    return err;
}

void fv_model_destroy(fv_model *model)
{
    if (!model)
        return;
    fv_model_free_weights(model, &model->weights);
    fv_layout_fini(&model->layout);
    fv_comm_destroy(model->replicas);
    free(model->staging);
    free(model);
}

const fv_model_shape *fv_model_shape_of(const fv_model *model)
{
    return &model->shape;
}

const fv_layout *fv_model_layout(const fv_model *model)
{
    return &model->layout;
}

const fv_weights *fv_model_weights(const fv_model *model)
{
    return &model->weights;
}

const fv_precision *fv_model_precision(const fv_model *model)
{
    return &model->precision;
}

fv_backend *fv_model_backend(const fv_model *model)
{
    return model->backend;
}

fv_comm *fv_model_tensor(const fv_model *model)
{
    return model->tensor;
}

/* 1 if ranks share units of this parameter because there are fewer units than ranks. */
static int is_replicated(const fv_param *param, int n_ranks)
{
    int64_t size = param->split_dim == 0 ? param->rows : param->cols;
    return param->split_dim >= 0 && size / param->blocks / param->unit < n_ranks;
}

fv_err fv_model_reduce_grads(fv_model *model, fv_weights *grads)
{
    for (int i = 0; i < model->layout.params.n; i++) {
        const fv_param *param = &model->layout.params.items[i];
        fv_tensor grad = fv_weights_param(grads, &model->layout, i);
        if (param->sum_grad)
            FV_TRY(fv_all_reduce(model->backend, &(fv_all_reduce_args){model->tensor, grad}));
        else if (model->replicas && is_replicated(param, model->layout.n_ranks))
            FV_TRY(fv_all_reduce(model->backend, &(fv_all_reduce_args){model->replicas, grad}));
    }
    return FV_OK;
}

int fv_model_counts(const fv_model *model, const fv_param *param)
{
    if (param->split_dim < 0)
        return model->tensor->rank == 0;
    return !is_replicated(param, model->layout.n_ranks) || model->replicas->rank == 0;
}

fv_err fv_logits_take(const fv_model *model, int64_t n, fv_arena *arena, fv_logits *out)
{
    int64_t vocab = model->shape.text.vocab, ranks = model->tensor->size, width = (vocab + ranks - 1) / ranks;
    *out = (fv_logits){0};
    FV_TRY(fv_tensor_take(arena, FV_F32, 2, (int64_t[]){n, vocab}, &out->all));
    out->own = out->all;
    if (ranks == 1)
        return FV_OK;
    FV_TRY(fv_tensor_take(arena, FV_F32, 2, (int64_t[]){n, width}, &out->own));
    return fv_tensor_take(arena, FV_F32, 2, (int64_t[]){ranks * n, width}, &out->parts);
}

fv_err fv_model_logits(fv_model *model, fv_tensor hidden, const fv_logits *logits)
{
    int64_t n = logits->own.dim[0], ranks = model->tensor->size;
    fv_id_range own = fv_model_ids_of(model, model->tensor->rank);
    FV_TRY(fv_linear(model->backend, hidden, model->weights.head, (fv_tensor){0},
                     fv_tensor_cols(logits->own, 0, own.n)));
    if (ranks == 1)
        return FV_OK;
    FV_TRY(fv_all_gather(model->backend, &(fv_all_gather_args){model->tensor, logits->own, logits->parts}));
    for (int rank = 0; rank < ranks; rank++) { /* the columns of every rank side by side */
        fv_id_range ids = fv_model_ids_of(model, rank);
        fv_tensor rows = fv_tensor_rows(logits->parts, rank * n, n);
        FV_TRY(
            fv_copy(model->backend, &(fv_copy_args){.in = fv_tensor_cols(rows, 0, ids.n),
                                                    .out = fv_tensor_cols(logits->all, ids.first, ids.n)}));
    }
    return FV_OK;
}
