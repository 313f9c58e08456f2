#include "temp_folder.h"

#include "fovea/model/nn/positions.h"
#include "fovea/model/shape/shape.h"

#include <math.h>

/* The published configuration of Qwen2.5-VL-3B, flat as transformers 4 wrote it. */
#define VISION_3B                                                                                       \
    "\"vision_config\": {\"depth\": 32, \"hidden_act\": \"silu\", \"hidden_size\": 1280, "              \
    "\"intermediate_size\": 3420, \"num_heads\": 16, \"in_chans\": 3, \"out_hidden_size\": 2048, "      \
    "\"patch_size\": 14, \"spatial_merge_size\": 2, \"spatial_patch_size\": 14, \"window_size\": 112, " \
    "\"fullatt_block_indexes\": [7, 15, 23, 31], \"tokens_per_second\": 2, \"temporal_patch_size\": 2}"
#define TEXT_3B                                                                                     \
    "\"hidden_act\": \"silu\", \"hidden_size\": 2048, \"intermediate_size\": 11008, "               \
    "\"max_position_embeddings\": 128000, \"max_window_layers\": 70, \"num_attention_heads\": 16, " \
    "\"num_hidden_layers\": 36, \"num_key_value_heads\": 2, \"rms_norm_eps\": 1e-06, "              \
    "\"sliding_window\": 32768, \"use_sliding_window\": false, \"vocab_size\": 151936, "            \
    "\"bos_token_id\": 151643, \"eos_token_id\": 151645"
#define IDS_3B                                                                                         \
    "\"vision_start_token_id\": 151652, \"vision_end_token_id\": 151653, \"image_token_id\": 151655, " \
    "\"video_token_id\": 151656"
static const char flat_3b[] = "{\"model_type\": \"qwen2_5_vl\", " TEXT_3B ", " IDS_3B
                              ", \"rope_theta\": 1000000.0, \"tie_word_embeddings\": true, " VISION_3B
                              ", \"rope_scaling\": {\"type\": \"mrope\", \"mrope_section\": [16, 24, 24]}}";
static const char nested_3b[] =
    "{\"model_type\": \"qwen2_5_vl\", \"text_config\": {\"model_type\": \"qwen2_5_vl_text\", " TEXT_3B
    ", \"rope_parameters\": {\"rope_theta\": 1000000.0, \"rope_type\": \"default\", \"type\": \"mrope\", "
    "\"mrope_section\": [16, 24, 24]}, \"tie_word_embeddings\": true}, " IDS_3B ", " VISION_3B "}";

static fv_err load(const char *config, fv_model_shape *out)
{
    temp_folder("model");
    temp_write("model/config.json", config);
    return fv_model_shape_load(temp_path("model"), out, NULL);
}

static void test_flat_nested_and_yaml_forms_agree(void **state)
{
    (void)state;
    fv_model_shape flat, nested, yaml;
    char path[4096];
    assert_ok(load(flat_3b, &flat));
    assert_ok(load(nested_3b, &nested));
    assert_memory_equal(&flat, &nested, sizeof flat);
    snprintf(path, sizeof path, "%s/../../configs/model/qwen2.5-vl-3b.yaml", getenv("TEST_DATA"));
    assert_ok(fv_model_shape_load_yaml(path, &yaml));
    assert_memory_equal(&flat.text, &yaml.text, sizeof flat.text);
    assert_memory_equal(&flat.vision, &yaml.vision, sizeof flat.vision);
    assert_int_equal(flat.image_id, yaml.image_id);
}

static void test_fields_of_the_3b_model(void **state)
{
    (void)state;
    fv_model_shape shape;
    assert_ok(load(flat_3b, &shape));
    assert_int_equal(shape.family, FV_FAMILY_QWEN2_5_VL);
    assert_int_equal(shape.text.n_layers, 36);
    assert_int_equal(shape.text.head_dim, 128);
    assert_int_equal(shape.text.n_kv_heads, 2);
    assert_int_equal(shape.text.tied, 1);
    assert_int_equal(shape.text.has_qkv_bias, 1);
    assert_int_equal(shape.text.has_qk_norm, 0);
    assert_int_equal(shape.text.sliding_window, 0);
    assert_int_equal(shape.text.mrope_section[1], 24);
    assert_true(shape.text.rope_theta == 1e6f && shape.text.norm_eps == 1e-6f);
    assert_int_equal(shape.vision.tokens_per_second, 2);
    assert_int_equal(shape.vision.full_attention[15], 1);
    assert_int_equal(shape.vision.full_attention[16], 0);
    assert_int_equal(shape.video_id, 151656);
    assert_int_equal(shape.pad_id, -1);
}

