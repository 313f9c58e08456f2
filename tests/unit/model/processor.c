#include "test.h"
#include "sha256.h"

#include "fovea/base/file.h"
#include "fovea/io/json.h"
#include "fovea/model/image/processor.h"
#include "fovea/ops/backend.h"

#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

static char folder[PATH_MAX];
static fv_backend *backend;

static int set_up(void **state)
{
    (void)state;
    const char *data = getenv("TEST_DATA");
    assert_ok(fv_file_path(folder, sizeof folder, data ? data : "tests/data", "golden/images"));
    assert_ok(fv_backend_cpu_create(NULL, 2, &backend));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fv_backend_destroy(backend);
    return 0;
}

static fv_json *load(const char *name)
{
    char path[PATH_MAX];
    fv_json *root;
    assert_ok(fv_file_path(path, sizeof path, folder, name));
    assert_ok(fv_json_load(path, &root));
    return root;
}

static int64_t integer_at(const fv_json *list, size_t index)
{
    int64_t value = 0;
    assert_ok(fv_json_to_integer(fv_json_at(list, index), "number", &value));
    return value;
}

/* The patches of a picture by the operation; scale NULL: the bytes themselves. */
static float *patches_of(const fv_processor *p, const fv_picture *picture, const fv_pixel_scale *scale)
{
    const fv_pixel_scale plain = {.factor = 1, .std = {1, 1, 1}};
    int height = picture->grid.h * p->patch, width = picture->grid.w * p->patch;
    int64_t n = fv_grid_patches(picture->grid), elements = fv_processor_patch_size(p);
    float *values = malloc((size_t)(n * elements) * sizeof *values);
    assert_non_null(values);
    assert_ok(
        fv_patches(backend, &(fv_patches_args){.pixels = fv_tensor_3d(picture->rgb, FV_U8, height, width, 3),
                                               .out = fv_tensor_2d(values, FV_F32, n, elements),
                                               .scale = scale ? *scale : plain,
                                               .patch = p->patch,
                                               .merge = p->merge,
                                               .frames = p->temporal_patch}));
    return values;
}

/* The figures of the reference for one file and one pair of bounds. */
static void check_golden(const fv_json *row)
{
    fv_processor p;
    fv_image image;
    fv_grid grid;
    const char *file = NULL, *hash = NULL;
    char path[PATH_MAX], found[65];
    fv_processor_init(&p);
    assert_ok(fv_json_get_string(row, "file", &file));
    assert_ok(fv_json_get_string(row, "sha256_u8", &hash));
    assert_ok(fv_json_require_integer(row, "min_pixels", &p.min_pixels));
    assert_ok(fv_json_require_integer(row, "max_pixels", &p.max_pixels));
    assert_ok(fv_file_path(path, sizeof path, folder, file));
    assert_ok(fv_image_load(path, &image));
    assert_ok(fv_processor_grid(&p, image.width, image.height, &grid));
    const fv_json *thw = fv_json_get(row, "grid_thw");
    assert_true(integer_at(thw, 0) == grid.t && integer_at(thw, 1) == grid.h && integer_at(thw, 2) == grid.w);

    fv_picture *picture;
    assert_ok(fv_processor_run(&p, &image, &picture));
    assert_null(image.rgb);
    assert_memory_equal(&picture->grid, &grid, sizeof grid);
    size_t n = (size_t)(fv_grid_patches(grid) * fv_processor_patch_size(&p));
    uint8_t *pixels = malloc(n);
    assert_non_null(pixels);
    float *values = patches_of(&p, picture, NULL);
    for (size_t i = 0; i < n; i++)
        pixels[i] = (uint8_t)values[i];
    sha256(pixels, n, found);
    assert_string_equal(found, hash);
    free(values);
    const fv_pixel_scale scale = fv_processor_scale(&p);
    values = patches_of(&p, picture, &scale);
    fv_picture_release(picture);
    double sum = 0, mean = 0, head = 0;
    for (size_t i = 0; i < n; i++)
        sum += values[i];
    assert_ok(fv_json_require_real(row, "mean", &mean));
    assert_true(sum / (double)n - mean < 1e-6 && mean - sum / (double)n < 1e-6);
    for (size_t i = 0; i < 8; i++) {
        assert_ok(fv_json_to_real(fv_json_at(fv_json_get(row, "first_patch_head"), i), "value", &head));
        assert_true((double)values[i] == head);
    }
    free(pixels);
    free(values);
}

