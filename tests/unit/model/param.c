#include "test.h"

#include "fovea/model/nn/flops.h"
#include "fovea/model/weights.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Sizes on purpose not multiples of the numbers of ranks. */
static fv_model_shape make_shape(fv_family family)
{
    fv_model_shape shape = {.family = family,
                            .text = {.n_layers = 2,
                                     .hidden = 48,
                                     .n_heads = 6,
                                     .n_kv_heads = 2,
                                     .head_dim = 8,
                                     .intermediate = 50,
                                     .vocab = 101,
                                     .max_positions = 64,
                                     .mrope_section = {4, 0, 0},
                                     .has_qkv_bias = family != FV_FAMILY_QWEN3,
                                     .has_qk_norm = family == FV_FAMILY_QWEN3,
                                     .rope_theta = 1e4f,
                                     .norm_eps = 1e-6f},
                            .pad_id = -1,
                            .bos_id = -1};
    if (family == FV_FAMILY_QWEN2_5_VL)
        shape.vision = (fv_vision_shape){.depth = 2,
                                         .hidden = 24,
                                         .n_heads = 6,
                                         .intermediate = 31,
                                         .out_hidden = 48,
                                         .in_channels = 3,
                                         .patch = 14,
                                         .temporal_patch = 2,
                                         .merge = 2,
                                         .window = 112,
                                         .tokens_per_second = 2};
    return shape;
}

/* Count how often ranks hold each row or column. */
static void count_holders(const fv_param *param, int n_ranks, int *holders)
{
    for (int rank = 0; rank < n_ranks; rank++) {
        fv_param_part part = fv_param_part_of(param, rank, n_ranks);
        int64_t size = param->split_dim == 1 ? part.cols : part.rows;
        int64_t other = param->split_dim == 1 ? part.rows : part.cols;
        assert_int_equal(size, part.n * param->blocks);
        assert_int_equal(other, param->split_dim == 1 ? param->rows : param->cols);
        assert_int_equal(part.n % param->unit, param->split_dim < 0 ? part.n % param->unit : 0);
        for (int b = 0; b < param->blocks; b++)
            for (int64_t i = 0; i < part.n; i++)
                holders[part.first + b * part.stride + i]++;
    }
}

static void check_tiling(const fv_param *param, int n_ranks)
{
    int64_t size = param->split_dim == 1 ? param->cols : param->rows;
    int64_t n_units = size / param->blocks / param->unit;
    int *holders = calloc((size_t)size, sizeof *holders);
    assert_non_null(holders);
    count_holders(param, n_ranks, holders);
    int times = param->split_dim < 0 ? n_ranks : n_units < n_ranks ? n_ranks / (int)n_units : 1;
    for (int64_t i = 0; i < size; i++)
        assert_int_equal(holders[i], times);
    free(holders);
}

static void test_parts_of_all_ranks_tile_every_parameter(void **state)
{
    (void)state;
    const fv_family families[] = {FV_FAMILY_QWEN2, FV_FAMILY_QWEN3, FV_FAMILY_QWEN2_5_VL};
    for (int f = 0; f < 3; f++) {
        fv_model_shape shape = make_shape(families[f]);
        fv_param_list list;
        assert_ok(fv_param_list_init(&list, &shape));
        for (int i = 0; i < list.n; i++)
            for (int n_ranks = 1; n_ranks <= 4; n_ranks += n_ranks == 2 ? 2 : 1) /* 1, 2, 4 */
                check_tiling(&list.items[i], n_ranks);
        fv_param_list_fini(&list);
    }
}

static fv_param_part part_of(const fv_param_list *list, const char *name, int rank, int n_ranks)
{
    const fv_param *param = fv_param_find(list, name);
    assert_non_null(param);
    return fv_param_part_of(param, rank, n_ranks);
}

static void test_parts_known_by_hand(void **state)
{
    (void)state;
    fv_model_shape shape = make_shape(FV_FAMILY_QWEN2_5_VL);
    fv_param_list list;
    assert_ok(fv_param_list_init(&list, &shape));

    /* 101 rows over 4 ranks: 25, 25, 25, 26. */
    fv_param_part part = part_of(&list, "model.embed_tokens.weight", 3, 4);
    assert_int_equal(part.first, 75);
    assert_int_equal(part.rows, 26);
    assert_int_equal(part.cols, 48);

    /* Two key heads of 8 rows over four ranks: ranks 2 and 3 share the second. */
    part = part_of(&list, "model.layers.1.self_attn.k_proj.weight", 3, 4);
    assert_int_equal(part.first, 8);
    assert_int_equal(part.rows, 8);

    /* Six heads over four ranks: 1, 2, 1, 2, the same for the columns of the output. */
    part = part_of(&list, "model.layers.1.self_attn.q_proj.bias", 1, 4);
    assert_int_equal(part.first, 8);
    assert_int_equal(part.rows, 16);
    part = part_of(&list, "model.layers.1.self_attn.o_proj.weight", 1, 4);
    assert_int_equal(part.first, 8);
    assert_int_equal(part.cols, 16);
    assert_int_equal(part.rows, 48);

    /* Query, key and value, each of 6 heads of 4 rows, over three ranks: two heads of each. */
    part = part_of(&list, "visual.blocks.0.attn.qkv.weight", 1, 3);
    assert_int_equal(part.first, 8);
    assert_int_equal(part.n, 8);
    assert_int_equal(part.stride, 24);
    assert_int_equal(part.rows, 24);

    /* A bias is whole where its matrix is split by columns. */
    part = part_of(&list, "visual.blocks.0.mlp.down_proj.bias", 1, 2);
    assert_int_equal(part.rows, 24);
    fv_param_list_fini(&list);
}

