/* Ranks of a node that see the same devices take one each; those that see their own take the first. Where
 * there is no driver, so that a list in the environment is all that is known. */
#include "test.h"

#include "fovea/comm/device.h"
#include "fovea/comm/driver.h"

#include <stdio.h>
#include <stdlib.h>

static fv_comm *world;

static fv_err choose(const char *list, fv_device *out)
{
    if (list)
        setenv("CUDA_VISIBLE_DEVICES", list, 1);
    else
        unsetenv("CUDA_VISIBLE_DEVICES");
    return fv_device_choose(world, out);
}

static void test_ranks_share_what_they_see(void **state)
{
    char name[16];
    fv_device device;
    (void)state;
    assert_ok(choose("3,2,1,0,GPU-5", &device));
    assert_int_equal(device.n_visible, 5);
    assert_int_equal(device.index, world->rank);
    snprintf(name, sizeof name, "%d", 3 - world->rank);
    assert_string_equal(device.name, name);
}

static void test_devices_of_ones_own(void **state)
{
    char list[16];
    fv_device device;
    (void)state;
    snprintf(list, sizeof list, "%d", world->rank);
    assert_ok(choose(list, &device));
    assert_int_equal(device.index, 0);
    assert_string_equal(device.name, list);
}

/* Two ranks see two devices each, of which they take both. */
static void test_pairs(void **state)
{
    fv_device device;
    (void)state;
    assert_ok(choose(world->rank < 2 ? "0,1" : "2,3", &device));
    assert_int_equal(device.index, world->rank % 2);
    assert_int_equal(atoi(device.name), world->rank);
}

static void test_too_few(void **state)
{
    char sentence[64];
    fv_device device;
    (void)state;
    fv_err err = choose("MIG-7", &device);
    assert_int_equal(device.index, world->rank == 0 ? 0 : -1);
    assert_string_equal(device.name, world->rank == 0 ? "MIG-7" : "none");
    snprintf(sentence, sizeof sentence, " has 1 devices for %d ranks ", world->size);
    if (world->size > 1)
        assert_fails(err, FV_ERR_ARGUMENT, sentence);
    else
        assert_ok(err);
}

static void test_none(void **state)
{
    static const char *const lists[] = {NULL, "", "-1", "NoDevFiles"};
    fv_device device;
    (void)state;
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        assert_ok(choose(lists[i], &device));
        assert_int_equal(device.index, -1);
        assert_int_equal(device.n_visible, 0);
        assert_string_equal(device.name, "none");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranks_share_what_they_see), cmocka_unit_test(test_devices_of_ones_own),
        cmocka_unit_test(test_pairs), cmocka_unit_test(test_too_few), cmocka_unit_test(test_none)};
    fv_driver driver;
    fv_driver_ask(&driver);
    if (driver.is_here)
        return 77;
    assert_ok(fv_comm_world(&world));
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fv_comm_destroy(world);
    return failed;
}