static void golden_pixels(void **state)
{
    (void)state;
    fv_json *root = load("images.json");
    assert_int_equal(fv_json_size(root), 9);
    for (size_t i = 0; i < fv_json_size(root); i++)
        check_golden(fv_json_at(root, i));
    fv_json_destroy(root);
}

static void golden_grids(void **state)
{
    (void)state;
    fv_json *root = load("grids.json");
    const fv_json *rows = fv_json_get(root, "rows");
    assert_true(fv_json_size(rows) > 50);
    for (size_t i = 0; i < fv_json_size(rows); i++) {
        const fv_json *r = fv_json_at(rows, i);
        fv_processor p;
        fv_grid grid;
        fv_processor_init(&p);
        p.min_pixels = integer_at(r, 2);
        p.max_pixels = integer_at(r, 3);
        assert_ok(fv_processor_grid(&p, (int)integer_at(r, 0), (int)integer_at(r, 1), &grid));
        if (grid.t != 1 || grid.h != integer_at(r, 4) || grid.w != integer_at(r, 5))
            fail_msg("row %zu: grid %d x %d", i, grid.h, grid.w);
    }
    fv_json_destroy(root);
}

static void refuses_impossible_sizes(void **state)
{
    (void)state;
    fv_processor p;
    fv_grid grid;
    fv_processor_init(&p);
    assert_ok(fv_processor_grid(&p, 200, 1, &grid));
    assert_fails(fv_processor_grid(&p, 201, 1, &grid), FV_ERR_UNSUPPORTED, "201 x 1");
    assert_fails(fv_processor_grid(&p, 0, 1, &grid), FV_ERR_ARGUMENT, "0 x 1");
    p.min_pixels = p.max_pixels = INT64_MAX;
    assert_fails(fv_processor_grid(&p, 20, 20, &grid), FV_ERR_UNSUPPORTED, "lower min_pixels");
    p.do_resize = 0;
    assert_ok(fv_processor_grid(&p, 56, 28, &grid));
    assert_true(grid.w == 4 && grid.h == 2);
    assert_fails(fv_processor_grid(&p, 56, 29, &grid), FV_ERR_UNSUPPORTED, "multiples of 28");
}

/* Another order of patches than the reference's would still be the same set: look at single numbers. */
static void patch_order(void **state)
{
    (void)state;
    enum { WIDTH = 8, HEIGHT = 4, PATCH = 2, MERGE = 2, TIMES = 3, SIZE = 3 * TIMES * PATCH * PATCH };
    fv_processor p;
    fv_image image;
    fv_picture *picture;
    fv_processor_init(&p);
    p.do_resize = p.do_rescale = p.do_normalize = 0;
    p.patch = PATCH;
    p.merge = MERGE;
    p.temporal_patch = TIMES;
    assert_ok(fv_image_init(&image, "steps", WIDTH, HEIGHT, 100));
    for (int i = 0; i < WIDTH * HEIGHT * 3; i++)
        image.rgb[i] = (uint8_t)i;
    const int patch_y[] = {0, 0, 1, 1, 0, 0, 1, 1}, patch_x[] = {0, 1, 0, 1, 2, 3, 2, 3};
    assert_ok(fv_processor_run(&p, &image, &picture));
    const fv_pixel_scale scale = fv_processor_scale(&p);
    float *out = patches_of(&p, picture, &scale);
    for (int i = 0; i < WIDTH * HEIGHT * 3 * TIMES; i++) {
        int at = i / SIZE, channel = i % SIZE / (TIMES * PATCH * PATCH);
        int y = patch_y[at] * PATCH + i / PATCH % PATCH, x = patch_x[at] * PATCH + i % PATCH;
        assert_int_equal((int)out[i], (y * WIDTH + x) * 3 + channel);
    }
    free(out);
    fv_picture_release(picture);
}

/* Load a folder that holds text as the file name. */
static fv_err load_text(const char *name, const char *text, fv_processor *p)
{
    char temporary[] = "/tmp/fovea_processor_XXXXXX", path[PATH_MAX];
    assert_non_null(mkdtemp(temporary));
    assert_ok(fv_file_path(path, sizeof path, temporary, name));
    assert_ok(fv_file_write(path, text, strlen(text)));
    fv_err err = fv_processor_load(temporary, p);
    unlink(path);
    rmdir(temporary);
    return err;
}

