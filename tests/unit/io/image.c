#include "test.h"
#include "sha256.h"

#include "fovea/base/file.h"
#include "fovea/io/image/image.h"
#include "fovea/io/json.h"
#include "io/image/image_resize.h"

#include <limits.h>
#include <omp.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* Made with Pillow: see expected.json for the pixels that it gives. */
static char folder[PATH_MAX];
static fv_json *expected;

static int set_up(void **state)
{
    (void)state;
    char path[PATH_MAX];
    const char *data = getenv("TEST_DATA");
    assert_ok(fv_file_path(folder, sizeof folder, data ? data : "tests/data", "images"));
    assert_ok(fv_file_path(path, sizeof path, folder, "expected.json"));
    assert_ok(fv_json_load(path, &expected));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fv_json_destroy(expected);
    return 0;
}

typedef struct row {
    const char *file, *sha256;
    int64_t width, height, filter;
    char path[PATH_MAX];
} row;

static row row_of(const char *list, size_t index)
{
    row r = {0};
    const fv_json *object = fv_json_at(fv_json_get(expected, list), index);
    assert_ok(fv_json_get_string(object, "file", &r.file));
    assert_ok(fv_json_get_string(object, "sha256", &r.sha256));
    assert_ok(fv_json_require_integer(object, "width", &r.width));
    assert_ok(fv_json_require_integer(object, "height", &r.height));
    assert_ok(fv_json_get_integer(object, "filter", &r.filter));
    assert_ok(fv_file_path(r.path, sizeof r.path, folder, r.file));
    return r;
}

static size_t n_rows(const char *list)
{
    size_t n = fv_json_size(fv_json_get(expected, list));
    assert_true(n > 10);
    return n;
}

static void check(const row *r, const fv_image *image)
{
    char hash[65];
    if (image->width != r->width || image->height != r->height)
        fail_msg("%s: %d x %d", r->file, image->width, image->height);
    sha256(image->rgb, (size_t)image->width * (size_t)image->height * 3, hash);
    if (strcmp(hash, r->sha256) != 0)
        fail_msg("%s: other pixels at %d x %d", r->file, image->width, image->height);
}

static void hashes(void **state)
{
    (void)state;
    char hash[65];
    sha256("abc", 3, hash);
    assert_string_equal(hash, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void decodes_every_kind(void **state)
{
    (void)state;
    for (size_t i = 0; i < n_rows("decode"); i++) {
        row r = row_of("decode", i);
        fv_image image;
        assert_ok(fv_image_load(r.path, &image));
        check(&r, &image);
        fv_image_fini(&image);
        assert_null(image.rgb);
    }
}

/* The bytes of a file, whose alpha is dropped. */
static fv_image_file open_file(const row *r, fv_file_map *map)
{
    assert_ok(fv_file_open_map(r->path, map));
    return (fv_image_file){.data = map->data,
                           .size = map->size,
                           .name = r->file,
                           .max_pixels = FV_IMAGE_MAX_PIXELS,
                           .alpha = FV_ALPHA_DROP};
}

static void drops_alpha_where_asked(void **state)
{
    (void)state;
    for (size_t i = 0; i < n_rows("drop"); i++) {
        row r = row_of("drop", i);
        fv_file_map map;
        fv_image image;
        const fv_image_file file = open_file(&r, &map);
        assert_ok(fv_image_read(&file, NULL, &image));
        check(&r, &image);
        fv_image_fini(&image);
        fv_file_close_map(&map);
    }
}

static fv_err fit_to(const void *context, int *width, int *height)
{
    const int *sizes = context;
    *width = sizes[0] ? sizes[0] : *width;
    *height = sizes[1] ? sizes[1] : *height;
    return FV_OK;
}

static void check_fit(const fv_image_file *file, const int sizes[2], fv_filter filter)
{
    fv_image whole, expected_image, image;
    const fv_image_fit fit = {.context = sizes, .size = fit_to, .filter = filter};
    assert_ok(fv_image_read(file, NULL, &whole));
    int width = whole.width, height = whole.height;
    assert_ok(fit_to(sizes, &width, &height));
    assert_ok(fv_image_resize(&whole, width, height, filter, &expected_image));
    assert_ok(fv_image_read(file, &fit, &image));
    if (image.width != width || image.height != height ||
        memcmp(image.rgb, expected_image.rgb, (size_t)width * (size_t)height * 3) != 0)
        fail_msg("%s: other pixels at %d x %d when resized on the way", file->name, width, height);
    fv_image_fini(&whole);
    fv_image_fini(&expected_image);
    fv_image_fini(&image);
}

/* The rows of a file are resized as they come: the same bits as the whole. */
static void resizes_on_the_way(void **state)
{
    (void)state;
    static const int sizes[][2] = {{0, 0},  {7, 0},   {0, 5},  {1, 1},  {60, 0},
                                   {0, 64}, {13, 50}, {90, 3}, {31, 23}};
    for (size_t i = 0; i < n_rows("decode"); i++) {
        row r = row_of("decode", i);
        fv_file_map map;
        const fv_image_file file = open_file(&r, &map);
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
            check_fit(&file, sizes[s], s % 2 ? FV_FILTER_LANCZOS : FV_FILTER_BICUBIC);
        fv_file_close_map(&map);
    }
}

static void checks_and_keeps_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < n_rows("decode"); i++) {
        row r = row_of("decode", i);
        fv_file_map map;
        int width, height;
        fv_image_file file = open_file(&r, &map);
        assert_ok(fv_image_check(&file, &width, &height));
        assert_true(width == r.width && height == r.height);
        file.size /= 2;
        assert_fails(fv_image_check(&file, &width, &height), FV_ERR_FORMAT, r.file);
        fv_file_close_map(&map);
    }
}

