#include "tiny_folder.h"

const fv_generation_defaults tiny_generation = {.temperature = 1, .top_p = 1, .repetition_penalty = 1};

fv_model_shape tiny_shape(fv_family family, int tied)
{
    fv_model_shape shape = {.family = family,
                            .text = {.n_layers = 2,
                                     .hidden = 16,
                                     .n_heads = 4,
                                     .n_kv_heads = 2,
                                     .head_dim = 4,
                                     .intermediate = 20,
                                     .vocab = 33,
                                     .max_positions = 64,
                                     .mrope_section = {2, 0, 0},
                                     .has_qkv_bias = family != FV_FAMILY_QWEN3,
                                     .has_qk_norm = family == FV_FAMILY_QWEN3,
                                     .tied = tied,
                                     .rope_theta = 1e4f,
                                     .norm_eps = 1e-6f},
                            .eos_ids = {3, 5},
                            .n_eos = 2,
                            .pad_id = 4,
                            .bos_id = -1,
                            .image_id = -1,
                            .video_id = -1,
                            .vision_start_id = -1,
                            .vision_end_id = -1};
    if (family != FV_FAMILY_QWEN2_5_VL)
        return shape;
    shape.vision = (fv_vision_shape){.depth = 2,
                                     .hidden = 8,
                                     .n_heads = 2,
                                     .intermediate = 12,
                                     .out_hidden = 16,
                                     .in_channels = 3,
                                     .patch = 4,
                                     .temporal_patch = 2,
                                     .merge = 2,
                                     .window = 16,
                                     .tokens_per_second = 2,
                                     .full_attention = {0, 1}};
    shape.image_id = 6, shape.video_id = 7, shape.vision_start_id = 8, shape.vision_end_id = 9;
    shape.text.mrope_section[0] = 1, shape.text.mrope_section[1] = 1;
    return shape;
}

static fv_err tiny_rows(void *list, int param, int64_t first, int64_t n, float *out)
{
    fv_param_fill(&((fv_param_list *)list)->items[param], 1, first, n, out);
    return FV_OK;
}

fv_err tiny_write(const char *name, const fv_model_shape *shape, fv_folder_style style, int64_t shard_bytes)
{
    fv_param_list list;
    assert_ok(fv_param_list_init(&list, shape));
    fv_folder_write_args args = {.shape = shape,
                                 .generation = &tiny_generation,
                                 .style = style,
                                 .dtype = FV_F32,
                                 .max_shard_bytes = shard_bytes,
                                 .writes = 1,
                                 .rows = tiny_rows,
                                 .context = &list};
    fv_err err = fv_folder_write(temp_path(name), &args);
    fv_param_list_fini(&list);
    return err;
}
