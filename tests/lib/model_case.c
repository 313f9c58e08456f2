#include "model_case.h"

#include <stdlib.h>

const char *const case_models[CASE_MODELS] = {"tiny-vl", "tiny-qwen2", "tiny-qwen3"};
fv_comm *case_self;
fv_precision case_precision;

int case_use_fp32(void **state)
{
    (void)state;
    case_precision = fv_precision_of(FV_PRECISION_FP32);
    return 0;
}

int case_use_bf16(void **state)
{
    (void)state;
    case_precision = fv_precision_of(FV_PRECISION_BF16);
    return 0;
}

typedef struct model_rows {
    fv_param_list params;
    case_adjust adjust;
    void *context;
} model_rows;

/* Numbers that leave nothing at 0 or 1: matrices and biases normal, norms around 1. */
static fv_err case_rows(void *context, int param, int64_t first, int64_t n, float *out)
{
    const model_rows *rows = context;
    const fv_param *p = &rows->params.items[param];
    for (int64_t i = 0; i < n * p->cols; i++) {
        float draw = fv_rng_normal((fv_rng_key){.seed = 5, .prompt = (uint64_t)param},
                                   (uint32_t)(first * p->cols + i));
        out[i] = p->init == FV_INIT_ONE ? 1.0f + 0.2f * draw : 0.08f * draw;
    }
    if (rows->adjust)
        rows->adjust(rows->context, p, first, n, out);
    return FV_OK;
}

void case_load_shape(const char *name, fv_model_shape *out)
{
    char path[4200];
    snprintf(path, sizeof path, "%s/../../configs/model/%s.yaml", getenv("TEST_DATA"), name);
    assert_ok(fv_model_shape_load_yaml(path, out));
}

void case_write(const char *name, const char *shape_name, case_adjust adjust, void *context)
{
    fv_model_shape shape;
    case_load_shape(shape_name, &shape);
    case_write_shape(name, &shape, adjust, context);
}

void case_write_shape(const char *name, const fv_model_shape *shape, case_adjust adjust, void *context)
{
    model_rows rows = {.adjust = adjust, .context = context};
    const fv_generation_defaults generation = {.temperature = 1, .top_p = 1, .repetition_penalty = 1};
    assert_ok(fv_param_list_init(&rows.params, shape));
    fv_folder_write_args args = {.shape = shape,
                                 .generation = &generation,
                                 .style = FV_FOLDER_V4,
                                 .dtype = FV_F32,
                                 .max_shard_bytes = FV_FOLDER_SHARD_BYTES,
                                 .writes = 1,
                                 .rows = case_rows,
                                 .context = &rows};
    assert_ok(fv_folder_write(temp_path(name), &args));
    fv_param_list_fini(&rows.params);
}

int case_setup(void **state)
{
    if (temp_setup(state) != 0 || fv_comm_self(&case_self) != FV_OK)
        return -1;
    for (int i = 0; i < CASE_MODELS; i++)
        case_write(case_models[i], case_models[i], NULL, NULL);
    return 0;
}

int case_teardown(void **state)
{
    fv_comm_destroy(case_self);
    return temp_teardown(state);
}

/* Append an image's tokens at c->n. */
static void case_add_image(model_case *c, fv_grid grid)
{
    const fv_model_shape *shape = fv_model_shape_of(c->model);
    int64_t n = fv_grid_tokens(grid, shape->vision.merge);
    c->grids[c->n_images++] = grid;
    c->ids[c->n++] = shape->vision_start_id;
    for (int64_t i = 0; i < n; i++)
        c->ids[c->n++] = shape->image_id;
    c->ids[c->n++] = shape->vision_end_id;
    c->n_features += n;
}

static void case_add_text(model_case *c, int64_t until)
{
    for (; c->n < until; c->n++)
        c->ids[c->n] = (int32_t)(fv_rng_uniform((fv_rng_key){.seed = 6}, (uint32_t)c->n) * 250.0f);
}