static void test_generation_config_wins(void **state)
{
    (void)state;
    fv_model_shape shape;
    fv_generation_defaults defaults;
    temp_folder("generation");
    temp_write("generation/config.json", flat_3b);
    temp_write("generation/generation_config.json",
               "{\"eos_token_id\": [151645, 151643], \"pad_token_id\": 151643, \"do_sample\": true, "
               "\"temperature\": 0.5, \"top_p\": 0.9, \"top_k\": 20, \"repetition_penalty\": 1.05}");
    assert_ok(fv_model_shape_load(temp_path("generation"), &shape, &defaults));
    assert_int_equal(shape.n_eos, 2);
    assert_int_equal(shape.eos_ids[1], 151643);
    assert_int_equal(shape.pad_id, 151643);
    assert_int_equal(defaults.do_sample, 1);
    assert_int_equal(defaults.top_k, 20);
    assert_true(defaults.temperature == 0.5f && defaults.repetition_penalty == 1.05f);
    assert_string_equal(defaults.passed_over, "");
    temp_write(
        "generation/generation_config.json",
        "{\"do_sample\": true, \"top_k\": null, \"max_new_tokens\": 2048, \"num_beams\": 4, \"min_p\": 0, "
        "\"no_repeat_ngram_size\": 3, \"suppress_tokens\": [], \"stop_strings\": \"end\", "
        "\"forced_eos_token_id\": null, \"typical_p\": 1.0}");
    assert_ok(fv_model_shape_load(temp_path("generation"), &shape, &defaults));
    assert_int_equal(defaults.top_k, 50);
    assert_int_equal(defaults.max_new_tokens, 2048);
    assert_string_equal(defaults.passed_over, "num_beams, no_repeat_ngram_size, stop_strings");
    temp_write("generation/generation_config.json", "{\"top_p\": 2}");
    assert_fails(fv_model_shape_load(temp_path("generation"), &shape, NULL), FV_ERR_FORMAT, "top_p 2");
}

static void test_all_shapes_of_configs_load(void **state)
{
    (void)state;
    static const char *const names[] = {"qwen2.5-vl-3b", "qwen2.5-vl-7b", "qwen2.5-1.5b", "qwen3-1.7b",
                                        "tiny-vl",       "tiny-qwen2",    "tiny-qwen3"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[4096];
        fv_model_shape shape;
        snprintf(path, sizeof path, "%s/../../configs/model/%s.yaml", getenv("TEST_DATA"), names[i]);
        assert_ok(fv_model_shape_load_yaml(path, &shape));
    }
}

/* A small text model with one thing replaced. */
static fv_err load_text(const char *extra, fv_model_shape *out)
{
    char config[1024];
    snprintf(config, sizeof config,
             "{\"model_type\": \"qwen2\", \"hidden_size\": 64, \"num_hidden_layers\": 2, "
             "\"intermediate_size\": 160, \"vocab_size\": 512%s}",
             extra);
    return load(config, out);
}

static void test_sliding_windows(void **state)
{
    (void)state;
    fv_model_shape shape;
    assert_ok(load_text(", \"num_attention_heads\": 4, \"use_sliding_window\": true, \"sliding_window\": 16, "
                        "\"max_window_layers\": 0",
                        &shape));
    assert_int_equal(shape.text.sliding_window, 16);
    assert_ok(load_text(", \"num_attention_heads\": 4, \"use_sliding_window\": true, \"sliding_window\": 16",
                        &shape));
    assert_int_equal(shape.text.sliding_window, 0);
    assert_ok(load_text(", \"num_attention_heads\": 4, \"use_sliding_window\": true, \"sliding_window\": 16, "
                        "\"layer_types\": [\"sliding_attention\", \"sliding_attention\"]",
                        &shape));
    assert_int_equal(shape.text.sliding_window, 16);
    assert_fails(
        load_text(", \"num_attention_heads\": 4, \"use_sliding_window\": true, \"max_window_layers\": 1",
                  &shape),
        FV_ERR_UNSUPPORTED, "1 of 2 layers have a sliding window");
    assert_fails(load_text(", \"num_attention_heads\": 4, \"layer_types\": [\"full_attention\"]", &shape),
                 FV_ERR_FORMAT, "\"layer_types\" has 1 items");
}

#define HEADS ", \"num_attention_heads\": 4, "

static void test_more_of_sliding_windows(void **state)
{
    (void)state;
    fv_model_shape shape;
    assert_ok(load_text(HEADS "\"use_sliding_window\": true, \"sliding_window\": null, "
                              "\"max_window_layers\": 0",
                        &shape));
    assert_int_equal(shape.text.sliding_window, 0);
}