static void resizes_as_expected(void **state)
{
    (void)state;
    for (size_t i = 0; i < n_rows("resize"); i++) {
        row r = row_of("resize", i);
        fv_image image, out;
        assert_ok(fv_image_load(r.path, &image));
        assert_ok(fv_image_resize(&image, (int)r.width, (int)r.height, (fv_filter)r.filter, &out));
        check(&r, &out);
        fv_image_fini(&out);
        out = (fv_image){.width = (int)r.width, .height = (int)r.height};
        assert_ok(fv_image_resize_by(&fv_resize_portable, &image, (fv_filter)r.filter, &out));
        check(&r, &out);
        fv_image_fini(&out);
        fv_image_fini(&image);
    }
}

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525U + 1013904223U;
    return *seed >> 8;
}

static fv_image noise(int width, int height, uint32_t *seed)
{
    fv_image image;
    assert_ok(fv_image_init(&image, "noise", width, height, FV_IMAGE_MAX_PIXELS));
    for (size_t i = 0; i < (size_t)width * (size_t)height * 3; i++)
        image.rgb[i] = next_random(seed) % 4 ? (uint8_t)next_random(seed) : 255;
    return image;
}

static void same_bits_on_every_processor_and_thread_count(void **state)
{
    (void)state;
    uint32_t seed = 1;
    int n_threads = omp_get_max_threads();
    for (int i = 0; i < 60; i++) {
        fv_filter filter = i % 2 ? FV_FILTER_LANCZOS : FV_FILTER_BICUBIC;
        int width = 1 + (int)(next_random(&seed) % 120), height = 1 + (int)(next_random(&seed) % 120);
        fv_image image = noise(1 + (int)(next_random(&seed) % 90), 1 + (int)(next_random(&seed) % 90), &seed);
        fv_image a, b = {.width = width, .height = height};
        omp_set_num_threads(1 + i % 4);
        assert_ok(fv_image_resize(&image, width, height, filter, &a));
        omp_set_num_threads(1);
        assert_ok(fv_image_resize_by(&fv_resize_portable, &image, filter, &b));
        assert_memory_equal(a.rgb, b.rgb, (size_t)width * (size_t)height * 3);
        fv_image_fini(&a);
        fv_image_fini(&b);
        fv_image_fini(&image);
    }
    omp_set_num_threads(n_threads);
}