fv_picture *case_blank_picture(fv_grid grid)
{
    enum { PATCH = 14 };
    const fv_pixel_scale scale = {.factor = 1.0 / 64, .mean = {2, 2.25f, 1.75f}, .std = {1, 1.25f, 0.75f}};
    fv_image image;
    fv_picture *picture;
    assert_ok(fv_image_init(&image, "case", grid.w * PATCH, grid.h * PATCH, FV_IMAGE_MAX_PIXELS));
    memset(image.rgb, 0, fv_picture_bytes(grid, PATCH));
    assert_ok(fv_picture_create(&image, PATCH, &scale, &picture));
    return picture;
}

fv_picture *case_picture(fv_grid grid, uint64_t seed)
{
    fv_picture *picture = case_blank_picture(grid);
    for (size_t i = 0; i < fv_picture_bytes(grid, picture->patch); i++)
        picture->rgb[i] = (uint8_t)(fv_rng_uniform((fv_rng_key){.seed = seed}, (uint32_t)i) * 256.0f);
    return picture;
}

void case_place(model_case *c)
{
    int32_t next = 0, n = (int32_t)c->n;
    assert_ok(fv_positions_append(fv_model_shape_of(c->model), c->ids, c->n, c->grids, c->n_images, &next,
                                  c->positions, c->n));
    memcpy(c->segment, (int32_t[]){0, n, 0, 0, 1, n}, sizeof c->segment);
    memcpy(c->span, (int32_t[]){0, n}, sizeof c->span);
}

void case_open(model_case *c, fv_backend *backend, fv_comm *comm, const char *folder)
{
    case_open_shared(c, backend, comm, 1, folder);
}

void case_open_shared(model_case *c, fv_backend *backend, fv_comm *comm, int data_ranks, const char *folder)
{
    case_open_args(c, &(fv_model_args){.backend = backend,
                                       .tensor = comm,
                                       .folder = folder,
                                       .data_ranks = data_ranks,
                                       .precision = case_precision});
}

void case_open_args(model_case *c, const fv_model_args *args)
{
    *c = (model_case){.backend = args->backend,
                      .comm = args->tensor,
                      .inv_temperature = 1.0f,
                      .save = FV_SAVE_ALL,
                      .work = {.name = "case"}};
    assert_ok(fv_model_open(args, &c->model));
    case_add_text(c, 20);
    if (fv_model_shape_of(c->model)->vision.depth > 0) {
        case_add_image(c, (fv_grid){1, 4, 6});
        case_add_text(c, 40);
        case_add_image(c, (fv_grid){1, 12, 20}); /* several windows */
        for (int i = 0; i < c->n_images; i++)
            c->pictures[i] = case_picture(c->grids[i], 7 + (uint64_t)i);
    }
    case_add_text(c, CASE_TOKENS);
    case_place(c);
    assert_ok(fv_text_pass_create(c->model, &c->text));
    if (c->n_images)
        assert_ok(fv_vision_pass_create(c->model, &c->vision));
    assert_ok(fv_model_alloc_weights(c->model, FV_F32, &c->grads));
}

void case_close(model_case *c)
{
    fv_model_free_weights(c->model, &c->grads);
    fv_workspace_fini(&c->work);
    fv_vision_pass_destroy(c->vision);
    fv_text_pass_destroy(c->text);
    fv_model_destroy(c->model);
    fv_backend_destroy(c->backend);
    for (int i = 0; i < c->n_images; i++)
        fv_picture_release(c->pictures[i]);
}

static fv_token_run case_run(const model_case *c)
{
    return (fv_token_run){.n = c->n,
                          .ids = c->ids,
                          .positions = c->positions,
                          .segments = c->segment,
                          .spans = c->span,
                          .n_segments = 1,
                          .n_spans = 1,
                          .n_features = c->n_features};
}