/* Qwen2.5-VL's first 80 layers have no window unless the file says otherwise, the others' first 28. */
static void test_usual_number_of_layers_without_window(void **state)
{
    (void)state;
    static const char vision[] =
        "{\"model_type\": \"qwen2_5_vl\", \"hidden_size\": 2048, \"intermediate_size\": 11008, "
        "\"num_attention_heads\": 16, \"num_hidden_layers\": 36, \"vocab_size\": 151936, "
        "\"use_sliding_window\": true, \"sliding_window\": 16, \"rope_scaling\": {\"type\": "
        "\"mrope\"}, " VISION_3B "}";
    fv_model_shape shape;
    assert_ok(load(vision, &shape));
    assert_int_equal(shape.text.sliding_window, 0);
    assert_fails(load_text(HEADS "\"use_sliding_window\": true, \"sliding_window\": 0, "
                                 "\"max_window_layers\": 0",
                           &shape),
                 FV_ERR_FORMAT, "\"sliding_window\" is 0");
}

static void test_qwen3_without_head_dim(void **state)
{
    (void)state;
    fv_model_shape shape;
    assert_ok(load("{\"model_type\": \"qwen3\", \"hidden_size\": 64, \"num_hidden_layers\": 2, "
                   "\"intermediate_size\": 160, \"vocab_size\": 512, \"num_attention_heads\": 4}",
                   &shape));
    assert_int_equal(shape.text.head_dim, 128);
}

/* cos of pair i at position 1 is cos(rate) * attention: (D / 2) rates of transformers 5.24, D = 16. */
static void check_rates(const char *extra, const double rates[8], double attention)
{
    fv_model_shape shape;
    double found[8], scale;
    assert_ok(load_text(extra, &shape));
    fv_rope_rates(&shape.text, found);
    scale = fv_rope_scale(&shape.text);
    for (int i = 0; i < 8; i++) {
        assert_true(fabs(cos(found[i]) * scale - cos(rates[i]) * attention) < 1e-6);
        assert_true(fabs(sin(found[i]) * scale - sin(rates[i]) * attention) < 1e-6);
    }
}

static void test_rates_are_those_of_the_reference(void **state)
{
    (void)state;
    check_rates(HEADS "\"rope_scaling\": {\"type\": \"linear\", \"factor\": 2.5}",
                (double[]){0.40000001, 0.1264911, 0.039999999, 0.012649111, 0.0039999997, 0.0012649111,
                           0.00040000002, 0.00012649111},
                1);
    check_rates(HEADS "\"rope_scaling\": {\"type\": \"dynamic\", \"factor\": 2.0}",
                (double[]){1, 0.31622776, 0.1, 0.031622779, 0.0099999998, 0.0031622779, 0.001, 0.00031622779},
                1);
    check_rates(HEADS "\"rope_theta\": 1e6, \"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4.0, "
                      "\"original_max_position_embeddings\": 512}",
                (double[]){1, 0.13337095, 0.015811389, 0.0014058533, 0.00025000001, 4.4456985e-05,
                           7.9056936e-06, 1.4058534e-06},
                1.13862944);
    check_rates(
        HEADS "\"rope_scaling\": {\"type\": \"yarn\", \"factor\": null, "
              "\"original_max_position_embeddings\": 4096}",
        (double[]){1, 0.31622776, 0.1, 0.024705295, 0.0056249998, 0.001087033, 0.00012500001, 3.9528473e-05},
        1.20794415);
    check_rates(HEADS "\"rope_parameters\": {\"rope_type\": \"yarn\", \"rope_theta\": 10000.0, \"factor\": "
                      "4.0, \"original_max_position_embeddings\": 512, \"beta_fast\": 16, \"beta_slow\": 2, "
                      "\"truncate\": false}",
                (double[]){1, 0.31622776, 0.075664401, 0.010796109, 0.0024999999, 0.00079056947,
                           0.00025000001, 7.9056947e-05},
                1.13862944);
    check_rates(
        HEADS
        "\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4.0, \"mscale\": 1.0, \"mscale_all_dim\": 0.707}",
        (double[]){1, 0.31622776, 0.1, 0.031622779, 0.0099999998, 0.0025693509, 0.00062500004, 0.00013834966},
        1.03699273);
    check_rates(HEADS "\"original_max_position_embeddings\": 256, \"rope_scaling\": {\"type\": \"yarn\", "
                      "\"factor\": 4.0, \"mscale\": 0.5, \"attention_factor\": 1.3}",
                (double[]){1, 0.25693506, 0.0625, 0.013834965, 0.0024999999, 0.00079056947, 0.00025000001,
                           7.9056947e-05},
                1.3);
    check_rates(HEADS "\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8.0, \"low_freq_factor\": "
                      "1.0, \"high_freq_factor\": 4.0, \"original_max_position_embeddings\": 1024}",
                (double[]){1, 0.31622776, 0.1, 0.031622779, 0.0030867606, 0.00039528473, 0.00012500001,
                           3.9528473e-05},
                1);
}

