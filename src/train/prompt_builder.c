#include "fovea/train/prompt_builder.h"

#include <string.h>

static fv_err sizes_of(const fv_prompt_builder *builder, fv_view_size image, fv_view_size target,
                       int is_high_first, fv_view_sizes *out)
{
    FV_TRY(fv_view_sizes_of(&builder->views, image, target, out));
    if (is_high_first)
        out->low = out->high;
    return FV_OK;
}

static fv_err sizes_of_row(const fv_prompt_builder *builder, const fv_row *row, int is_high_first,
                           fv_view_sizes *out)
{
    const fv_view_size image = {row->images[0].width, row->images[0].height};
    return sizes_of(builder, image, row->target, is_high_first, out);
}

static fv_err grids_of(const fv_prompt_builder *builder, const fv_row *row, fv_group *group)
{
    fv_view_sizes sizes;
    FV_CHECK(row->n_images == 1, FV_ERR_UNSUPPORTED, "%zu images; a prompt shows one", row->n_images);
    FV_TRY(sizes_of_row(builder, row, group->is_high_first, &sizes));
    FV_TRY(fv_processor_grid(builder->processor, sizes.low.width, sizes.low.height, &group->low));
    group->has_image = 1;
    return fv_processor_grid(builder->processor, sizes.high.width, sizes.high.height, &group->high);
}

fv_err fv_prompt_builder_prompt(const fv_prompt_builder *builder, const fv_row *row, fv_group *group)
{
    int64_t n_image_tokens = 0;
    group->is_high_first = builder->first == FV_FIRST_HIGH;
    if (row->n_images) {
        FV_TRY(grids_of(builder, row, group));
        n_image_tokens = fv_grid_tokens(group->low, builder->processor->merge);
    }
    fv_text_part question = {row->question, strlen(row->question), FV_TOKENIZE_PLAIN};
    return fv_prompts_start(builder->prompts, builder->chat, question, n_image_tokens, &group->prompt);
}

fv_err fv_prompt_builder_group(const fv_prompt_builder *builder, int64_t prompt_index, uint64_t row,
                               int n_samples, fv_group *group, fv_row *read)
{
    *group = (fv_group){0};
    FV_TRY(fv_dataset_read_texts(builder->dataset, row, read));
    fv_err err = fv_group_init(group, prompt_index, (int64_t)row, n_samples);
    if (err == FV_OK)
        err = fv_prompt_builder_prompt(builder, read, group);
    if (err == FV_OK)
        return FV_OK;
    fv_group_fini(group);
    fv_row_fini(read);
    return fv_error_prefix(err, "row %llu", (unsigned long long)row);
}

fv_err fv_prompt_builder_look(const fv_prompt_builder *builder, const fv_row *row, const fv_group *group,
                              int is_high, fv_picture **view)
{
    fv_view_sizes sizes;
    const fv_buffer *bytes = &row->images[0].file;
    const fv_image_file file = {.data = bytes->data,
                                .size = bytes->size,
                                .name = "its image",
                                .max_pixels = FV_IMAGE_MAX_PIXELS,
                                .alpha = builder->views.transparency};
    FV_TRY(sizes_of_row(builder, row, group->is_high_first, &sizes));
    return fv_view_read(builder->processor, &file, is_high ? sizes.high : sizes.low, builder->views.filter,
                        view);
}

static fv_err key_of(const fv_prompt_builder *builder, const fv_group *group, int is_high, fv_view_key *key)
{
    fv_view_size image, target;
    fv_view_sizes sizes;
    uint64_t row = (uint64_t)group->row;
    fv_dataset_sizes(builder->dataset, row, &image, &target);
    fv_err err = sizes_of(builder, image, target, group->is_high_first, &sizes);
    *key = (fv_view_key){builder->dataset, row, is_high ? sizes.high : sizes.low};
    return err == FV_OK ? FV_OK : fv_error_prefix(err, "row %lld", (long long)group->row);
}

fv_err fv_prompt_builder_view(void *context, const fv_group *group, int is_high, fv_picture **view)
{
    const fv_prompt_builder *builder = context;
    fv_view_key key;
    *view = NULL;
    FV_TRY(key_of(builder, group, is_high, &key));
    return fv_view_cache_get(builder->cache, &key, view);
}

static void announce(const fv_prompt_builder *builder, const fv_group *group, int is_high, int is_sure)
{
    fv_view_key key;
    if (group->has_image && key_of(builder, group, is_high, &key) == FV_OK)
        fv_view_cache_want(builder->cache, &key, is_sure);
}

void fv_prompt_builder_want(void *context, const fv_group *group, int is_high)
{
    announce(context, group, is_high, 1);
}

void fv_prompt_builder_expect(const fv_prompt_builder *builder, const fv_group *group)
{
    announce(builder, group, 1, 0);
}

void fv_prompt_builder_forget(const fv_prompt_builder *builder, const fv_group *group)
{
    fv_view_key key;
    for (int is_high = 0; is_high < 2 && group->has_image; is_high++)
        if (key_of(builder, group, is_high, &key) == FV_OK)
            fv_view_cache_forget(builder->cache, &key);
}

void fv_prompt_builder_forget_all(const fv_prompt_builder *builder)
{
    if (builder->cache)
        fv_view_cache_clear(builder->cache);
}
