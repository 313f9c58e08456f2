/* fovea probe: one packed sequence through the model, everything about it into an HDF5 file. For comparing
 * with other implementations. */
#include "jobs/jobs.h"
#include "jobs/option.h"
#include "jobs/runtime.h"
#include "jobs/terminal.h"

#include "fovea/base/file.h"
#include "fovea/model/hf/folder.h"
#include "fovea/engine/generate.h"
#include "fovea/io/hdf5/hdf5.h"
#include "fovea/model/nn/head.h"
#include "fovea/model/optimizer.h"
#include "fovea/ops/staging.h"
#include "fovea/ops/workspace.h"

#include <float.h>
#include <stdlib.h>
#include <string.h>

typedef struct probe_options {
    fv_runtime_options runtime;
    const char *in, *out;
    int grad, recompute, steps, greedy;
    double lr;
    fv_optimizer_settings adamw;
} probe_options;

typedef struct probe {
    const probe_options *options;
    fv_runtime runtime;
    fv_file_writer target; /* whose temporary is out */
    fv_hdf5 *in, *out;
    int32_t *ids, *grids, *positions; /* (n), (n_images, 3), (3, n) */
    fv_picture **pictures;            /* (n_images) */
    int64_t n, n_features;
    int n_images;
    fv_workspace work;
    fv_vision_pass *vision;
    fv_text_pass *text;
    fv_head_pass head;
    fv_tensor features, dfeatures, hidden, dhidden, dlogprob;
    fv_logits logits;
    fv_weights grads;
} probe;

/* The case. */

/* pixels: the patches of all images, one behind the other. */
static fv_err make_pictures(probe *p, const float *pixels, int64_t elements)
{
    const fv_grid *grids = (const fv_grid *)p->grids;
    p->pictures = calloc((size_t)p->n_images + 1, sizeof *p->pictures);
    FV_CHECK(p->pictures, FV_ERR_MEMORY, "cannot allocate a list of %d images", p->n_images);
    for (int i = 0; i < p->n_images; pixels += fv_grid_patches(grids[i++]) * elements)
        FV_TRY(fv_picture_create_patches(grids[i], pixels, elements, &p->pictures[i]));
    return FV_OK;
}

static fv_err check_images(const probe *p, int64_t n_pixels, int64_t elements)
{
    const fv_grid *grids = (const fv_grid *)p->grids;
    int64_t patches = 0;
    for (int i = 0; i < p->n_images; i++)
        patches += fv_grid_patches(grids[i]);
    FV_CHECK(n_pixels == patches * elements, FV_ERR_FORMAT,
             "%s: pixel_values has %lld numbers; the grids have %lld patches of %lld", p->options->in,
             (long long)n_pixels, (long long)patches, (long long)elements);
    return FV_OK;
}

static fv_err read_pixels(probe *p, int64_t elements)
{
    size_t n;
    float *pixels;
    FV_TRY(fv_hdf5_read(p->in, "pixel_values", FV_F32, (void **)&pixels, &n));
    fv_err err = check_images(p, (int64_t)n, elements);
    if (err == FV_OK)
        err = make_pictures(p, pixels, elements);
    free(pixels);
    return err;
}

static fv_err read_images(probe *p)
{
    size_t n_grids;
    const fv_model_shape *shape = fv_model_shape_of(p->runtime.model);
    FV_TRY(fv_hdf5_read(p->in, "image_grid_thw", FV_I32, (void **)&p->grids, &n_grids));
    FV_CHECK(n_grids % 3 == 0, FV_ERR_FORMAT, "%s: image_grid_thw has %zu numbers, not three an image",
             p->options->in, n_grids);
    p->n_images = (int)(n_grids / 3);
    const fv_vision_shape *vision = &shape->vision;
    FV_CHECK(vision->depth > 0, FV_ERR_ARGUMENT, "%s has images, but the model %s has no vision tower",
             p->options->in, p->options->runtime.model);
    const fv_grid *grids = (const fv_grid *)p->grids;
    FV_TRY(fv_grid_check(grids, p->n_images, vision->merge));
    for (int i = 0; i < p->n_images; i++)
        p->n_features += fv_grid_tokens(grids[i], vision->merge);
    return read_pixels(p,
                       (int64_t)vision->in_channels * vision->temporal_patch * vision->patch * vision->patch);
}