static void test_refusals_of_rotary_positions(void **state)
{
    (void)state;
    static const struct {
        const char *extra;
        fv_err code;
        const char *part;
    } cases[] = {
        {"\"rope_parameters\": {\"rope_type\": \"default\", \"rope_theta\": 1e6}, \"rope_scaling\": "
         "{\"type\": "
         "\"yarn\", \"factor\": 4.0}",
         FV_ERR_FORMAT, "\"rope_theta\" is 10000 by \"rope_scaling\", which states none, but 1e+06 by"},
        {"\"rope_theta\": 1e4, \"rope_parameters\": {\"rope_theta\": 1e6}", FV_ERR_FORMAT,
         "but 10000 by \"rope_theta\" beside it"},
        {"\"rope_scaling\": {\"type\": \"linear\", \"factor\": 2}, \"rope_parameters\": {\"rope_type\": "
         "\"yarn\", \"factor\": 2}",
         FV_ERR_FORMAT, "different rotary positions (linear, yarn)"},
        {"\"rope_scaling\": {\"type\": \"yarn\", \"rope_type\": \"default\"}", FV_ERR_FORMAT,
         "\"rope_type\" is \"default\" but \"type\" \"yarn\""},
        {"\"rope_scaling\": {\"type\": \"mrope\"}", FV_ERR_UNSUPPORTED, "type \"mrope\""},
        {"\"rope_scaling\": {\"type\": \"longrope\"}", FV_ERR_UNSUPPORTED, "type \"longrope\""},
        {"\"rope_scaling\": {\"type\": \"yarn\"}", FV_ERR_FORMAT,
         "\"factor\" of rotary positions is missing"},
        {"\"rope_scaling\": {\"type\": \"linear\", \"factor\": 0}", FV_ERR_FORMAT, "\"factor\" is 0"},
        {"\"rope_scaling\": {\"type\": \"linear\", \"factor\": 2, \"beta_fast\": 32}", FV_ERR_UNSUPPORTED,
         "\"beta_fast\" is not known for rotary positions of type linear"},
        {"\"rope_scaling\": {\"factor\": 2}", FV_ERR_UNSUPPORTED, "\"factor\" is not known"},
        {"\"rope_scaling\": {\"type\": \"llama3\", \"factor\": 2}", FV_ERR_FORMAT, "low_freq_factor"},
        {"\"rope_scaling\": \"yarn\"", FV_ERR_FORMAT, "\"rope_scaling\" is not an object"},
        {"\"rope_parameters\": {\"full_attention\": {\"rope_type\": \"default\"}}", FV_ERR_UNSUPPORTED,
         "differ between layers"},
        {"\"partial_rotary_factor\": 0.5", FV_ERR_UNSUPPORTED, "\"partial_rotary_factor\" is 0.5"},
        {"\"rope_theta\": 1, \"rope_scaling\": {\"type\": \"yarn\", \"factor\": 2}", FV_ERR_FORMAT,
         "expected more than 1"},
    };
    fv_model_shape shape;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char extra[512];
        snprintf(extra, sizeof extra, HEADS "%s", cases[i].extra);
        assert_fails(load_text(extra, &shape), cases[i].code, cases[i].part);
    }
}

/* What stands at the top beside "text_config", which alone counts, must not say something else. */
static void test_two_places_of_a_vision_model(void **state)
{
    (void)state;
    static const struct {
        const char *top, *part;
    } cases[] = {
        {"\"rope_theta\": 1e6, \"rope_scaling\": {\"type\": \"mrope\", \"mrope_section\": [16, 24, 24]}",
         NULL},
        {"\"rope_theta\": 5e5", "but 500000 by the top of the file"},
        {"\"rope_scaling\": {\"type\": \"mrope\", \"mrope_section\": [24, 24, 16]}", "but [24, 24, 16] by"},
        {"\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4, \"mrope_section\": [16, 24, 24]}",
         "different rotary positions (default, yarn)"},
    };
    fv_model_shape shape;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char config[4096];
        snprintf(config, sizeof config, "{%s, %s", cases[i].top, nested_3b + 1);
        if (cases[i].part)
            assert_fails(load(config, &shape), FV_ERR_FORMAT, cases[i].part);
        else
            assert_ok(load(config, &shape));
    }
}

