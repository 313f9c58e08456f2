/* A cache of views: whoever makes a view, with room or without, it is the same bytes, or the same sentence.
 */
#include "temp_folder.h"

#include "fovea/data/view_cache.h"

#include <stdlib.h>

enum { ROWS = 12, DAMAGED = 5, SIDE = 56, PICTURE = SIDE * SIDE * 3 };

static fv_dataset *set;
static fv_processor processor;

static void draw(int row, fv_buffer *png)
{
    fv_image image;
    assert_ok(fv_image_init(&image, "test", 90 + row, 70, FV_IMAGE_MAX_PIXELS));
    for (int i = 0; i < image.width * image.height * 3; i++)
        image.rgb[i] = (uint8_t)(i * (i + row) % 251);
    assert_ok(fv_image_encode_png(&image, png));
    fv_image_fini(&image);
    if (row == DAMAGED)
        png->data[png->size / 2] ^= 0x55;
}

static int set_up(void **state)
{
    fv_dataset_writer *writer;
    fv_dataset_totals totals;
    temp_setup(state);
    fv_processor_init(&processor);
    assert_ok(fv_dataset_create(temp_path("set.h5"), &writer));
    for (int i = 0; i < ROWS; i++) {
        fv_row row = {.question = strdup("?"),
                      .answer = strdup("!"),
                      .source = strdup(""),
                      .extra = strdup("{}"),
                      .images = calloc(1, sizeof *row.images),
                      .n_images = 1};
        row.images[0].width = 90 + i;
        row.images[0].height = 70;
        draw(i, &row.images[0].file);
        assert_ok(fv_dataset_append(writer, &row));
    }
    assert_ok(fv_dataset_commit(writer, &totals));
    assert_ok(fv_dataset_open(temp_path("set.h5"), &set));
    return 0;
}

static int tear_down(void **state)
{
    fv_dataset_close(set);
    return temp_teardown(state);
}

static fv_view_cache *open_cache(int n_workers, int n_pictures)
{
    fv_view_cache *cache;
    assert_ok(fv_view_cache_create(&(fv_view_cache_settings){.processor = &processor,
                                                             .n_workers = n_workers,
                                                             .max_bytes = (size_t)n_pictures * PICTURE},
                                   &cache));
    return cache;
}

/* Each row has one view, of 56 x 56 pixels. */
static fv_view_key key_of(int row)
{
    return (fv_view_key){set, (uint64_t)row, {SIDE, SIDE}};
}

static void want(fv_view_cache *cache, int row, int is_sure)
{
    const fv_view_key key = key_of(row);
    fv_view_cache_want(cache, &key, is_sure);
}

static void forget(fv_view_cache *cache, int row)
{
    const fv_view_key key = key_of(row);
    fv_view_cache_forget(cache, &key);
}

/* The view of a sound row, which is what it is without a cache. */
static fv_picture *get(fv_view_cache *cache, int row)
{
    fv_buffer png = {0};
    fv_picture *found, *expected;
    const fv_view_key key = key_of(row);
    draw(row, &png);
    const fv_image_file file = {
        .data = png.data, .size = png.size, .name = "test", .max_pixels = FV_IMAGE_MAX_PIXELS};
    assert_ok(fv_view_read(&processor, &file, key.size, FV_VIEW_BICUBIC, &expected));
    assert_ok(fv_view_cache_get(cache, &key, &found));
    assert_int_equal(fv_picture_bytes(found->grid, processor.patch), PICTURE);
    assert_memory_equal(found->rgb, expected->rgb, PICTURE);
    fv_picture_release(expected);
    fv_buffer_fini(&png);
    return found;
}

static int64_t n_made(fv_view_cache *cache)
{
    return fv_view_cache_stats_of(cache).n_made;
}