static const char config_name[] = "preprocessor_config.json";

static void reads_every_form(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{\"min_pixels\": 784, \"max_pixels\": 7840, \"patch_size\": 7, \"merge_size\": 1, \"resample\": 1}",
        "{\"size\": {\"shortest_edge\": 784, \"longest_edge\": 7840}, \"patch_size\": 7, \"merge_size\": 1,"
        " \"image_processor_type\": \"Qwen2VLImageProcessorFast\", \"do_pad\": null, \"resample\": 1}",
        "{\"size\": {\"min_pixels\": 784, \"max_pixels\": 7840}, \"patch_size\": 7, \"merge_size\": 1,"
        " \"resample\": 1}",
        "{\"size\": {\"shortest_edge\": 1, \"longest_edge\": 2}, \"min_pixels\": 784, \"max_pixels\": 7840,"
        " \"patch_size\": 7, \"merge_size\": 1, \"resample\": 1}",
    };
    fv_processor p;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_ok(load_text(config_name, texts[i], &p));
        assert_true(p.min_pixels == 784 && p.max_pixels == 7840 && p.patch == 7 && p.merge == 1);
        assert_true(p.temporal_patch == 2 && p.do_resize && p.resample == FV_FILTER_LANCZOS);
    }
    assert_ok(load_text("processor_config.json",
                        "{\"image_processor\": {\"image_mean\": [1, 2, 3], \"image_std\": [0.5, 0.25, 4],"
                        " \"do_normalize\": false, \"rescale_factor\": 0.5}}",
                        &p));
    assert_true(p.mean[2] == 3 && p.std[1] == 0.25 && !p.do_normalize && p.rescale_factor == 0.5);
    assert_true(p.min_pixels == 3136 && p.max_pixels == 1003520);
}

static void refuses_bad_files(void **state)
{
    (void)state;
    static const struct {
        const char *text, *part;
        fv_err code;
    } cases[] = {
        {"[]", "not an object", FV_ERR_FORMAT},
        {"{\"patch_size\": 0}", "patch_size is 0", FV_ERR_FORMAT},
        {"{\"patch_size\": \"14\"}", "patch_size", FV_ERR_FORMAT},
        {"{\"merge_size\": 4000000000000}", "merge_size is 4000000000000", FV_ERR_FORMAT},
        {"{\"resample\": 2}", "resample is 2", FV_ERR_UNSUPPORTED},
        {"{\"min_pixels\": 0}", "min_pixels is 0", FV_ERR_FORMAT},
        {"{\"min_pixels\": 10000000}", "max_pixels 1003520", FV_ERR_FORMAT},
        {"{\"size\": {\"height\": 224, \"width\": 224}}", "shortest_edge", FV_ERR_UNSUPPORTED},
        {"{\"size\": 224}", "size is not an object", FV_ERR_UNSUPPORTED},
        {"{\"image_mean\": [0, 1]}", "image_mean is not a list of 3", FV_ERR_FORMAT},
        {"{\"image_std\": [1, 0, 1]}", "channel 1", FV_ERR_FORMAT},
        {"{\"rescale_factor\": 1e300}", "rescale_factor", FV_ERR_FORMAT},
        {"{\"image_processor_type\": \"CLIPImageProcessor\"}", "CLIPImageProcessor", FV_ERR_UNSUPPORTED},
        {"{\"do_center_crop\": true}", "do_center_crop is true", FV_ERR_UNSUPPORTED},
        {"{", "not valid JSON", FV_ERR_FORMAT},
    };
    fv_processor p;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_fails(load_text(config_name, cases[i].text, &p), cases[i].code, cases[i].part);
        assert_non_null(strstr(fv_error_text(), config_name));
    }
    assert_fails(load_text("other.json", "{}", &p), FV_ERR_IO, "has no preprocessor_config.json");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_pixels),
        cmocka_unit_test(golden_grids),
        cmocka_unit_test(refuses_impossible_sizes),
        cmocka_unit_test(patch_order),
        cmocka_unit_test(reads_every_form),
        cmocka_unit_test(refuses_bad_files),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