static fv_err read_case(probe *p)
{
    size_t n;
    int32_t next = 0;
    FV_TRY(fv_hdf5_open(p->options->in, &p->in));
    FV_TRY(fv_hdf5_read(p->in, "input_ids", FV_I32, (void **)&p->ids, &n));
    FV_CHECK(n >= 2, FV_ERR_FORMAT, "%s: input_ids has %zu tokens; a loss needs at least 2", p->options->in,
             n);
    int limit = fv_model_shape_of(p->runtime.model)->text.max_positions;
    FV_CHECK(n <= (size_t)limit, FV_ERR_FORMAT, "%s: input_ids has %zu tokens, the model %d positions",
             p->options->in, n, limit);
    p->n = (int64_t)n;
    if (fv_hdf5_has(p->in, "pixel_values"))
        FV_TRY(read_images(p));
    p->positions = malloc(3 * n * sizeof(int32_t));
    FV_CHECK(p->positions, FV_ERR_MEMORY, "cannot allocate the positions of %zu tokens", n);
    return fv_positions_append(fv_model_shape_of(p->runtime.model), p->ids, p->n, (const fv_grid *)p->grids,
                               p->n_images, &next, p->positions, p->n);
}

/* Passes. The whole sequence is one segment over its own rows. */

static fv_token_run run_of(const probe *p, int32_t segment[FV_SEGMENT_FIELDS], int32_t span[FV_SPAN_FIELDS])
{
    int32_t n = (int32_t)p->n;
    memcpy(segment, (int32_t[]){0, n, 0, 0, 1, n}, FV_SEGMENT_FIELDS * sizeof n);
    memcpy(span, (int32_t[]){0, n}, FV_SPAN_FIELDS * sizeof n);
    return (fv_token_run){.n = p->n,
                          .ids = p->ids,
                          .positions = p->positions,
                          .segments = segment,
                          .spans = span,
                          .n_segments = 1,
                          .n_spans = 1,
                          .n_features = p->n_features};
}

static fv_err take_tensors(void *context, fv_arena *arena)
{
    probe *p = context;
    fv_model *model = p->runtime.model;
    fv_save save = p->options->recompute ? FV_SAVE_INPUTS : FV_SAVE_ALL;
    int64_t rows = p->n - 1, hidden = fv_model_shape_of(model)->text.hidden;
    int32_t segment[FV_SEGMENT_FIELDS], span[FV_SPAN_FIELDS];
    fv_token_run run = run_of(p, segment, span);
    if (p->vision) {
        FV_TRY(fv_vision_take(p->vision, (const fv_grid *)p->grids, p->n_images, save, arena));
        FV_TRY(fv_tensor_take(arena, FV_F32, 2, (int64_t[]){p->n_features, hidden}, &p->dfeatures));
    }
    FV_TRY(fv_text_take(p->text, &run, save, arena));
    FV_TRY(fv_head_take(model, rows, 0, arena, &p->head));
    FV_TRY(fv_logits_take(model, p->n, arena, &p->logits));
    FV_TRY(fv_tensor_take(arena, FV_F32, 1, &rows, &p->dlogprob));
    return fv_tensor_take(arena, FV_F32, 2, (int64_t[]){p->n, hidden}, &p->dhidden);
}

static fv_err prepare(probe *p)
{
    fv_model *model = p->runtime.model;
    if (p->n_images)
        FV_TRY(fv_vision_pass_create(model, &p->vision));
    FV_TRY(fv_text_pass_create(model, &p->text));
    return fv_workspace_fit(&p->work, p->runtime.backend, take_tensors, p);
}

static fv_err forward(probe *p)
{
    int32_t segment[FV_SEGMENT_FIELDS], span[FV_SPAN_FIELDS];
    fv_token_run run = run_of(p, segment, span);
    if (p->vision)
        FV_TRY(fv_vision_forward(p->vision, p->pictures, &p->features));
    FV_TRY(fv_text_forward(p->text, &run, p->features, NULL, &p->hidden));
    return fv_head_forward(p->runtime.model, &p->head, fv_tensor_rows(p->hidden, 0, p->n - 1), p->ids + 1,
                           NULL, 1.0f);
}

/* The mean over next tokens of -logprob; logprobs (n - 1). */
static fv_err loss_of(const probe *p, float *logprobs, double *loss)
{
    FV_TRY(fv_download_now(p->runtime.backend, p->head.logprob, logprobs));
    double sum = 0;
    for (int64_t i = 0; i < p->n - 1; i++)
        sum -= logprobs[i];
    *loss = sum / (double)(p->n - 1);
    return FV_OK;
}

