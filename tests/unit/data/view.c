/* Views of an image: sizes case by case, and pixels as the processor gives them for the resized image. */
#include "test.h"

#include "fovea/data/view.h"

#include <stdlib.h>

static const fv_view_settings bounds = {262144, 4194304};

static void check(fv_view_size image, fv_view_size target, fv_view_size low, fv_view_size high)
{
    fv_view_sizes sizes;
    assert_ok(fv_view_sizes_of(&bounds, image, target, &sizes));
    assert_int_equal(sizes.low.width, low.width);
    assert_int_equal(sizes.low.height, low.height);
    assert_int_equal(sizes.high.width, high.width);
    assert_int_equal(sizes.high.height, high.height);
}

static void test_sizes(void **state)
{
    (void)state;
    const fv_view_size none = {0, 0};
    check((fv_view_size){800, 601}, none, (fv_view_size){400, 300}, (fv_view_size){800, 601});
    /* 100 x 100 is scaled by 5.12; 4000 x 3000 by sqrt(4194304 / 12000000) = 0.591202... */
    check((fv_view_size){100, 100}, none, (fv_view_size){256, 256}, (fv_view_size){512, 512});
    check((fv_view_size){4000, 3000}, none, (fv_view_size){1182, 886}, (fv_view_size){2364, 1773});
    /* A side that would fall below 28 stays there. */
    check((fv_view_size){8000, 40}, none, (fv_view_size){4000, 28}, (fv_view_size){8000, 40});
    check((fv_view_size){10, 10}, (fv_view_size){300, 200}, (fv_view_size){300, 200},
          (fv_view_size){600, 400});
}

/* What the tool shows is exactly twice the low-resolution view. */
static void test_twice(void **state)
{
    (void)state;
    const fv_view_settings twice = {1, 1 << 30, .tool = FV_TOOL_VIEW_TWICE};
    static const fv_view_size cases[][2] = {
        {{801, 601}, {800, 600}}, {{800, 600}, {800, 600}}, {{40, 8000}, {56, 8000}}, {{30, 31}, {56, 56}}};
    for (int i = 0; i < 4; i++) {
        fv_view_sizes sizes;
        assert_ok(fv_view_sizes_of(&twice, cases[i][0], (fv_view_size){0, 0}, &sizes));
        assert_true(sizes.high.width == cases[i][1].width && sizes.high.height == cases[i][1].height);
        assert_true(sizes.high.width == 2 * sizes.low.width && sizes.high.height == 2 * sizes.low.height);
    }
}

static void test_refusals(void **state)
{
    (void)state;
    fv_view_sizes sizes;
    const fv_view_settings reversed = {10, 9};
    const fv_view_size good = {100, 100}, none = {0, 0};
    assert_fails(fv_view_sizes_of(&reversed, good, none, &sizes), FV_ERR_ARGUMENT, "min_pixels is 10");
    assert_fails(fv_view_sizes_of(&bounds, none, none, &sizes), FV_ERR_ARGUMENT, "an image of 0 x 0");
    assert_fails(fv_view_sizes_of(&bounds, good, (fv_view_size){5, 0}, &sizes), FV_ERR_ARGUMENT,
                 "a target size of 5 x 0");
    assert_fails(fv_view_sizes_of(&bounds, good, (fv_view_size){7000, 7000}, &sizes), FV_ERR_UNSUPPORTED,
                 "14000 x 14000");
    assert_fails(fv_view_sizes_of(&bounds, good, (fv_view_size){INT32_MAX, 1}, &sizes), FV_ERR_UNSUPPORTED,
                 "target size");
}

static fv_image_file file_of(const fv_image *image, fv_buffer *png)
{
    assert_ok(fv_image_encode_png(image, png));
    return (fv_image_file){
        .data = png->data, .size = png->size, .name = "test", .max_pixels = FV_IMAGE_MAX_PIXELS};
}

static void test_pixels(void **state)
{
    (void)state;
    fv_processor processor;
    fv_image image, resized;
    fv_picture *view, *expected;
    fv_buffer png = {0}, low_png = {0};
    fv_processor_init(&processor);
    assert_ok(fv_image_init(&image, "test", 120, 90, FV_IMAGE_MAX_PIXELS));
    for (int i = 0; i < 120 * 90 * 3; i++)
        image.rgb[i] = (uint8_t)(i * i % 251);
    const fv_image_file file = file_of(&image, &png);
    assert_ok(fv_view_read(&processor, &file, (fv_view_size){60, 57}, FV_VIEW_BICUBIC, &view));
    assert_ok(fv_image_resize(&image, 60, 57, FV_FILTER_BICUBIC, &resized));
    const fv_image_file low = file_of(&resized, &low_png);
    assert_ok(fv_processor_run(&processor, &resized, &expected));
    size_t bytes = fv_picture_bytes(view->grid, processor.patch);
    assert_int_equal(view->grid.w, 4);
    assert_memory_equal(view->rgb, expected->rgb, bytes);
    fv_picture_release(view);
    assert_ok(fv_view_read(&processor, &file, (fv_view_size){60, 57}, FV_VIEW_LANCZOS, &view));
    assert_memory_not_equal(view->rgb, expected->rgb, bytes);
    fv_picture_release(view);
    /* At its own size the image is not touched. */
    assert_ok(fv_view_read(&processor, &low, (fv_view_size){60, 57}, FV_VIEW_BICUBIC, &view));
    assert_memory_equal(view->rgb, expected->rgb, bytes);
    fv_picture_release(view);
    fv_picture_release(expected);
    processor.do_resize = 0;
    assert_fails(fv_view_read(&processor, &file, (fv_view_size){60, 57}, FV_VIEW_BICUBIC, &view),
                 FV_ERR_UNSUPPORTED, "60 x 57");
    assert_null(view);
    fv_image_fini(&image);
    fv_buffer_fini(&png);
    fv_buffer_fini(&low_png);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sizes), cmocka_unit_test(test_twice),
                                       cmocka_unit_test(test_refusals), cmocka_unit_test(test_pixels)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
