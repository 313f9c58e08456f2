/* The self-test of a back end: a sound one passes, and each fault is found and named. */
#include "test.h"

#include "fovea/ops/self_test.h"

static fv_backend_table table; /* a sound one's, but for one function */
static const fv_backend_table *sound;
static int n_products;

static fv_backend *open_backend(void)
{
    fv_backend *backend;
    assert_ok(fv_backend_cpu_create(NULL, 2, &backend));
    sound = backend->table;
    table = *sound;
    backend->table = &table;
    n_products = 0;
    return backend;
}

static void test_sound(void **state)
{
    (void)state;
    fv_backend *backend = open_backend();
    assert_ok(fv_backend_self_test(backend));
    fv_backend_destroy(backend);
}

static fv_err bad_download(fv_backend *backend, fv_stream stream, fv_tensor from, void *to)
{
    fv_err err = sound->download(backend, stream, from, to);
    ((char *)to)[5] ^= 4;
    return err;
}

static float *last_of(fv_tensor t)
{
    return (float *)t.data + fv_tensor_count(t) - 1;
}

static fv_err bad_product(fv_backend *backend, const fv_gemm_args *args)
{
    fv_err err = sound->gemm(backend, args);
    *last_of(args->c) += 1;
    return err;
}

/* The third repetition comes out otherwise; the first product is that of whole numbers. */
static fv_err unsteady_product(fv_backend *backend, const fv_gemm_args *args)
{
    fv_err err = sound->gemm(backend, args);
    if (++n_products == 5)
        *last_of(args->c) *= 1.0000002F;
    return err;
}

static fv_err other_alone(fv_backend *backend, const fv_gemm_args *args)
{
    fv_err err = sound->gemm(backend, args);
    if (args->c.dim[0] == 1)
        *last_of(args->c) *= 1.0000002F;
    return err;
}

static void check_found(fv_backend *backend, const char *sentence)
{
    assert_fails(fv_backend_self_test(backend), FV_ERR_DEVICE, sentence);
    fv_backend_destroy(backend);
}

static void test_faults(void **state)
{
    (void)state;
    fv_backend *backend = open_backend();
    table.download = bad_download;
    check_found(backend, "64 of 16777216 numbers that were copied there and back are other ones: its memory");
    backend = open_backend();
    table.gemm = bad_product;
    check_found(backend, "a product of whole numbers is wrong: row 511, column 511 is");
    backend = open_backend();
    table.gemm = unsteady_product;
    check_found(backend, "a product has other bits when it is computed again");
    backend = open_backend();
    table.gemm = other_alone;
    check_found(backend, "a product has other bits for a row alone than among others");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sound), cmocka_unit_test(test_faults)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
