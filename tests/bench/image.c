/* Speed of the way from the bytes of a JPEG to a picture on one thread, in pixels of the file. The same bytes
 * decoded by libjpeg alone, by turns, are the ceiling.
 *
 * usage: bench_image [FILE]...      (further JPEG files) */
#include "bench.h"
#include "fovea/base/file.h"
#include "fovea/model/image/processor.h"
#include "fovea/base/rng.h"

#include <omp.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>

enum { ROUNDS = 9, WIDTH = 4000, HEIGHT = 3008, QUALITY = 90 };

/* What max_pixels may be: the class's own value, and that of the folders of Qwen2.5-VL. */
static const int64_t limits[] = {1280 * 28 * 28, 16384 * 28 * 28};

typedef struct jpeg {
    unsigned char *data; /* owned */
    unsigned long size;
    int width, height;
} jpeg;

/* Noise on every scale, weaker the finer it is, as in photographs: about 2 bits a pixel as a JPEG. */
static fv_err add_octave(fv_image *image, fv_rng_key key)
{
    fv_image fine;
    FV_TRY(fv_image_resize(image, image->width * 2, image->height * 2, FV_FILTER_BICUBIC, &fine));
    fv_image_fini(image);
    *image = fine;
    int n = image->width * image->height * 3, amplitude = 8 + 16384 / image->width;
    amplitude = amplitude > 64 ? 64 : amplitude;
    for (int i = 0; i < n; i++) {
        int value = image->rgb[i] + (int)((float)amplitude * (fv_rng_uniform(key, (uint32_t)(i / 3)) - 0.5f));
        image->rgb[i] = (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
    }
    return FV_OK;
}

static fv_err make_photograph(fv_image *out)
{
    fv_err err = FV_OK;
    FV_TRY(fv_image_init(out, "photograph", WIDTH >> 5, HEIGHT >> 5, FV_IMAGE_MAX_PIXELS));
    memset(out->rgb, 128, (size_t)out->width * (size_t)out->height * 3);
    for (uint32_t octave = 0; octave < 5 && err == FV_OK; octave++)
        err = add_octave(out, (fv_rng_key){.seed = 1, .step = octave});
    if (err != FV_OK)
        fv_image_fini(out);
    return err;
}

/* Errors of libjpeg end the program with its own sentence. */
static jpeg encode(const fv_image *image)
{
    struct jpeg_error_mgr error;
    struct jpeg_compress_struct info = {.err = jpeg_std_error(&error)};
    jpeg out = {.width = image->width, .height = image->height};
    jpeg_create_compress(&info);
    jpeg_mem_dest(&info, &out.data, &out.size);
    info.image_width = (JDIMENSION)image->width;
    info.image_height = (JDIMENSION)image->height;
    info.input_components = 3;
    info.in_color_space = JCS_RGB;
    jpeg_set_defaults(&info);
    jpeg_set_quality(&info, QUALITY, TRUE);
    jpeg_start_compress(&info, TRUE);
    while (info.next_scanline < info.image_height) {
        JSAMPROW row = image->rgb + (size_t)info.next_scanline * (size_t)image->width * 3;
        jpeg_write_scanlines(&info, &row, 1);
    }
    jpeg_finish_compress(&info);
    jpeg_destroy_compress(&info);
    return out;
}

/* As fast as the library goes with the settings that the pixels depend on. */
static void decode_alone(const jpeg *file, uint8_t *rgb)
{
    struct jpeg_error_mgr error;
    struct jpeg_decompress_struct info = {.err = jpeg_std_error(&error)};
    jpeg_create_decompress(&info);
    jpeg_mem_src(&info, file->data, file->size);
    jpeg_read_header(&info, TRUE);
    info.out_color_space = JCS_RGB;
    info.dct_method = JDCT_ISLOW;
    info.do_fancy_upsampling = TRUE;
    jpeg_start_decompress(&info);
    while (info.output_scanline < info.output_height) {
        JSAMPROW row = rgb + (size_t)info.output_scanline * info.output_width * 3;
        jpeg_read_scanlines(&info, &row, 1);
    }
    jpeg_finish_decompress(&info);
    jpeg_destroy_decompress(&info);
}

/* Where the time goes. */
typedef struct times {
    double alone[ROUNDS], decode[ROUNDS], resize[ROUNDS], whole[ROUNDS];
} times;

static fv_err run_round(const jpeg *file, const fv_processor *p, uint8_t *rgb, times *t, int round)
{
    fv_image image;
    fv_picture *picture;
    double start = bench_thread_now();
    decode_alone(file, rgb);
    double alone = bench_thread_now();
    FV_TRY(fv_image_decode(file->data, file->size, "benchmark", FV_IMAGE_MAX_PIXELS, &image));
    double decoded = bench_thread_now();
    FV_TRY(fv_processor_run(p, &image, &picture));
    double end = bench_thread_now();
    t->alone[round] = alone - start;
    t->decode[round] = decoded - alone;
    t->resize[round] = end - decoded;
    t->whole[round] = end - alone;
    fv_picture_release(picture);
    return FV_OK;
}

static void print_row(const char *name, const jpeg *file, fv_grid grid, times *t)
{
    double pixels = 1e-6 * file->width * file->height, alone = bench_median(t->alone, ROUNDS);
    double whole = bench_median(t->whole, ROUNDS);
    printf("%-22.22s %8.2f %9.2f %11d %8.1f %8.1f %8.1f %8.1f %7.0f%%\n", name, pixels,
           8e-6 * (double)file->size / pixels, (int)fv_grid_tokens(grid, 2),
           pixels / bench_median(t->decode, ROUNDS), pixels / bench_median(t->resize, ROUNDS), pixels / whole,
           pixels / alone, 100 * alone / whole);
}

static fv_err measure(const char *name, const jpeg *file, int64_t max_pixels)
{
    static times t;
    fv_processor p;
    fv_grid grid;
    fv_processor_init(&p);
    p.max_pixels = max_pixels;
    FV_TRY(fv_processor_grid(&p, file->width, file->height, &grid));
    uint8_t *rgb = malloc((size_t)file->width * (size_t)file->height * 3);
    fv_err err = FV_OK;
    FV_CHECK_DONE(rgb, FV_ERR_MEMORY, "no memory for %s", name);
    FV_TRY_DONE(run_round(file, &p, rgb, &t, 0));
    for (int round = 0; round < ROUNDS; round++)
        FV_TRY_DONE(run_round(file, &p, rgb, &t, round));
    print_row(name, file, grid, &t);
done:
    free(rgb);
    return err;
}

static fv_err run_image(const char *name, const fv_image *image)
{
    jpeg file = encode(image);
    fv_err err = FV_OK;
    for (int i = 0; i < 2 && err == FV_OK; i++)
        err = measure(name, &file, limits[i]);
    free(file.data);
    return err;
}

static fv_err run_file(const char *path)
{
    fv_image image;
    const char *slash = strrchr(path, '/');
    FV_TRY(fv_image_load(path, &image));
    fv_err err = run_image(slash ? slash + 1 : path, &image);
    fv_image_fini(&image);
    return err;
}

static fv_err run_photograph(void)
{
    fv_image image;
    FV_TRY(make_photograph(&image));
    fv_err err = run_image("made photograph", &image);
    fv_image_fini(&image);
    return err;
}

static fv_err run_all(char **files, int n_files)
{
    printf("%-22s %8s %9s %11s %8s %8s %8s %8s %8s\n", "Mpixel/s from JPEG", "Mpixel", "bit/pixel", "tokens",
           "decode", "resize", "both", "libjpeg", "share");
    FV_TRY(run_photograph());
    FV_TRY(run_file(BENCH_SOURCES "/tests/data/golden/images/019.jpg"));
    FV_TRY(run_file(BENCH_SOURCES "/tests/data/golden/images/two_col_40902.png"));
    for (int i = 0; i < n_files; i++)
        FV_TRY(run_file(files[i]));
    return FV_OK;
}

int main(int argc, char **argv)
{
    omp_set_num_threads(1);
    if (run_all(argv + 1, argc - 1) == FV_OK)
        return 0;
    fprintf(stderr, "%s\n", fv_error_text());
    return 1;
}
