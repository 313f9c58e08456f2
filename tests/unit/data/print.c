/* Pages of print: repeatable, a quarter small, sides that both views take, ink where it should be. */
#include "test.h"

#include "fovea/io/image/paint.h"
#include "fovea/data/synthetic/print.h"

#include <stdlib.h>

static int setup(void **state)
{
    (void)state;
    fv_row row;
    fv_err err = fv_print_row(0, 0, &row);
    if (err == FV_ERR_UNSUPPORTED) {
        printf("%s: not checked\n", fv_error_text());
        exit(0);
    }
    fv_row_fini(&row);
    return err == FV_OK ? 0 : -1;
}

static void test_repeats(void **state)
{
    (void)state;
    fv_row a, b, c;
    assert_ok(fv_print_row(3, 17, &a));
    assert_ok(fv_print_row(3, 17, &b));
    assert_ok(fv_print_row(3, 18, &c));
    assert_string_equal(a.question, b.question);
    assert_string_equal(a.answer, b.answer);
    assert_int_equal(a.images[0].file.size, b.images[0].file.size);
    assert_memory_equal(a.images[0].file.data, b.images[0].file.data, a.images[0].file.size);
    assert_int_not_equal(a.images[0].file.size, c.images[0].file.size);
    fv_row_fini(&a);
    fv_row_fini(&b);
    fv_row_fini(&c);
}

/* Pixels that are much darker than the corner. */
static int count_ink(const fv_row *row)
{
    fv_image image;
    int n = 0;
    assert_ok(fv_image_decode(row->images[0].file.data, row->images[0].file.size, "page", FV_IMAGE_MAX_PIXELS,
                              &image));
    for (int i = 0; i < image.width * image.height; i++)
        n += image.rgb[3 * i] + 120 < image.rgb[0];
    fv_image_fini(&image);
    return n;
}

static void test_pages(void **state)
{
    (void)state;
    enum { N = 60 };
    int n_small = 0, kinds[3] = {0};
    double pixels[2] = {0}, ink[2] = {0};
    for (uint64_t i = 0; i < N; i++) {
        fv_row row;
        assert_ok(fv_print_row(5, i, &row));
        int is_small = strcmp(row.extra, "{\"needs\": \"high\"}") == 0, value = atoi(row.answer);
        int width = row.images[0].width, height = row.images[0].height;
        n_small += is_small;
        kinds[strstr(row.question, "bar") ? 0 : strstr(row.question, " in ") ? 1 : 2]++;
        assert_in_range(value, 10, 999);
        assert_true(width % 56 == 0 && height % 56 == 0 && width >= 448 && height >= 448);
        assert_true(row.target.width == width / 2 && row.target.height == height / 2);
        pixels[is_small] += (double)width * height;
        ink[is_small] += count_ink(&row);
        fv_row_fini(&row);
    }
    assert_int_equal(n_small, N / 4);
    assert_true(kinds[0] > 5 && kinds[1] > 5 && kinds[2] > 5);
    double ratio = 3 * pixels[1] / pixels[0]; /* there are three large ones to a small one */
    assert_true(ratio > 0.75 && ratio < 1.33);
    assert_true(ink[1] > 0 && 3 * ink[1] < 0.6 * ink[0]);
}

static void test_characters_without_a_font(void **state)
{
    (void)state;
    fv_paint *paint;
    const fv_paint_font font = {.family = "serif", .size = 12};
    assert_ok(fv_paint_create(20, 20, (fv_paint_color){255, 255, 255}, &paint));
    assert_fails(fv_paint_text(paint, &font, 0, 0, "\xf4\x80\x80\x80" /* private use */), FV_ERR_UNSUPPORTED,
                 "no font");
    fv_paint_destroy(paint);
    fv_paint_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_repeats),
        cmocka_unit_test(test_pages),
        cmocka_unit_test(test_characters_without_a_font),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