static fv_err backward(probe *p)
{
    fv_backend *backend = p->runtime.backend;
    fv_model *model = p->runtime.model;
    int64_t rows = p->n - 1;
    FV_TRY(fv_fill(backend, &(fv_fill_args){.x = p->grads.flat}));
    FV_TRY(fv_fill(backend, &(fv_fill_args){.x = p->dlogprob, .value = -1.0f / (float)rows}));
    FV_TRY(fv_fill(backend, &(fv_fill_args){.x = fv_tensor_rows(p->dhidden, rows,
                                                                1)})); /* the last token predicts nothing */
    FV_TRY(fv_head_backward(model, &p->head,
                            &(fv_head_grad_args){.hidden = fv_tensor_rows(p->hidden, 0, rows),
                                                 .dlogprob = p->dlogprob,
                                                 .dhidden = fv_tensor_rows(p->dhidden, 0, rows)},
                            &p->grads));
    FV_TRY(fv_text_backward(p->text, p->dhidden, p->dfeatures, &p->grads));
    return p->vision ? fv_vision_backward(p->vision, p->dfeatures, &p->grads) : FV_OK;
}

/* Results. */

static fv_err write_tensor(probe *p, const char *name, fv_tensor t)
{
    float *host = malloc((size_t)fv_tensor_count(t) * sizeof *host + 1);
    FV_CHECK(host, FV_ERR_MEMORY, "cannot allocate %lld elements for %s", (long long)fv_tensor_count(t),
             name);
    fv_err err = fv_download_now(p->runtime.backend, t, host);
    if (err == FV_OK)
        err = fv_hdf5_write(p->out, name, t.dtype, t.n_dims, t.dim, host);
    free(host);
    return err;
}

static fv_err write_forward(probe *p)
{
    double loss;
    int64_t rows = p->n - 1;
    float *logprobs = malloc((size_t)rows * sizeof *logprobs);
    FV_CHECK(logprobs, FV_ERR_MEMORY, "cannot allocate %lld log-probs", (long long)rows);
    fv_err err = loss_of(p, logprobs, &loss);
    if (err == FV_OK)
        err = fv_hdf5_write(p->out, "logprobs", FV_F32, 1, &rows, logprobs);
    free(logprobs);
    FV_TRY(err);
    FV_TRY(fv_hdf5_write(p->out, "loss", FV_F64, 0, NULL, &loss));
    FV_TRY(fv_hdf5_write(p->out, "position_ids", FV_I32, 2, (int64_t[]){3, p->n}, p->positions));
    if (p->vision)
        FV_TRY(write_tensor(p, "image_features", p->features));
    FV_TRY(fv_model_logits(p->runtime.model, p->hidden, &p->logits));
    return write_tensor(p, "logits", p->logits.all);
}

/* A parameter of several dimensions is written with those of its file. */
static fv_err write_gradient(probe *p, const fv_folder *folder, int i)
{
    char tensor_name[FV_TENSOR_NAME_BYTES], name[FV_TENSOR_NAME_BYTES + 8];
    const fv_param *param = &folder->params.items[i];
    fv_tensor grad = fv_weights_param(&p->grads, fv_model_layout(p->runtime.model), i);
    fv_folder_tensor_name(folder, i, tensor_name);
    snprintf(name, sizeof name, "grad/%s", tensor_name);
    float *host = malloc((size_t)fv_tensor_count(grad) * sizeof *host);
    FV_CHECK(host, FV_ERR_MEMORY, "cannot allocate the gradient of %s", param->name);
    fv_err err = fv_download_now(p->runtime.backend, grad, host);
    if (err == FV_OK)
        err = fv_hdf5_write(p->out, name, FV_F32, param->n_dims, param->dim, host);
    free(host);
    return err;
}

static fv_err write_gradients(probe *p)
{
    fv_folder folder = {0};
    FV_TRY(backward(p));
    FV_TRY(fv_model_reduce_grads(p->runtime.model, &p->grads));
    FV_TRY(fv_folder_open(p->options->runtime.model, &folder));
    fv_err err = FV_OK;
    for (int i = 0; i < folder.params.n && err == FV_OK; i++)
        err = write_gradient(p, &folder, i);
    fv_folder_close(&folder);
    return err;
}

typedef struct collected {
    int32_t *ids;
    int64_t n;
} collected;

static fv_err collect(void *context, int32_t id, float logprob)
{
    (void)logprob;
    collected *all = context;
    all->ids[all->n++] = id;
    return FV_OK;
}