static void refuses_bad_sizes_and_filters(void **state)
{
    (void)state;
    uint32_t seed = 2;
    fv_image image = noise(3, 3, &seed), out;
    assert_fails(fv_image_resize(&image, 5, 5, (fv_filter)2, &out), FV_ERR_UNSUPPORTED, "filter 2");
    assert_fails(fv_image_resize(&image, 0, 5, FV_FILTER_BICUBIC, &out), FV_ERR_FORMAT, "0 x 5");
    assert_fails(fv_image_resize(&image, 100000, 100000, FV_FILTER_BICUBIC, &out), FV_ERR_FORMAT,
                 "178956970");
    assert_null(out.rgb);
    fv_image_fini(&image);
}

/* Nothing may reach standard error: the libraries have their own ideas of reporting. */
static FILE *silence_begin(int *saved)
{
    FILE *file = tmpfile();
    assert_non_null(file);
    *saved = dup(2);
    assert_true(*saved >= 0 && dup2(fileno(file), 2) == 2);
    return file;
}

static void silence_end(FILE *file, int saved)
{
    assert_true(dup2(saved, 2) == 2);
    close(saved);
    assert_int_equal(lseek(fileno(file), 0, SEEK_END), 0);
    fclose(file);
}

static void refuses_every_truncation(void **state)
{
    (void)state;
    int saved;
    FILE *silence = silence_begin(&saved);
    for (size_t i = 0; i < n_rows("decode"); i++) {
        row r = row_of("decode", i);
        fv_file_map map;
        fv_image image;
        assert_ok(fv_file_open_map(r.path, &map));
        size_t end =
            map.size - (strstr(r.file, ".tif") ? 4 : 0); /* these may be the end of a list of pages */
        for (size_t size = 0; size < end; size += size < 64 || map.size - size < 32 ? 1 : map.size / 24) {
            uint8_t *copy = malloc(size + 1); /* so that a sanitizer sees any read past the end */
            assert_non_null(copy);
            memcpy(copy, map.data, size);
            if (fv_image_decode(copy, size, r.file, FV_IMAGE_MAX_PIXELS, &image) != FV_ERR_FORMAT)
                fail_msg("%s is taken when cut to %zu bytes", r.file, size);
            assert_non_null(strstr(fv_error_text(), r.file));
            assert_null(image.rgb);
            free(copy);
        }
        fv_file_close_map(&map);
    }
    silence_end(silence, saved);
}

static void survives_damage(void **state)
{
    (void)state;
    uint32_t seed = 3;
    int saved;
    FILE *silence = silence_begin(&saved);
    for (size_t i = 0; i < n_rows("decode"); i++) {
        row r = row_of("decode", i);
        fv_file_map map;
        assert_ok(fv_file_open_map(r.path, &map));
        uint8_t *copy = malloc(map.size);
        assert_non_null(copy);
        for (int round = 0; round < 100; round++) {
            fv_image image;
            memcpy(copy, map.data, map.size);
            for (int flip = 0; flip <= round % 4; flip++)
                copy[next_random(&seed) % map.size] ^= (uint8_t)(1U << next_random(&seed) % 8);
            fv_err err = fv_image_decode(copy, map.size, r.file, 1 << 16, &image);
            assert_true(err == FV_OK || (err == FV_ERR_FORMAT && !image.rgb && fv_error_text()[0]));
            fv_image_fini(&image);
        }
        free(copy);
        fv_file_close_map(&map);
    }
    silence_end(silence, saved);
}

/* The header of a PNG of 8-bit RGB, its checksum included, then the start of its data. */
static const uint8_t huge_png[] =
    "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\1\x86\xa0\0\1\x86\xa0\x8\2\0\0\0\x27\x30\x9c\x9f"
    "\0\0\0\0IDAT";
