#include "jobs/bench/texts/texts.h"

#include <string.h>

static void exclude(fv_bench_texts *t, int32_t id)
{
    if (id < 0)
        return;
    t->excluded[t->n_excluded++] = id;
    if (id < t->first_special)
        t->first_special = id;
}

/* Random bytes: none of the vision tower's work depends on them. */
static fv_err make_picture(fv_grid grid, const fv_vision_shape *vision, fv_picture **out)
{
    fv_processor usual;
    fv_image image;
    fv_processor_init(&usual);
    fv_pixel_scale scale = fv_processor_scale(&usual);
    FV_TRY(fv_image_init(&image, "an image", (int64_t)grid.w * vision->patch, (int64_t)grid.h * vision->patch,
                         FV_IMAGE_MAX_PIXELS));
    for (int64_t i = 0; i < 3LL * image.width * image.height; i += 4) {
        uint32_t words[4];
        fv_rng_words((fv_rng_key){.seed = 1}, (uint32_t)i, words);
        int64_t left = 3LL * image.width * image.height - i;
        memcpy(image.rgb + i, words, left < 4 ? (size_t)left : 4);
    }
    return fv_picture_create(&image, vision->patch, &scale, out);
}

static fv_err make_images(fv_bench_texts *t, int pixels)
{
    const fv_vision_shape *vision = &t->shape->vision;
    FV_CHECK(vision->depth > 0, FV_ERR_ARGUMENT, "the model has no vision tower: take one that has");
    int unit = vision->patch * vision->merge, edge = pixels / unit * vision->merge;
    FV_CHECK(edge > 0, FV_ERR_ARGUMENT, "--image is %d pixels, expected at least %d, those of a token",
             pixels, unit);
    t->low = (fv_grid){1, edge, edge};
    t->high = (fv_grid){1, 2 * edge, 2 * edge};
    FV_TRY(make_picture(t->low, vision, &t->pictures[0]));
    return make_picture(t->high, vision, &t->pictures[1]);
}

fv_err fv_bench_texts_init(fv_bench_texts *t, const fv_bench *bench, int image)
{
    const fv_model_shape *shape = fv_model_shape_of(bench->runtime.model);
    *t = (fv_bench_texts){.shape = shape,
                          .chat = {.im_start = -1, .im_end = -1, .image_pad = shape->image_id},
                          .first_special = shape->text.vocab};
    for (int i = 0; i < shape->n_eos; i++)
        exclude(t, shape->eos_ids[i]);
    if (shape->vision.depth > 0) {
        exclude(t, shape->image_id);
        exclude(t, shape->video_id);
        exclude(t, shape->vision_start_id);
        exclude(t, shape->vision_end_id);
    }
    FV_CHECK(t->first_special > 0, FV_ERR_UNSUPPORTED, "the model's special tokens begin at 0");
    return image ? make_images(t, image) : FV_OK;
}

void fv_bench_texts_fini(fv_bench_texts *t)
{
    for (int i = 0; i < 2; i++)
        fv_picture_release(t->pictures[i]);
    *t = (fv_bench_texts){0};
}

fv_err fv_bench_texts_add(const fv_bench_texts *t, uint64_t number, int64_t n, fv_tokens *out)
{
    for (int64_t i = 0; i < n; i++) {
        uint32_t words[4];
        fv_rng_words((fv_rng_key){.seed = 2, .prompt = number}, (uint32_t)i, words);
        FV_TRY(fv_tokens_push(out, (int32_t)(words[0] % (uint32_t)t->first_special)));
    }
    return FV_OK;
}

static fv_err add_image(const fv_bench_texts *t, fv_tokens *out)
{
    int64_t n = fv_grid_tokens(t->low, t->shape->vision.merge);
    FV_TRY(fv_tokens_push(out, t->shape->vision_start_id));
    for (int64_t i = 0; i < n; i++)
        FV_TRY(fv_tokens_push(out, t->shape->image_id));
    return fv_tokens_push(out, t->shape->vision_end_id);
}

fv_err fv_bench_texts_group(const fv_bench_texts *t, int64_t number, int64_t n, int n_samples, fv_group *out)
{
    int64_t of_image = fv_grid_tokens(t->low, t->shape->vision.merge) + 2;
    FV_CHECK(n > of_image, FV_ERR_ARGUMENT,
             "a prompt of %lld tokens has no room for an image of %lld and text: raise --prompt, or lower "
             "--image",
             (long long)n, (long long)of_image);
    FV_TRY(fv_group_init(out, number, number, n_samples));
    out->has_image = 1;
    out->low = t->low;
    out->high = t->high;
    FV_TRY(add_image(t, &out->prompt));
    return fv_bench_texts_add(t, (uint64_t)number, n - of_image, &out->prompt);
}

fv_dialogue fv_bench_texts_dialogue(const fv_bench_texts *t, int64_t prompt, int generated)
{
    return (fv_dialogue){.chat = &t->chat,
                         .merge = t->shape->vision.merge,
                         .max_turns = 1,
                         .max_images = 1,
                         .max_turn_tokens = generated,
                         .max_tokens = prompt + generated};
}

fv_err fv_bench_texts_view(void *context, const fv_group *group, int is_high, fv_picture **view)
{
    const fv_bench_texts *t = context;
    (void)group;
    *view = fv_picture_hold(t->pictures[is_high]);
    return FV_OK;
}
