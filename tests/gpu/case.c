#include "case.h"

#include "fovea/ops/backend_choice.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const fv_grid low = {1, 8, 8}, high = {1, 16, 16};

void must(fv_err err)
{
    if (err == FV_OK)
        return;
    fprintf(stderr, "FAILED: %s: %s (in %s)\n", fv_err_name(err), fv_error_text(), fv_error_trace());
    exit(1);
}

static fv_picture *make_picture(fv_grid grid, const fv_vision_shape *vision, uint64_t seed)
{
    const fv_pixel_scale scale = {.factor = 1.0 / 64, .mean = {2, 2.25f, 1.75f}, .std = {1, 1.25f, 0.75f}};
    fv_image image;
    fv_picture *picture;
    must(fv_image_init(&image, "case", (int64_t)grid.w * vision->patch, (int64_t)grid.h * vision->patch,
                       FV_IMAGE_MAX_PIXELS));
    for (int64_t i = 0; i < 3LL * image.width * image.height; i++)
        image.rgb[i] = (uint8_t)(256 * fv_rng_uniform((fv_rng_key){.seed = seed}, (uint32_t)i));
    must(fv_picture_create(&image, vision->patch, &scale, &picture));
    return picture;
}

static void make_pictures(gpu_case *c)
{
    for (int i = 0; i < CASE_PICTURES && c->shape.vision.depth; i++) {
        c->pictures[i][0] = make_picture(low, &c->shape.vision, 10 + (uint64_t)i);
        c->pictures[i][1] = make_picture(high, &c->shape.vision, 20 + (uint64_t)i);
    }
}

/* What would show an image. */
static void exclude(gpu_case *c)
{
    const int32_t ids[] = {c->shape.image_id, c->shape.video_id, c->shape.vision_start_id,
                           c->shape.vision_end_id};
    for (size_t i = 0; i < sizeof ids / sizeof *ids && c->shape.vision.depth; i++)
        c->excluded[c->n_excluded++] = ids[i];
}

void case_open(gpu_case *c, const char *shape, const char *backend)
{
    fv_backend_kind taken;
    const fv_backend_args args = {.kind = strcmp(backend, "cuda") == 0 ? FV_BACKEND_CUDA : FV_BACKEND_CPU};
    *c = (gpu_case){0};
    must(fv_model_shape_load_yaml(shape, &c->shape));
    must(fv_comm_self(&c->self));
    must(fv_backend_create(&args, &taken, &c->backend));
    must(fv_model_open(&(fv_model_args){.backend = c->backend,
                                        .tensor = c->self,
                                        .shape = &c->shape,
                                        .precision = fv_precision_of(FV_PRECISION_BF16)},
                       &c->model));
    exclude(c);
    make_pictures(c);
    const fv_policy_settings settings = {
        .temperature = 0.8f, .excluded = c->excluded, .n_excluded = c->n_excluded};
    must(fv_policy_create(c->model, &settings, &c->policy));
}

void case_close(gpu_case *c)
{
    for (int i = 0; i < CASE_PICTURES; i++)
        for (int k = 0; k < 2; k++)
            fv_picture_release(c->pictures[i][k]);
    fv_policy_destroy(c->policy);
    fv_model_destroy(c->model);
    fv_backend_destroy(c->backend);
    fv_comm_destroy(c->self);
}

int32_t case_draw(int group, int sample, int place, int32_t below)
{
    const fv_rng_key key = {.seed = 3, .prompt = (uint64_t)group, .sample = (uint32_t)sample};
    uint32_t words[4];
    fv_rng_words(key, (uint32_t)place, words);
    return (int32_t)(words[0] % (uint32_t)below);
}

/* Text has no special token: those come last. */
static int32_t text_id(const gpu_case *c, int group, int sample, int place)
{
    int32_t first_special = c->shape.text.vocab;
    for (int i = 0; i < c->n_excluded; i++)
        first_special = c->excluded[i] < first_special ? c->excluded[i] : first_special;
    return case_draw(group, sample, 1000 + place, first_special);
}

static int image_tokens(const gpu_case *c, fv_grid grid)
{
    return (int)fv_grid_tokens(grid, c->shape.vision.merge);
}

void case_group(const gpu_case *c, int number, int n_samples, fv_group *out)
{
    enum { TOOL = 8 };
    must(fv_group_init(out, number, number, n_samples));
    out->has_image = c->shape.vision.depth > 0 && number % 5 != 4;
    out->low = low;
    out->high = high;
    for (int i = 0; i < 3; i++)
        must(fv_tokens_push(&out->prompt, text_id(c, number, 0, i)));
    if (out->has_image) {
        must(fv_tokens_push(&out->prompt, c->shape.vision_start_id));
        for (int i = 0; i < image_tokens(c, low); i++)
            must(fv_tokens_push(&out->prompt, c->shape.image_id));
        must(fv_tokens_push(&out->prompt, c->shape.vision_end_id));
    }
    for (int i = 0, n = 1 + case_draw(number, 0, 1, CASE_TEXT); i < n; i++)
        must(fv_tokens_push(&out->prompt, text_id(c, number, 0, 3 + i)));
    for (int i = 0; i < n_samples; i++) {
        size_t room = 2 * CASE_TURN + TOOL + (out->has_image ? (size_t)image_tokens(c, high) : 0);
        out->responses[i].logprobs = calloc(room, sizeof(float));
        out->responses[i].loss_mask = calloc(room, 1);
    }
}

void case_push(fv_response *to, int32_t id, int is_generated, float logprob)
{
    to->logprobs[to->ids.n] = logprob;
    to->loss_mask[to->ids.n] = (uint8_t)is_generated;
    must(fv_tokens_push(&to->ids, id));
}

void case_show(const gpu_case *c, const fv_group *group, fv_response *to)
{
    int number = (int)group->row, sample = 1 + to->sample;
    for (int i = 0; i < 3; i++)
        case_push(to, text_id(c, number, sample, i), 0, 0);
    case_push(to, c->shape.vision_start_id, 0, 0);
    for (int i = 0; i < image_tokens(c, high); i++)
        case_push(to, c->shape.image_id, 0, 0);
    case_push(to, c->shape.vision_end_id, 0, 0);
    for (int i = 3; i < 6; i++)
        case_push(to, text_id(c, number, sample, i), 0, 0);
    to->n_shown = 1;
}

fv_err case_view(void *context, const fv_group *group, int is_high, fv_picture **view)
{
    const gpu_case *c = context;
    *view = fv_picture_hold(c->pictures[group->row % CASE_PICTURES][is_high]);
    return FV_OK;
}
