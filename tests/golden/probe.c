/* Every figure of the reference implementation (float64) against fovea probe (fp32): positions and greedy
 * tokens equal; image features, logits, loss and the losses of AdamW steps within 1e-5; gradients within
 * 1e-4. And against fovea probe in bf16, within what rounding gives; with FOVEA_TEST_CUDA=1 on a device.
 *
 * usage: golden_probe [test]
 */
#include "temp_folder.h"

#include "fovea/model/hf/folder.h"
#include "fovea/io/hdf5/hdf5.h"
#include "fovea/io/json.h"

#include <math.h>

static void probe(const char *model, int number, const char *options)
{
    char command[16384];
    snprintf(command, sizeof command,
             "'%s' probe --model '%s/golden/%s' --case '%s/golden/%s/case%d.h5' --out '%s' %s",
             getenv("FOVEA"), getenv("TEST_DATA"), model, getenv("TEST_DATA"), model, number,
             temp_path("out.h5"), options);
    if (system(command) != 0)
        fail_msg("failed: %s", command);
}

/* The case's file and what probe wrote. */
typedef struct pair {
    fv_hdf5 *golden, *out;
} pair;

static pair open_pair(const char *model, int number)
{
    pair files;
    char path[4096];
    snprintf(path, sizeof path, "%s/golden/%s/case%d.h5", getenv("TEST_DATA"), model, number);
    assert_ok(fv_hdf5_open(path, &files.golden));
    assert_ok(fv_hdf5_open(temp_path("out.h5"), &files.out));
    return files;
}

static void close_pair(pair files)
{
    assert_ok(fv_hdf5_close(files.golden));
    assert_ok(fv_hdf5_close(files.out));
}

static void check_close(const double *golden, const double *ours, size_t n, double bound, const char *what)
{
    double difference = 0, square = 0;
    for (size_t i = 0; i < n; i++) {
        difference += (golden[i] - ours[i]) * (golden[i] - ours[i]);
        square += golden[i] * golden[i];
    }
    if (!(sqrt(difference) <= bound * sqrt(square)))
        fail_msg("%s: relative difference %g", what, sqrt(difference / square));
}

static void compare_named(pair files, const char *name_golden, const char *name, double bound)
{
    void *golden, *ours;
    size_t n_golden, n;
    assert_ok(fv_hdf5_read(files.golden, name_golden, FV_F64, &golden, &n_golden));
    assert_ok(fv_hdf5_read(files.out, name, FV_F64, &ours, &n));
    assert_int_equal(n, n_golden);
    check_close(golden, ours, n, bound, name);
    free(golden);
    free(ours);
}

static void compare(pair files, const char *name, double bound)
{
    compare_named(files, name, name, bound);
}

static void compare_equal(pair files, const char *name)
{
    void *golden, *ours;
    size_t n_golden, n;
    assert_ok(fv_hdf5_read(files.golden, name, FV_I32, &golden, &n_golden));
    assert_ok(fv_hdf5_read(files.out, name, FV_I32, &ours, &n));
    assert_int_equal(n, n_golden);
    assert_memory_equal(golden, ours, n * sizeof(int32_t));
    free(golden);
    free(ours);
}

static void check_case(const char *model, int number)
{
    probe(model, number, "");
    pair files = open_pair(model, number);
    compare(files, "logits", 1e-5);
    compare(files, "loss", 1e-5);
    compare_equal(files, "greedy");
    if (fv_hdf5_has(files.golden, "position_ids"))
        compare_equal(files, "position_ids");
    if (fv_hdf5_has(files.golden, "image_features"))
        compare(files, "image_features", 1e-5);
    close_pair(files);
}

static void test_forward(void **state)
{
    (void)state;
    for (int number = 0; number < 4; number++)
        check_case("qwen2_5_vl", number);
    check_case("qwen2", 0);
    check_case("qwen3", 0);
}

/* YaRN beside "rope_parameters", as a file edited by hand has it. */
static void test_yarn(void **state)
{
    (void)state;
    probe("yarn", 0, "");
    pair files = open_pair("yarn", 0);
    compare(files, "logits", 1e-5);
    close_pair(files);
}

