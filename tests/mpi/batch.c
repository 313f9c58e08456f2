/* Every rank receives all groups, in the order of their prompt indices. */
#include "test.h"

#include "fovea/train/batch.h"

#include <stdlib.h>

static fv_comm *world;

/* Rank r has r groups: prompts r, r + size, ... */
static void test_share(void **state)
{
    (void)state;
    fv_batch batch = {0};
    int size = world->size, n_all = size * (size - 1) / 2;
    for (int i = 0; i < world->rank; i++) {
        fv_group group;
        assert_ok(fv_group_init(&group, world->rank + (int64_t)i * size, 7, 1 + i));
        for (int t = 0; t <= world->rank; t++)
            assert_ok(fv_tokens_push(&group.prompt, world->rank));
        assert_ok(fv_batch_add(&batch, &group));
    }
    assert_ok(fv_batch_share(&batch, world));
    assert_int_equal(batch.n, n_all);
    for (int i = 0; i < batch.n; i++) {
        const fv_group *g = &batch.groups[i];
        assert_true(i == 0 || g->prompt_index > batch.groups[i - 1].prompt_index);
        assert_int_equal(g->prompt.n, g->prompt_index % size + 1);
        assert_int_equal(g->prompt.ids[0], g->prompt_index % size);
        assert_int_equal(g->n_samples, 1 + g->prompt_index / size);
    }
    fv_batch_fini(&batch);
}

int main(void)
{
    if (fv_comm_world(&world) != FV_OK)
        return 1;
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_share)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fv_comm_destroy(world);
    return failed;
}
