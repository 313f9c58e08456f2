/* Pictures: what they take, and that the last holder frees them (the sanitizers watch). */
#include "test.h"

#include "fovea/model/image/picture.h"

static void test_is_shared(void **state)
{
    (void)state;
    const fv_pixel_scale scale = {.factor = 1, .std = {1, 1, 1}};
    fv_image image;
    fv_picture *picture;
    assert_ok(fv_image_init(&image, "test", 42, 28, FV_IMAGE_MAX_PIXELS));
    image.rgb[5] = 77;
    assert_ok(fv_picture_create(&image, 14, &scale, &picture));
    assert_null(image.rgb);
    assert_int_equal(picture->grid.t, 1);
    assert_int_equal(picture->grid.h, 2);
    assert_int_equal(picture->grid.w, 3);
    assert_int_equal(fv_picture_bytes(picture->grid, 14), 42 * 28 * 3);
    fv_picture *second = fv_picture_hold(picture);
    assert_ptr_equal(second, picture);
    fv_picture_release(picture);
    assert_int_equal(second->rgb[5], 77);
    fv_picture_release(second);
    fv_picture_release(NULL);
}

static void test_holds_finished_numbers(void **state)
{
    (void)state;
    const float patches[4][3] = {{1, 2, 3}, {4, 5, 6}, {7, 8, 9}, {10, 11, 12}};
    fv_picture *picture;
    assert_ok(fv_picture_create_patches((fv_grid){1, 2, 2}, patches[0], 3, &picture));
    assert_null(picture->rgb);
    assert_memory_equal(picture->patches, patches, sizeof patches);
    fv_picture_release(picture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_is_shared),
        cmocka_unit_test(test_holds_finished_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
