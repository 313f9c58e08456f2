/* Base64: the vectors of RFC 4648, all bytes, and refusals. */
#include "test.h"

#include "fovea/base/text/base64.h"

static void check(const char *text, const char *expected)
{
    fv_buffer out = {0};
    assert_ok(fv_base64_decode(text, strlen(text), &out));
    assert_int_equal(out.size, strlen(expected));
    if (out.size)
        assert_memory_equal(out.data, expected, out.size);
    fv_buffer_fini(&out);
}

static void test_vectors(void **state)
{
    (void)state;
    check("", "");
    check("Zg==", "f");
    check("Zm8=", "fo");
    check("Zm9v", "foo");
    check("Zm9vYg==", "foob");
    check("Zm9vYmE=", "fooba");
    check("Zm9vYmFy", "foobar");
    check("++//", "\xfb\xef\xff");
}

static void test_refusals(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "Z", "Zg=", "Zg", "Zh==", "Zm9=", "Z===", "====", "Zg==Zg==", "Zm 8", "Zm8\n", "Zm8-", "Zm=v"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        fv_buffer out = {0};
        assert_fails(fv_base64_decode(bad[i], strlen(bad[i]), &out), FV_ERR_FORMAT, "");
        fv_buffer_fini(&out);
    }
    fv_buffer out = {0};
    assert_fails(fv_base64_decode("AA\0A", 4, &out), FV_ERR_FORMAT, "character 3");
    fv_buffer_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_vectors), cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