static void test_refusals_name_file_and_key(void **state)
{
    (void)state;
    static const struct {
        const char *extra;
        fv_err code;
        const char *part;
    } cases[] = {
        {"", FV_ERR_FORMAT, "config.json: \"num_attention_heads\" is missing"},
        {", \"num_attention_heads\": \"four\"", FV_ERR_FORMAT, "\"num_attention_heads\" is a string"},
        {", \"num_attention_heads\": 0", FV_ERR_FORMAT, "\"num_attention_heads\" is 0, expected 1 to"},
        {", \"num_attention_heads\": 5", FV_ERR_FORMAT, "must be a multiple"},
        {", \"num_attention_heads\": 4, \"num_key_value_heads\": 3", FV_ERR_FORMAT,
         "expected a multiple of n_kv_heads"},
        {", \"num_attention_heads\": 4, \"head_dim\": 7", FV_ERR_FORMAT, "head_dim is 7, expected an even"},
        {", \"num_attention_heads\": 1048576, \"head_dim\": 1048576", FV_ERR_FORMAT, "are more than"},
        {", \"num_attention_heads\": 4, \"hidden_act\": \"gelu\"", FV_ERR_UNSUPPORTED, "\"gelu\""},
        {", \"num_attention_heads\": 4, \"eos_token_id\": 512", FV_ERR_FORMAT,
         "outside the vocabulary of 512"},
        {", \"num_attention_heads\": 4, \"eos_token_id\": [1,2,3,4,5,6,7,8,9]", FV_ERR_UNSUPPORTED,
         "lists 9 tokens"},
        {", \"num_attention_heads\": 4, \"rope_theta\": -1", FV_ERR_FORMAT, "rope_theta is -1"},
        {", \"num_attention_heads\": 4, \"quantization_config\": {}", FV_ERR_UNSUPPORTED, "quantised"},
        {", \"num_attention_heads\": 4, \"text_config\": 3", FV_ERR_FORMAT,
         "\"text_config\" is not an object"},
    };
    fv_model_shape shape;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_fails(load_text(cases[i].extra, &shape), cases[i].code, cases[i].part);
    assert_fails(load("{\"model_type\": \"llama\"}", &shape), FV_ERR_UNSUPPORTED, "type \"llama\"");
    assert_fails(load("[]", &shape), FV_ERR_FORMAT, "not a JSON object");
    assert_fails(load("{\"model_type\": 1", &shape), FV_ERR_FORMAT, "config.json:1");
    assert_fails(fv_model_shape_load("/nowhere", &shape, NULL), FV_ERR_IO, "/nowhere/config.json");
}

static void test_refusals_of_yaml(void **state)
{
    (void)state;
    fv_model_shape shape;
    temp_write("a.yaml", "family: qwen2\ntext:\n  n_layers: 1\n  n_head: 3\n");
    assert_fails(fv_model_shape_load_yaml(temp_path("a.yaml"), &shape), FV_ERR_FORMAT,
                 "a.yaml: text: line 4: unknown key \"n_head\"");
    temp_write("a.yaml", "family: qwen2\n");
    assert_fails(fv_model_shape_load_yaml(temp_path("a.yaml"), &shape), FV_ERR_FORMAT,
                 "text: a section is missing");
    temp_write("a.yaml",
               "family: qwen2_5_vl\ntext: {n_layers: 1, hidden: 8, n_heads: 2, intermediate: 8, vocab: 9, "
               "mrope_section: [1, 1, 0]}\n");
    assert_fails(fv_model_shape_load_yaml(temp_path("a.yaml"), &shape), FV_ERR_FORMAT, "with a vision tower");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flat_nested_and_yaml_forms_agree),
        cmocka_unit_test(test_fields_of_the_3b_model),
        cmocka_unit_test(test_generation_config_wins),
        cmocka_unit_test(test_all_shapes_of_configs_load),
        cmocka_unit_test(test_sliding_windows),
        cmocka_unit_test(test_more_of_sliding_windows),
        cmocka_unit_test(test_usual_number_of_layers_without_window),
        cmocka_unit_test(test_qwen3_without_head_dim),
        cmocka_unit_test(test_rates_are_those_of_the_reference),
        cmocka_unit_test(test_refusals_of_rotary_positions),
        cmocka_unit_test(test_two_places_of_a_vision_model),
        cmocka_unit_test(test_refusals_name_file_and_key),
        cmocka_unit_test(test_refusals_of_yaml),
    };
    return cmocka_run_group_tests(tests, temp_setup, temp_teardown);
}
