/* The synthetic set: repeatable, a quarter small, every digit, and what each view shows. */
#include "test.h"

#include "fovea/data/synthetic/glance.h"

#include <stdlib.h>

static void test_repeats(void **state)
{
    (void)state;
    fv_row a, b, c;
    assert_ok(fv_glance_row(3, 17, &a));
    assert_ok(fv_glance_row(3, 17, &b));
    assert_ok(fv_glance_row(4, 17, &c));
    assert_string_equal(a.answer, b.answer);
    assert_int_equal(a.images[0].file.size, b.images[0].file.size);
    assert_memory_equal(a.images[0].file.data, b.images[0].file.data, a.images[0].file.size);
    assert_true(a.images[0].file.size != c.images[0].file.size ||
                memcmp(a.images[0].file.data, c.images[0].file.data, c.images[0].file.size) != 0);
    fv_row_fini(&a);
    fv_row_fini(&b);
    fv_row_fini(&c);
}

static void test_shares(void **state)
{
    (void)state;
    enum { N = 800 };
    int n_small = 0, digits[10] = {0};
    for (uint64_t i = 0; i < N; i++) {
        fv_row row;
        assert_ok(fv_glance_row(1, i, &row));
        n_small += strcmp(row.extra, "{\"needs\": \"high\"}") == 0;
        assert_int_equal(strlen(row.answer), 1);
        assert_in_range(row.answer[0], '0', '9');
        digits[row.answer[0] - '0']++;
        assert_true(row.target.width == 28 && row.target.height == 28);
        assert_true(row.n_images == 1 && row.images[0].width == 56 && row.images[0].height == 56);
        fv_row_fini(&row);
        if (i % 4 == 3)
            assert_int_equal(n_small, (int)(i + 1) / 4);
    }
    for (int d = 0; d < 10; d++)
        assert_in_range(digits[d], N / 10 - 40, N / 10 + 40);
}

/* Rows and columns of the image where ink lies. */
typedef struct extent {
    int left, top, right, bottom;
} extent;

static extent find_ink(const fv_image *image)
{
    extent e = {image->width, image->height, -1, -1};
    for (int y = 0; y < image->height; y++)
        for (int x = 0; x < image->width; x++) {
            const uint8_t *p = image->rgb + 3 * (y * image->width + x);
            if (p[0] + p[1] + p[2] > 3 * 125) /* between the darkest ground and the lightest ink */
                continue;
            e.left = x < e.left ? x : e.left;
            e.right = x > e.right ? x : e.right;
            e.top = y < e.top ? y : e.top;
            e.bottom = y > e.bottom ? y : e.bottom;
        }
    return e;
}

static void test_places_and_sizes(void **state)
{
    (void)state;
    int cells[2][16] = {{0}};
    for (uint64_t i = 0; i < 400; i++) {
        fv_row row;
        fv_image image;
        assert_ok(fv_glance_row(2, i, &row));
        assert_ok(fv_image_decode(row.images[0].file.data, row.images[0].file.size, "row", 1 << 20, &image));
        int is_small = strstr(row.extra, "high") != NULL, cell = is_small ? 14 : 28;
        extent e = find_ink(&image);
        assert_int_equal(e.left / cell, e.right / cell); /* in one cell */
        assert_int_equal(e.top / cell, e.bottom / cell);
        assert_in_range(e.bottom - e.top + 1, is_small ? 7 : 26, is_small ? 7 : 28);
        cells[is_small][e.top / cell * (56 / cell) + e.left / cell]++;
        fv_image_fini(&image);
        fv_row_fini(&row);
    }
    for (int c = 0; c < 16; c++)
        assert_true(cells[1][c] > 0 && (c >= 4 || cells[0][c] > 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_repeats),
        cmocka_unit_test(test_shares),
        cmocka_unit_test(test_places_and_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