static void test_list_follows_the_family(void **state)
{
    (void)state;
    fv_param_list list;
    fv_model_shape shape = make_shape(FV_FAMILY_QWEN3);
    assert_ok(fv_param_list_init(&list, &shape));
    const fv_param *norm = fv_param_find(&list, "model.layers.0.self_attn.q_norm.weight");
    assert_non_null(norm);
    assert_int_equal(norm->rows, 8);
    assert_int_equal(norm->sum_grad, 1);
    assert_null(fv_param_find(&list, "model.layers.0.self_attn.q_proj.bias"));
    assert_non_null(fv_param_find(&list, "lm_head.weight"));
    fv_param_list_fini(&list);
    shape = make_shape(FV_FAMILY_QWEN2_5_VL);
    shape.text.tied = 1;
    assert_ok(fv_param_list_init(&list, &shape));
    assert_null(fv_param_find(&list, "lm_head.weight"));
    const fv_param *patch = fv_param_find(&list, "visual.patch_embed.proj.weight");
    assert_non_null(patch);
    assert_int_equal(patch->n_dims, 5);
    assert_int_equal(patch->cols, 3 * 2 * 14 * 14);
    fv_param_list_fini(&list);
}

/* Numbers in the matrices of parameters whose name begins so. */
static double matrices(const fv_param_list *list, const char *begin)
{
    double n = 0;
    for (int i = 0; i < list->n; i++)
        if (strncmp(list->items[i].name, begin, strlen(begin)) == 0 && list->items[i].cols > 1)
            n += (double)list->items[i].rows * (double)list->items[i].cols;
    return n;
}

/* Every number of a matrix is multiplied and added once; the merger's once for merge x merge patches. */
static void test_operations_are_twice_the_parameters(void **state)
{
    (void)state;
    fv_param_list list;
    fv_model_shape shape = make_shape(FV_FAMILY_QWEN2_5_VL);
    assert_ok(fv_param_list_init(&list, &shape));
    double merger = matrices(&list, "visual.merger."), vision = matrices(&list, "visual.");
    assert_true(merger > 0);
    assert_true(fv_flops_of_token(&shape) == 2 * matrices(&list, "model.layers."));
    assert_true(fv_flops_of_draw(&shape) == 2 * matrices(&list, "lm_head."));
    assert_true(fv_flops_of_patch(&shape) == 2 * (vision - merger + merger / 4));
    fv_param_list_fini(&list);
    shape = make_shape(FV_FAMILY_QWEN3);
    assert_true(fv_flops_of_patch(&shape) == 0);
}

/* Of any number of data ranks; what parameters take does not depend on it. */
static void test_shares_of_data_ranks_are_equal(void **state)
{
    (void)state;
    const int ranks[] = {1, 2, 3, 4, 7, 8, 31};
    fv_layout layout;
    fv_model_shape shape = make_shape(FV_FAMILY_QWEN2_5_VL);
    assert_ok(fv_layout_init(&layout, &shape, 0, 1));
    int64_t n = layout.n_elements;
    assert_true(layout.share == n && layout.n_flat == n);
    for (size_t i = 0; i < sizeof ranks / sizeof *ranks; i++) {
        fv_layout_pad(&layout, ranks[i]);
        assert_int_equal(layout.n_elements, n);
        assert_int_equal(layout.n_flat, layout.share * ranks[i]);
        assert_true(layout.share % 64 == 0 && layout.n_flat >= n && layout.n_flat < n + 64 * ranks[i]);
    }
    fv_layout_fini(&layout);
}

static void test_too_many_layers(void **state)
{
    (void)state;
    fv_param_list list;
    fv_model_shape shape = make_shape(FV_FAMILY_QWEN3);
    shape.text.n_layers = FV_MAX_LAYERS + 1;
    assert_fails(fv_param_list_init(&list, &shape), FV_ERR_FORMAT, "is 257, expected 1 to 256");
}

/* Noise has the deviation of first values, is the same whatever piece is asked for, and is rounded once. */
static void test_noise(void **state)
{
    enum { N = 30000, FIRST = 12345, PIECE = 7777 };
    static float all[N], piece[PIECE];
    static uint16_t rounded[PIECE], expected[PIECE];
    (void)state;
    const fv_param param = {.name = "x", .rows = N / 48, .cols = 48, .init = FV_INIT_LINEAR};
    double sum = 0, squares = 0;
    fv_param_noise(&param, 0, N, FV_F32, all);
    fv_param_noise(&param, FIRST, PIECE, FV_F32, piece);
    fv_param_noise(&param, FIRST, PIECE, FV_BF16, rounded);
    assert_memory_equal(piece, all + FIRST, sizeof piece);
    fv_dtype_encode(FV_BF16, piece, PIECE, expected);
    assert_memory_equal(rounded, expected, sizeof rounded);
    for (int i = 0; i < N; i++) {
        sum += all[i];
        squares += (double)all[i] * all[i];
        assert_true(fabsf(all[i]) <= 1 / sqrtf(48));
    }
    assert_true(fabs(sum / N) < 0.005 && fabs(squares / N * 3 * 48 - 1) < 0.03);
    const fv_param ones = {.name = "y", .rows = 3, .cols = 1, .init = FV_INIT_ONE};
    fv_param_noise(&ones, 0, 3, FV_F32, all);
    assert_true(all[0] == 1 && all[2] == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_noise),
        cmocka_unit_test(test_parts_of_all_ranks_tile_every_parameter),
        cmocka_unit_test(test_parts_known_by_hand),
        cmocka_unit_test(test_list_follows_the_family),
        cmocka_unit_test(test_operations_are_twice_the_parameters),
        cmocka_unit_test(test_shares_of_data_ranks_are_equal),
        cmocka_unit_test(test_too_many_layers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