static const uint8_t lying_png[] =
    "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x27\x10\0\0\x27\x10\x8\2\0\0\0\x35\x2c\xf5\x70"
    "\0\0\0\0IDAT";
/* One baseline component of 65500 x 65500. */
static const uint8_t huge_jpeg[] =
    "\xff\xd8\xff\xc0\0\x0b\x08\xff\xdc\xff\xdc\1\1\x11\0\xff\xda\0\x08\1\1\0\0\x3f\0";

/* The headers of a GIF, a BMP and a TIFF. */
static const uint8_t huge_gif[] = "GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\2\1\0\0;";
static const uint8_t huge_bmp[] = "BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\xa0\x86\1\0\xa0\x86\1\0\1\0\x18\0"
                                  "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
static const uint8_t huge_tiff[] =
    "II*\0\x8\0\0\0\4\0\0\1\4\0\1\0\0\0\xa0\x86\1\0\1\1\4\0\1\0\0\0\xa0\x86\1\0"
    "\x11\1\4\0\1\0\0\0\x8\0\0\0\x17\1\4\0\1\0\0\0\4\0\0\0\0\0\0\0";

static void says_what_is_wrong(void **state)
{
    (void)state;
    fv_image image;
    const int64_t max = FV_IMAGE_MAX_PIXELS;
    assert_fails(fv_image_load("/nonexistent/x.png", &image), FV_ERR_IO, "/nonexistent/x.png");
    assert_fails(fv_image_decode(NULL, 0, "a.png", max, &image), FV_ERR_FORMAT, "a.png is empty");
    assert_fails(fv_image_decode("abcdefgh", 8, "a.x", max, &image), FV_ERR_FORMAT, "61 62 63 64");
    assert_fails(fv_image_decode("GIF89a..", 8, "a.gif", max, &image), FV_ERR_FORMAT,
                 "a.gif: the GIF ends too early");
    assert_fails(fv_image_decode("BMxxxxxxxxxx", 12, "a.bmp", max, &image), FV_ERR_FORMAT,
                 "a.bmp: the BMP ends too");
    assert_fails(fv_image_decode("II*\0xxxxxxxxxx", 14, "a.tif", max, &image), FV_ERR_FORMAT,
                 "a.tif: not a TIFF");
    assert_fails(fv_image_decode(huge_png, sizeof huge_png - 1, "h.png", max, &image), FV_ERR_FORMAT,
                 "h.png: 100000 x 100000 pixels, at most 178956970");
    assert_fails(fv_image_decode(huge_jpeg, sizeof huge_jpeg - 1, "h.jpg", max, &image), FV_ERR_FORMAT,
                 "h.jpg: 65500 x 65500 pixels, at most 178956970");
    assert_fails(fv_image_decode(huge_gif, sizeof huge_gif - 1, "h.gif", max, &image), FV_ERR_FORMAT,
                 "h.gif: 65535 x 65535 pixels, at most 178956970");
    assert_fails(fv_image_decode(huge_bmp, sizeof huge_bmp - 1, "h.bmp", max, &image), FV_ERR_FORMAT,
                 "h.bmp: 100000 x 100000 pixels, at most 178956970");
    assert_fails(fv_image_decode(huge_tiff, sizeof huge_tiff - 1, "h.tif", max, &image), FV_ERR_FORMAT,
                 "h.tif: 100000 x 100000 pixels, at most 178956970");
    assert_fails(fv_image_decode(lying_png, sizeof lying_png - 1, "l.png", max, &image), FV_ERR_FORMAT,
                 "cannot come from a PNG of 41 bytes");
    assert_fails(fv_image_decode(huge_png, 30, "h.png", max, &image), FV_ERR_FORMAT, "ends too early");
}