static void test_each_is_made_once(void **state)
{
    (void)state;
    for (int n_workers = 0; n_workers <= 4; n_workers++) {
        fv_view_cache *cache = open_cache(n_workers, ROWS);
        fv_picture *first[ROWS];
        for (int row = 0; row < DAMAGED; row++)
            want(cache, row, row % 2);
        for (int row = DAMAGED - 1; row >= 0; row--)
            first[row] = get(cache, row);
        for (int row = 0; row < DAMAGED; row++) {
            fv_picture *again = get(cache, row);
            assert_ptr_equal(again, first[row]);
            fv_picture_release(again);
        }
        assert_int_equal(n_made(cache), DAMAGED);
        fv_view_cache_destroy(cache);
        for (int row = 0; row < DAMAGED; row++)
            fv_picture_release(first[row]);
    }
}

static void test_says_what_is_wrong(void **state)
{
    (void)state;
    char alone[1024] = "";
    const fv_view_key key = key_of(DAMAGED), odd = {set, 0, {400, 1}};
    for (int n_workers = 0; n_workers <= 2; n_workers++) {
        fv_view_cache *cache = open_cache(n_workers, ROWS);
        fv_picture *picture;
        want(cache, DAMAGED, 1);
        for (int times = 0; times < 2; times++) {
            assert_fails(fv_view_cache_get(cache, &key, &picture), FV_ERR_FORMAT, "row 5: its image");
            assert_null(picture);
            if (n_workers == 0)
                snprintf(alone, sizeof alone, "%s", fv_error_text());
            assert_string_equal(fv_error_text(), alone);
        }
        fv_view_cache_want(cache, &odd, 1);
        assert_fails(fv_view_cache_get(cache, &odd, &picture), FV_ERR_UNSUPPORTED, "row 0: image of 400 x 1");
        fv_picture_release(get(cache, 0));
        fv_view_cache_destroy(cache);
    }
}

static void test_keeps_what_there_is_room_for(void **state)
{
    (void)state;
    fv_view_cache *cache = open_cache(0, 2);
    static const int rows[] = {0, 1, 0, 2, 0, 1, 1};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        fv_picture_release(get(cache, rows[i]));
    assert_int_equal(n_made(cache), 4); /* 2 takes the place of 1, which 0 was asked for after */
    fv_view_cache_destroy(cache);
    cache = open_cache(0, 0);
    fv_picture_release(get(cache, 0));
    fv_picture_release(get(cache, 0));
    assert_int_equal(n_made(cache), 2);
    fv_view_cache_destroy(cache);
}

/* Workers wait for room, and never make it by what nobody has seen yet. */
static void test_stays_within_its_room(void **state)
{
    (void)state;
    for (int n_workers = 1; n_workers <= 3; n_workers++) {
        fv_view_cache *cache = open_cache(n_workers, 2);
        for (int row = 6; row < ROWS; row++)
            want(cache, row, 1);
        want(cache, 0, 0);
        for (int row = 6; row < ROWS; row++)
            fv_picture_release(get(cache, row));
        fv_view_cache_stats stats = fv_view_cache_stats_of(cache);
        assert_int_equal(stats.n_made, ROWS - 6);
        assert_true(stats.n_ahead <= stats.n_made);
        fv_view_cache_destroy(cache);
    }
}

static void test_forgets(void **state)
{
    (void)state;
    for (int round = 0; round < 50; round++) {
        fv_view_cache *cache = open_cache(2, ROWS);
        for (int row = 0; row < ROWS; row++)
            want(cache, row, 1);
        if (round % 5 == 1)
            forget(cache, 0);
        if (round % 5 == 2)
            fv_view_cache_clear(cache);
        if (round % 5 == 3)
            fv_picture_release(get(cache, 1));
        if (round % 5 == 4) {
            forget(cache, 0);
            fv_picture_release(get(cache, 0));
        }
        fv_view_cache_destroy(cache);
    }
    fv_view_cache_destroy(NULL);
}

static void test_counts_workers(void **state)
{
    (void)state;
    assert_int_equal(fv_view_workers(1 << 20), 0);
    assert_true(fv_view_workers(0) >= 1 && fv_view_workers(0) <= 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_is_made_once),
        cmocka_unit_test(test_says_what_is_wrong),
        cmocka_unit_test(test_keeps_what_there_is_room_for),
        cmocka_unit_test(test_stays_within_its_room),
        cmocka_unit_test(test_forgets),
        cmocka_unit_test(test_counts_workers),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
