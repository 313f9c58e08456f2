#include "jobs/bench/shapes.h"

#include "fovea/base/file.h"

#include <string.h>

/* What the models of Qwen2.5-VL share; configs/model has the same as files. */
static fv_model_shape qwen(fv_text_shape text)
{
    fv_model_shape shape = {.family = FV_FAMILY_QWEN2_5_VL,
                            .text = text,
                            .vision = {.depth = 32,
                                       .hidden = 1280,
                                       .n_heads = 16,
                                       .intermediate = 3420,
                                       .out_hidden = text.hidden,
                                       .in_channels = 3,
                                       .patch = 14,
                                       .temporal_patch = 2,
                                       .merge = 2,
                                       .window = 112,
                                       .tokens_per_second = 2},
                            .eos_ids = {151645, 151643},
                            .n_eos = 2,
                            .pad_id = 151643,
                            .bos_id = 151643,
                            .image_id = 151655,
                            .video_id = 151656,
                            .vision_start_id = 151652,
                            .vision_end_id = 151653};
    shape.text.head_dim = text.hidden / text.n_heads;
    shape.text.max_positions = 128000;
    shape.text.mrope_section[0] = 16;
    shape.text.mrope_section[1] = shape.text.mrope_section[2] = 24;
    shape.text.has_qkv_bias = 1;
    shape.text.rope_theta = 1e6f;
    shape.text.norm_eps = 1e-6f;
    for (int i = 7; i < 32; i += 8)
        shape.vision.full_attention[i] = 1;
    return shape;
}

/* Ten million numbers, with the sizes of heads that the vision tower of the others has. */
static fv_model_shape tiny(void)
{
    fv_model_shape shape = qwen((fv_text_shape){.n_layers = 4,
                                                .hidden = 256,
                                                .n_heads = 2,
                                                .n_kv_heads = 1,
                                                .intermediate = 704,
                                                .vocab = 4096,
                                                .tied = 1});
    shape.vision.depth = 4;
    shape.vision.hidden = 160;
    shape.vision.n_heads = 2;
    shape.vision.intermediate = 432;
    memset(shape.vision.full_attention, 0, sizeof shape.vision.full_attention);
    shape.vision.full_attention[3] = 1;
    shape.eos_ids[0] = 4090;
    shape.eos_ids[1] = shape.pad_id = shape.bos_id = 4091;
    shape.image_id = 4092;
    shape.video_id = 4093;
    shape.vision_start_id = 4094;
    shape.vision_end_id = 4095;
    return shape;
}

fv_err fv_bench_shape_find(const char *name, fv_model_shape *out)
{
    if (strcmp(name, "3b") == 0)
        *out = qwen((fv_text_shape){.n_layers = 36,
                                    .hidden = 2048,
                                    .n_heads = 16,
                                    .n_kv_heads = 2,
                                    .intermediate = 11008,
                                    .vocab = 151936,
                                    .tied = 1});
    else if (strcmp(name, "7b") == 0)
        *out = qwen((fv_text_shape){.n_layers = 28,
                                    .hidden = 3584,
                                    .n_heads = 28,
                                    .n_kv_heads = 4,
                                    .intermediate = 18944,
                                    .vocab = 152064});
    else if (strcmp(name, "tiny") == 0)
        *out = tiny();
    else {
        FV_CHECK(fv_file_exists(name), FV_ERR_ARGUMENT,
                 "--shape is \"%s\", expected 3b, 7b, tiny, or a file such as configs/model/tiny-vl.yaml",
                 name);
        return fv_model_shape_load_yaml(name, out);
    }
    return fv_model_shape_check(out);
}