static fv_err write_greedy(probe *p)
{
    fv_finish finish;
    collected all = {.ids = malloc((size_t)p->options->greedy * sizeof(int32_t))};
    FV_CHECK(all.ids, FV_ERR_MEMORY, "cannot allocate %d tokens", p->options->greedy);
    fv_generate_args args = {.prompt = {.ids = p->ids,
                                        .n = p->n,
                                        .grids = (const fv_grid *)p->grids,
                                        .n_images = p->n_images,
                                        .pictures = p->pictures},
                             .sampling = {.top_p = 1.0f, .repetition_penalty = 1.0f},
                             .max_tokens = p->options->greedy,
                             .ignore_stop = 1,
                             .chunk = 512,
                             .sink = collect,
                             .context = &all};
    fv_err err = fv_generate(p->runtime.model, &args, &finish);
    if (err == FV_OK)
        err = fv_hdf5_write(p->out, "greedy", FV_I32, 1, &all.n, all.ids);
    free(all.ids);
    return err;
}

static fv_err train_step(probe *p, fv_optimizer *optimizer, float *logprobs, double *loss, double *norm)
{
    FV_TRY(forward(p));
    FV_TRY(loss_of(p, logprobs, loss));
    FV_TRY(backward(p));
    return fv_optimizer_step(optimizer, &p->grads, (float)p->options->lr, norm);
}

static fv_err write_steps(probe *p)
{
    fv_err err = FV_OK;
    int64_t n = p->options->steps;
    fv_optimizer optimizer = {0};
    double *figures = malloc(2 * (size_t)n * sizeof *figures);
    float *logprobs = malloc((size_t)p->n * sizeof *logprobs);
    FV_CHECK_DONE(figures && logprobs, FV_ERR_MEMORY, "cannot allocate the figures of %lld steps",
                  (long long)n);
    FV_TRY_DONE(fv_optimizer_init(&optimizer, p->runtime.model, p->runtime.world, &p->options->adamw));
    for (int64_t i = 0; i < n; i++)
        FV_TRY_DONE(train_step(p, &optimizer, logprobs, &figures[i], &figures[n + i]));
    FV_TRY_DONE(fv_hdf5_write(p->out, "losses", FV_F64, 1, &n, figures));
    FV_TRY_DONE(fv_hdf5_write(p->out, "grad_norms", FV_F64, 1, &n, figures + n));
done:
    fv_optimizer_fini(&optimizer);
    free(figures);
    free(logprobs);
    return err;
}

static fv_err check_alone(const probe *p)
{
    int n = p->runtime.world->size;
    FV_CHECK(n == 1, FV_ERR_UNSUPPORTED, "probe runs in one process, not %d", n);
    return FV_OK;
}

static fv_err run(probe *p)
{
    const probe_options *options = p->options;
    FV_TRY(fv_runtime_open(&p->runtime, &options->runtime));
    FV_TRY(fv_comm_agree(p->runtime.world, check_alone(p)));
    FV_TRY(read_case(p));
    FV_TRY(prepare(p));
    FV_TRY(fv_file_create(options->out, &p->target));
    FV_TRY(fv_hdf5_create(p->target.temporary, &p->out));
    FV_TRY(forward(p));
    FV_TRY(write_forward(p));
    if (options->greedy)
        FV_TRY(write_greedy(p));
    if (options->grad || options->steps)
        FV_TRY(fv_model_alloc_weights(p->runtime.model, FV_F32, &p->grads));
    if (options->grad)
        FV_TRY(write_gradients(p));
    return options->steps ? write_steps(p) : FV_OK;
}

/* The output has its name only if it is whole. */
static fv_err end_output(probe *p, fv_err err)
{
    fv_err closed = fv_hdf5_close(p->out);
    if (err == FV_OK && closed == FV_OK)
        return fv_file_commit(&p->target);
    fv_file_abandon(&p->target);
    return err != FV_OK ? err : closed;
}

static int finish(probe *p, fv_err err)
{
    err = end_output(p, err);
    fv_vision_pass_destroy(p->vision);
    fv_text_pass_destroy(p->text);
    fv_workspace_fini(&p->work);
    if (p->grads.flat.data)
        fv_model_free_weights(p->runtime.model, &p->grads);
    free(p->ids);
    free(p->grids);
    free(p->positions);
    for (int i = 0; p->pictures && i < p->n_images; i++)
        fv_picture_release(p->pictures[i]);
    free(p->pictures);
    fv_hdf5_close(p->in); /* nothing was written that could fail */
    return fv_runtime_finish(&p->runtime, err);
}

