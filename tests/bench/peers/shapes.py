"""The models of fovea bench as configurations of transformers, and as random weights in memory."""
import torch
import transformers

import rows

IDS = dict(image_token_id=151655, video_token_id=151656, vision_start_token_id=151652, vision_end_token_id=151653)
TINY_IDS = dict(image_token_id=4092, video_token_id=4093, vision_start_token_id=4094, vision_end_token_id=4095)
TOWER = dict(depth=32, hidden_size=1280, num_heads=16, intermediate_size=3420, fullatt_block_indexes=[7, 15, 23, 31])
TINY_TOWER = dict(depth=4, hidden_size=160, num_heads=2, intermediate_size=432, fullatt_block_indexes=[3])


def config_of(shape):
    is_tiny, text = shape == "tiny", dict(rows.TEXTS[shape])
    ends = 4091 if is_tiny else 151643
    text.update(max_position_embeddings=128000, rms_norm_eps=1e-6, tie_word_embeddings=shape != "7b", bos_token_id=ends,
                eos_token_id=ends, pad_token_id=ends,
                rope_parameters=dict(rope_type="default", rope_theta=1e6, mrope_section=[16, 24, 24]))
    tower = dict(TINY_TOWER if is_tiny else TOWER)
    tower.update(out_hidden_size=text["hidden_size"], in_channels=3, patch_size=14, temporal_patch_size=2,
                 spatial_merge_size=2, window_size=112, tokens_per_second=2)
    return transformers.Qwen2_5_VLConfig(text_config=text, vision_config=tower, tie_word_embeddings=shape != "7b",
                                         **(TINY_IDS if is_tiny else IDS))


def model_of(shape, device):
    with torch.device(device):
        return transformers.AutoModelForImageTextToText.from_config(config_of(shape), dtype=torch.bfloat16,
                                                                    attn_implementation="sdpa").eval()