/* Files that people give as images. */
static void names_what_it_is_not(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        const char *name;
    } kinds[] = {
        {"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n", 60, "is a Git-LFS pointer"},
        {"\0\0\0\x18"
         "ftypheic\0\0\0\0mif1heic",
         24, "is a HEIC image"},
        {"\0\0\0\x18"
         "ftypmif1\0\0\0\0mif1heic",
         24, "is a HEIC image"},
        {"\0\0\0\x18"
         "ftypmif1\0\0\0\0mif1miaf",
         24, "is a HEIF image"},
        {"\0\0\0\x1c"
         "ftypavif\0\0\0\0avifmif1miaf",
         28, "is an AVIF image"},
        {"\0\0\0\x1c"
         "ftypmif1\0\0\0\0mif1avifmiaf",
         28, "is an AVIF image"},
        {"\0\0\0\x18"
         "ftypisom\0\0\2\0isommp41",
         24, "is a video"},
        {"\0\0\0\x0cJXL \r\n\x87\n", 12, "is a JPEG XL image"},
        {"\0\0\0\x0cjP  \r\n\x87\n", 12, "is a JPEG 2000 image"},
        {"%PDF-1.4", 8, "is a PDF document"},
        {"<svg xmlns=", 11, "is an SVG drawing"},
        {"<!DOCTYPE html><html>", 21, "is a web page"},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        fv_image image;
        assert_fails(fv_image_decode(kinds[i].bytes, kinds[i].size, "x", 1 << 20, &image), FV_ERR_FORMAT,
                     kinds[i].name);
    }
}

static void make_small(const char *name, int is_checked)
{
    static const int sizes[] = {500, 500};
    const fv_image_fit fit = {.context = sizes, .size = fit_to, .filter = FV_FILTER_BICUBIC};
    fv_image image;
    int width = 0, height = 0;
    row r = {.file = name};
    fv_file_map map;
    assert_ok(fv_file_path(r.path, sizeof r.path, folder, name));
    const fv_image_file file = open_file(&r, &map);
    if (is_checked)
        assert_ok(fv_image_check(&file, &width, &height));
    assert_true(!is_checked || (width == 13370 && height == 13370));
    assert_ok(fv_image_read(&file, &fit, &image));
    fv_image_fini(&image);
    fv_file_close_map(&map);
}

/* 13370 x 13370 pixels of one bit, in some kilobytes: checked, and made small, in less than 32 megabytes. */
static void takes_no_more_memory_than_it_keeps(void **state)
{
    (void)state;
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    make_small("gray1.png", 1);
    make_small("gray1_interlaced.png", 0);
    getrusage(RUSAGE_SELF, &after);
    assert_true(after.ru_maxrss - before.ru_maxrss < 32 << 10);
}

static void encodes_what_it_decodes(void **state)
{
    (void)state;
    fv_image image, back;
    assert_ok(fv_image_load(row_of("decode", 0).path, &image));
    fv_buffer png = {0};
    assert_ok(fv_buffer_append(&png, "before", 6)); /* it appends */
    assert_ok(fv_image_encode_png(&image, &png));
    assert_ok(fv_image_decode(png.data + 6, png.size - 6, "png", FV_IMAGE_MAX_PIXELS, &back));
    assert_true(back.width == image.width && back.height == image.height);
    assert_memory_equal(back.rgb, image.rgb, (size_t)image.width * (size_t)image.height * 3);
    fv_image_fini(&back);
    fv_image_fini(&image);
    fv_buffer_fini(&png);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_no_more_memory_than_it_keeps), /* first: it looks at the highest mark */
        cmocka_unit_test(hashes),
        cmocka_unit_test(decodes_every_kind),
        cmocka_unit_test(drops_alpha_where_asked),
        cmocka_unit_test(resizes_on_the_way),
        cmocka_unit_test(checks_and_keeps_nothing),
        cmocka_unit_test(names_what_it_is_not),
        cmocka_unit_test(encodes_what_it_decodes),
        cmocka_unit_test(resizes_as_expected),
        cmocka_unit_test(same_bits_on_every_processor_and_thread_count),
        cmocka_unit_test(refuses_bad_sizes_and_filters),
        cmocka_unit_test(refuses_every_truncation),
        cmocka_unit_test(survives_damage),
        cmocka_unit_test(says_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