/* The command line. */

enum {
    KEY_CASE = 'c',
    KEY_OUT = 'o',
    KEY_GRAD = 0x101,
    KEY_STEPS,
    KEY_RECOMPUTE,
    KEY_GREEDY,
    KEY_LR,
    KEY_BETA1,
    KEY_BETA2,
    KEY_EPS,
    KEY_DECAY,
    KEY_CLIP
};

static const struct argp_option option_list[] = {
    {"case", KEY_CASE, "IN.h5", 0,
     "input_ids, and pixel_values and image_grid_thw if there are images (required)", 0},
    {"out", KEY_OUT, "OUT.h5", 0, "receives the results (required)", 0},
    {"greedy", KEY_GREEDY, "N", 0, "tokens to generate greedily (24)", 0},
    {"grad", KEY_GRAD, NULL, 0, "write the gradient of the loss as grad/TENSOR", 0},
    {"recompute", KEY_RECOMPUTE, NULL, 0, "save only the inputs of blocks and compute activations again", 0},
    {"steps", KEY_STEPS, "N", 0, "take N AdamW steps and write losses and grad_norms", 0},
    {"lr", KEY_LR, "X", 0, "learning rate (0.001)", 0},
    {"beta1", KEY_BETA1, "X", 0, "decay of the first moment (0.9)", 0},
    {"beta2", KEY_BETA2, "X", 0, "decay of the second moment (0.999)", 0},
    {"eps", KEY_EPS, "X", 0, "added to the root of the second moment (1e-8)", 0},
    {"weight-decay", KEY_DECAY, "X", 0, "weight decay of every parameter (0.01)", 0},
    {"clip", KEY_CLIP, "X", 0, "largest norm of the gradient; 0: no limit (1)", 0},
    {0}};

#define AT(member) offsetof(probe_options, member)
static const fv_option table[] = {{KEY_CASE, FV_OPTION_PATH, AT(in)},
                                  {KEY_OUT, FV_OPTION_PATH, AT(out)},
                                  {KEY_GRAD, FV_OPTION_FLAG, AT(grad)},
                                  {KEY_RECOMPUTE, FV_OPTION_FLAG, AT(recompute)},
                                  {KEY_STEPS, FV_OPTION_INT, AT(steps), .low = 1, .high = 1000000},
                                  {KEY_GREEDY, FV_OPTION_INT, AT(greedy), .high = 1000000},
                                  {KEY_LR, FV_OPTION_REAL, AT(lr), .most = 1e3},
                                  {KEY_BETA1, FV_OPTION_FLOAT, AT(adamw.beta1), .most = 1},
                                  {KEY_BETA2, FV_OPTION_FLOAT, AT(adamw.beta2), .most = 1},
                                  {KEY_EPS, FV_OPTION_FLOAT, AT(adamw.eps), .most = 1},
                                  {KEY_DECAY, FV_OPTION_FLOAT, AT(adamw.weight_decay), .most = 1e3},
                                  {KEY_CLIP, FV_OPTION_FLOAT, AT(adamw.clip), .most = FLT_MAX},
                                  {0}};

static error_t parse(int key, char *argument, struct argp_state *state)
{
    probe_options *out = state->input;
    if (key == ARGP_KEY_INIT) {
        state->child_inputs[0] = &out->runtime;
        return 0;
    }
    if (key == ARGP_KEY_END && (!out->in || !out->out))
        argp_error(state, "--case IN.h5 and --out OUT.h5 are required");
    return fv_option_set(table, option_list, key, argument, state, out);
}

int fv_job_probe(int argc, char **argv)
{
    const struct argp_child children[] = {{&fv_runtime_argp, 0, NULL, 0}, {0}};
    const struct argp argp = {
        .options = option_list,
        .parser = parse,
        .children = children,
        .doc = "Run one sequence through a model and write positions, image features, logits, "
               "log-probs, the loss (mean cross entropy of the next token) and a greedy "
               "continuation; on request gradients and AdamW steps."};
    probe_options options = {
        .greedy = 24, .lr = 1e-3, .adamw = {0.9f, 0.999f, 1e-8f, 0.01f, 1.0f, .decay_all = 1}};
    fv_terminal_parse(&argp, argc, argv, &options);
    probe p = {.options = &options, .work = {.name = "probe"}, .target.descriptor = -1};
    return finish(&p, run(&p));
}