/* The reference names its gradients as transformers 5 does; the folder has the names of transformers 4. */
static void check_gradients(int number, const char *options, double bound)
{
    const fv_name_style reference = {"model.language_model.", "model.visual."};
    char ours[FV_TENSOR_NAME_BYTES + 8] = "grad/", golden[FV_TENSOR_NAME_BYTES + 8] = "grad/";
    fv_folder folder;
    assert_ok(fv_folder_open(test_data("golden/qwen2_5_vl"), &folder));
    probe("qwen2_5_vl", number, options);
    pair files = open_pair("qwen2_5_vl", number);
    for (int i = 0; i < folder.params.n; i++) {
        fv_folder_tensor_name(&folder, i, ours + 5);
        fv_name_style_apply(reference, folder.params.items[i].name, golden + 5);
        compare_named(files, golden, ours, bound);
    }
    close_pair(files);
    fv_folder_close(&folder);
}

static void test_gradients(void **state)
{
    (void)state;
    check_gradients(1, "--grad", 1e-4);
    check_gradients(2, "--grad --recompute", 1e-4);
}

/* Each time that a number is stored it is off by 2^-9 of itself or so; there are fewer than 100 times between
 * a token or a pixel and what is compared, whose errors add up like their root: 10 2^-9. Twice that after the
 * way back. */
static void test_bf16(void **state)
{
    (void)state;
    int is_cuda = getenv("FOVEA_TEST_CUDA") != NULL;
    const double bound = 10 * 0x1p-9;
    const char *const models[] = {"qwen2_5_vl", "qwen2_5_vl", "qwen2", "qwen3"};
    for (int i = 0; i < 4; i++) {
        int number = i < 2 ? i + 1 : 0;
        probe(models[i], number, is_cuda ? "--precision bf16 --backend cuda" : "--precision bf16");
        pair files = open_pair(models[i], number);
        compare(files, "logits", bound);
        compare(files, "loss", bound);
        if (fv_hdf5_has(files.golden, "image_features"))
            compare(files, "image_features", bound);
        close_pair(files);
    }
    check_gradients(1,
                    is_cuda ? "--grad --recompute --precision bf16 --backend cuda"
                            : "--grad --recompute --precision bf16",
                    2 * bound);
}

static void check_steps(const fv_json *golden, const fv_hdf5 *out, const char *in_golden, const char *in_out)
{
    enum { STEPS = 6 };
    double expected[STEPS];
    void *ours;
    size_t n;
    assert_ok(fv_hdf5_read(out, in_out, FV_F64, &ours, &n));
    assert_int_equal(n, STEPS);
    for (size_t i = 0; i < STEPS; i++)
        assert_ok(fv_json_to_real(fv_json_at(fv_json_get(golden, in_golden), i), in_golden, &expected[i]));
    check_close(expected, ours, STEPS, 1e-5, in_out);
    free(ours);
}

static void test_steps_of_adamw(void **state)
{
    (void)state;
    fv_json *summary;
    fv_hdf5 *out;
    assert_ok(fv_json_load(test_data("golden/summary.json"), &summary));
    probe("qwen2_5_vl", 1,
          "--steps 6 --lr 1e-3 --beta1 0.9 --beta2 0.999 --eps 1e-8 --weight-decay 0.01 --clip 1");
    assert_ok(fv_hdf5_open(temp_path("out.h5"), &out));
    const fv_json *golden = fv_json_get(summary, "adamw_case1");
    check_steps(golden, out, "losses", "losses");
    check_steps(golden, out, "grad_norms", "grad_norms");
    assert_ok(fv_hdf5_close(out));
    fv_json_destroy(summary);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_forward), cmocka_unit_test(test_yarn),
                                       cmocka_unit_test(test_gradients), cmocka_unit_test(test_bf16),
                                       cmocka_unit_test(test_steps_of_adamw)};
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, temp_setup, temp_teardown);
}