static fv_err case_take(void *context, fv_arena *arena)
{
    model_case *c = context;
    fv_token_run run = case_run(c);
    int64_t rows = c->n - 1, hidden = fv_model_shape_of(c->model)->text.hidden;
    if (c->n_images) {
        FV_TRY(fv_vision_take(c->vision, c->grids, c->n_images, c->save, arena));
        FV_TRY(fv_tensor_take(arena, FV_F32, 2, (int64_t[]){c->n_features, hidden}, &c->dfeatures));
    }
    FV_TRY(fv_text_take(c->text, &run, c->save, arena));
    FV_TRY(fv_head_take(c->model, rows, c->n_excluded, arena, &c->head));
    FV_TRY(fv_tensor_take(arena, FV_F32, 1, &rows, &c->dlogprob));
    FV_TRY(fv_tensor_take(arena, FV_F32, 1, &rows, &c->dentropy));
    return fv_tensor_take(arena, FV_F32, 2, (int64_t[]){c->n, hidden}, &c->dhidden);
}

void case_forward(model_case *c, float *logprobs, float *entropies)
{
    fv_token_run run = case_run(c);
    assert_ok(fv_workspace_fit(&c->work, c->backend, case_take, c));
    if (c->n_images)
        assert_ok(fv_vision_forward(c->vision, c->pictures, &c->features));
    assert_ok(fv_text_forward(c->text, &run, c->features, NULL, &c->hidden));
    assert_ok(fv_head_forward(c->model, &c->head, fv_tensor_rows(c->hidden, 0, c->n - 1), c->ids + 1,
                              c->excluded, c->inv_temperature));
    assert_ok(fv_download_now(c->backend, c->head.logprob, logprobs));
    if (entropies)
        assert_ok(fv_download_now(c->backend, c->head.entropy, entropies));
}

void case_backward(model_case *c, const float *weights, float entropy_weight)
{
    int64_t rows = c->n - 1;
    fv_head_grad_args head = {.hidden = fv_tensor_rows(c->hidden, 0, rows),
                              .dlogprob = c->dlogprob,
                              .dentropy = entropy_weight != 0 ? c->dentropy : (fv_tensor){0},
                              .dhidden = fv_tensor_rows(c->dhidden, 0, rows)};
    assert_ok(fv_fill(c->backend, &(fv_fill_args){.x = c->grads.flat}));
    assert_ok(fv_fill(c->backend, &(fv_fill_args){.x = fv_tensor_rows(c->dhidden, rows, 1)}));
    assert_ok(fv_fill(c->backend, &(fv_fill_args){.x = c->dentropy, .value = entropy_weight}));
    assert_ok(fv_upload_array(c->backend, c->dlogprob, weights));
    assert_ok(fv_head_backward(c->model, &c->head, &head, &c->grads));
    assert_ok(fv_text_backward(c->text, c->dhidden, c->dfeatures, &c->grads));
    if (c->n_images)
        assert_ok(fv_vision_backward(c->vision, c->dfeatures, &c->grads));
}

void case_row_weights(float *weights)
{
    for (int i = 0; i < CASE_TOKENS - 1; i++)
        weights[i] = fv_rng_normal((fv_rng_key){.seed = 8}, (uint32_t)i) / CASE_TOKENS;
}

fv_err case_receive(void *context, int32_t id, float logprob)
{
    case_answer *a = context;
    a->ids[a->n] = id;
    a->logprobs[a->n++] = logprob;
    return FV_OK;
}

void case_generate(model_case *c, int64_t n_prompt, int64_t chunk, const fv_sampling *sampling,
                   case_answer *out)
{
    fv_finish finish;
    fv_generate_args args = {.prompt = {.ids = c->ids,
                                        .n = n_prompt,
                                        .grids = c->grids,
                                        .n_images = c->n_images,
                                        .pictures = c->pictures},
                             .sampling = *sampling,
                             .max_tokens = CASE_TOKENS - (int)n_prompt,
                             .ignore_stop = 1,
                             .chunk = chunk,
                             .sink = case_receive,
                             .context = out};
    out->n = 0;
    assert_ok(fv_generate(c->model, &args, &finish));
    assert_int_equal(finish, FV_FINISH_LENGTH);
    assert_int_equal(out->n, CASE_TOKENS - n_prompt);
    memcpy(c->ids + n_prompt, out->ids, (size_t)out->n * sizeof *out->ids);
}
