/* The shape of a model: everything about it but its weights. Local.
 *
 * One struct covers Qwen2 and Qwen2.5 text, Qwen3 text and Qwen2.5-VL: families differ in flags, not in code
 * paths. Source of every field: the Hugging Face config.json of the family, whose key is named where it
 * differs. */
#ifndef FOVEA_MODEL_SHAPE_SHAPE_H
#define FOVEA_MODEL_SHAPE_SHAPE_H

#include "fovea/base/buffer.h"

#include <stdint.h>

enum { FV_MAX_EOS = 8, FV_MAX_LAYERS = 256, FV_MAX_VISION_DEPTH = 128 };

typedef enum fv_family { FV_FAMILY_QWEN2, FV_FAMILY_QWEN3, FV_FAMILY_QWEN2_5_VL } fv_family;

/* How the rates of rotary positions differ from theta^(-2i / D), pair i of a head. Source: the rope types of
 * transformers 5; YaRN (Peng et al., 2023), Llama 3.1. */
typedef enum fv_rope_kind {
    FV_ROPE_DEFAULT,
    FV_ROPE_LINEAR,
    FV_ROPE_DYNAMIC, /* the default up to max_positions, and no sequence is longer */
    FV_ROPE_YARN,
    FV_ROPE_LLAMA3
} fv_rope_kind;

typedef struct fv_rope_scaling {
    fv_rope_kind kind; /* rope_type; what follows is 0 for the default */
    int truncates;     /* YaRN: the ends of the ramp are whole pairs (truncate) */
    double factor;     /* rates are divided by it: all, or only slow ones */
    double original;   /* YaRN, Llama 3: original_max_position_embeddings */
    double attention;  /* YaRN: cos and sin are multiplied by it (attention_factor, mscale, mscale_all_dim) */
    double fast, slow; /* turns over the original positions: those of fast pairs (beta_fast, high_freq_factor)
                          stay, those of slow ones (beta_slow, low_freq_factor) are divided */
} fv_rope_scaling;

/* The text decoder. */
typedef struct fv_text_shape {
    int n_layers;       /* num_hidden_layers */
    int hidden;         /* C, hidden_size */
    int n_heads;        /* H, num_attention_heads */
    int n_kv_heads;     /* K, num_key_value_heads; divides H */
    int head_dim;       /* D; hidden / H unless given */
    int intermediate;   /* F, intermediate_size */
    int vocab;          /* V, vocab_size */
    int max_positions;  /* max_position_embeddings */
    int sliding_window; /* keys a query may look back, itself included; 0 = all (use_sliding_window false) */
    int mrope_section[3]; /* pairs of a head turned by time, height, width; sums to D / 2; {D/2,0,0} without
                             M-RoPE */
    int has_qkv_bias;     /* Qwen2, Qwen2.5 */
    int has_qk_norm;      /* Qwen3: RMS norm over D of every query and key head */
    int tied;             /* tie_word_embeddings: the head is the embedding */
    float rope_theta;
    float norm_eps; /* rms_norm_eps */
    fv_rope_scaling rope;
} fv_text_shape;

/* The vision tower; depth == 0 when the model has none. */
typedef struct fv_vision_shape {
    int depth;
    int hidden;
    int n_heads;
    int intermediate;
    int out_hidden;     /* = text hidden */
    int in_channels;    /* 3 */
    int patch;          /* pixels of an edge, patch_size */
    int temporal_patch; /* frames of a patch, temporal_patch_size */
    int merge;          /* spatial_merge_size: merge x merge patches become one token */
    int window;         /* pixels of an edge, window_size */
    int tokens_per_second;
    uint8_t full_attention[FV_MAX_VISION_DEPTH]; /* 1 for blocks in fullatt_block_indexes */
} fv_vision_shape;

typedef struct fv_model_shape {
    fv_family family;
    fv_text_shape text;
    fv_vision_shape vision;
    int32_t eos_ids[FV_MAX_EOS]; /* generation_config.json, else config.json */
    int n_eos;
    int32_t pad_id, bos_id;                                     /* -1 if none */
    int32_t image_id, video_id, vision_start_id, vision_end_id; /* -1 without vision */
} fv_model_shape;

/* Generation defaults of generation_config.json; absent keys keep the library's defaults given here. */
typedef struct fv_generation_defaults {
    int do_sample;            /* 0 */
    float temperature;        /* 1 */
    int top_k;                /* 50; 0 = off */
    float top_p;              /* 1 */
    float repetition_penalty; /* 1 */
    int max_new_tokens;       /* 0: not said */
    char passed_over[256];    /* keys that would change answers but are not supported, ", " between them */
} fv_generation_defaults;

/* The library's defaults. */
extern const fv_generation_defaults fv_generation_usual;

/* Warn of the keys that are passed over, if there are any. Local: only the first rank writes. */
void fv_generation_warn(const fv_generation_defaults *defaults, const char *folder);

/* Read folder/config.json, flat (transformers 4) or nested (transformers 5), and
 * folder/generation_config.json if it is there; defaults may be NULL. FV_ERR_FORMAT or FV_ERR_UNSUPPORTED
 * names file, key, what was found and what is supported. */
fv_err fv_model_shape_load(const char *folder, fv_model_shape *out, fv_generation_defaults *defaults);

/* The same from a YAML file of configs/model/, whose keys are the field names above (but the flags that
 * follow from the family); full_attention lists the blocks. */
fv_err fv_model_shape_load_yaml(const char *path, fv_model_shape *out);

/* Refuse shapes that cannot exist: non-positive sizes, H not divisible by K, odd D, sections that do not sum
 * to D / 2, ids outside the vocabulary, sizes whose product overflows. Called by both loaders. */
fv_err fv_model_shape_check(const fv_model_shape *shape);

/* What differs in the sizes of two shapes, appended as "text.hidden is 128, expected 64", with ", " between:
 * nothing if weights of the one fit the other. */
fv_err fv_model_shape_compare(const fv_model_shape *shape, const fv_model_shape *expected, fv_buffer *out);

#endif
