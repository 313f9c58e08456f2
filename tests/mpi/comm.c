/* Every collective against its definition, at any number of ranks, and under a split. */
#include "test.h"

#include "fovea/comm/mailbox.h"

#include <stdlib.h>

static fv_comm *world;

static float value(int rank, size_t i)
{
    return (float)((rank * 7919 + (int)i * 1047) % 1000) * 0.37f - 180.0f;
}

/* sum(lo, hi) by its definition. */
static float tree(int lo, int hi, size_t i)
{
    int half = 1;
    if (hi - lo == 1)
        return value(lo, i);
    while (2 * half < hi - lo)
        half *= 2;
    return tree(lo, lo + half, i) + tree(lo + half, hi, i);
}

static void reduce_and_compare(fv_comm *comm, size_t n)
{
    float *data = malloc((n + 1) * sizeof *data);
    for (size_t i = 0; i < n; i++)
        data[i] = value(comm->rank, i);
    assert_ok(fv_comm_all_reduce_f32(comm, data, n));
    for (size_t i = 0; i < n; i++) {
        float sum = tree(0, comm->size, i);
        assert_memory_equal(&sum, &data[i], sizeof sum);
    }
    free(data);
}

static void test_all_reduce_sums_in_the_tree(void **state)
{
    (void)state;
    const size_t sizes[] = {0, 1, 7, 4096, 4097, 100003};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        reduce_and_compare(world, sizes[i]);
    double sum = world->rank + 0.5;
    assert_ok(fv_comm_all_reduce_f64(world, &sum, 1));
    assert_true(sum == world->size * (world->size - 1) / 2.0 + 0.5 * world->size);
}

static void test_gather_and_broadcast(void **state)
{
    (void)state;
    int32_t mine[3] = {world->rank, -world->rank, 5}, *all = malloc((size_t)world->size * sizeof mine);
    assert_ok(fv_comm_all_gather(world, mine, sizeof mine, all));
    for (int rank = 0; rank < world->size; rank++)
        assert_int_equal(all[3 * rank + 1], -rank);
    free(all);
    int32_t word = world->rank == world->size - 1 ? 42 : 0;
    assert_ok(fv_comm_broadcast(world, &word, sizeof word, world->size - 1));
    assert_int_equal(word, 42);
}

static void test_split_orders_by_key(void **state)
{
    (void)state;
    fv_comm *half;
    assert_ok(fv_comm_split(world, world->rank % 2, -world->rank, &half));
    int members = (world->size + 1 - world->rank % 2) / 2;
    assert_int_equal(half->size, members);
    assert_int_equal(half->rank, members - 1 - world->rank / 2);
    reduce_and_compare(half, world->rank % 2 ? 5000 : 6000);
    fv_comm_destroy(half);
}

static void test_agreement_carries_the_sentence(void **state)
{
    (void)state;
    assert_ok(fv_comm_agree(world, FV_OK));
    int last = world->size - 1;
    fv_err err = world->rank == last ? FV_FAIL(FV_ERR_IO, "cannot read row 7") : FV_OK;
    assert_fails(fv_comm_agree(world, err), FV_ERR_IO, "cannot read row 7");
    err = world->rank == 0 ? FV_FAIL(FV_STOPPED, "stopped") : err;
    assert_int_equal(fv_comm_agree(world, err), world->size == 1 ? FV_STOPPED : FV_ERR_IO);
    err = world->rank == 0 ? FV_FAIL(FV_STOPPED, "stopped") : FV_OK;
    assert_fails(fv_comm_agree(world, err), FV_STOPPED, "stopped");
    err = world->rank == last ? FV_FAIL(FV_BUSY, "no room") : err; /* nobody has waited for it: a fault */
    assert_fails(fv_comm_agree(world, err), FV_BUSY, "no room");
    assert_ok(fv_comm_barrier(world));
}

/* Every number is given exactly once, whoever asks how often. */
static void test_counter(void **state)
{
    (void)state;
    enum { EACH = 50 };
    fv_counter *counter;
    int64_t given[EACH + 8];
    assert_ok(fv_counter_create(world, &counter));
    int n = EACH + world->rank % 8, total = 0, is_closed;
    for (int i = 0; i < n; i++) {
        assert_ok(fv_counter_next(counter, &given[i]));
        assert_true(i == 0 || given[i] > given[i - 1]);
        assert_ok(fv_counter_poll(counter, &is_closed));
        assert_false(is_closed);
    }
    for (int rank = 0; rank < world->size; rank++)
        total += EACH + rank % 8;
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += (double)given[i] * (double)given[i];
    assert_ok(fv_comm_all_reduce_f64(world, &sum, 1));
    for (int i = 0; i < total; i++)
        sum -= (double)i * i;
    assert_true(sum == 0);
    fv_counter_destroy(counter);
}

/* Every rank learns of it, whoever closes, several of them too, and a rank that never polls disturbs nothing.
 */
static void test_counter_closes(void **state)
{
    (void)state;
    for (int closer = 0; closer < world->size; closer++) {
        fv_counter *counter;
        int is_closed = 0;
        assert_ok(fv_counter_create(world, &counter));
        if (world->rank == closer || world->rank == 0)
            assert_ok(fv_counter_close(counter));
        while (!is_closed && world->rank != world->size - 1)
            assert_ok(fv_counter_poll(counter, &is_closed));
        fv_counter_destroy(counter);
    }
}

/* Message i to a rank: as long as i and both ranks say, with bytes that tell it from any other. */
static size_t write_message(int from, int to, int i, char *out)
{
    static const size_t sizes[] = {0, 1, 100, 5000, 300000};
    size_t n = sizes[i % 5] + (size_t)(i ? from + 2 * to : 0);
    for (size_t k = 0; k < n; k++)
        out[k] = (char)(from * 31 + to * 7 + i * 3 + (int)k);
    return n;
}

static void test_messages(void **state)
{
    (void)state;
    enum { EACH = 20 };
    fv_mailbox *mailbox;
    fv_buffer message = {0};
    char *text = malloc(400000);
    int *n_heard = calloc((size_t)world->size, sizeof *n_heard), from;
    assert_true(text && n_heard);
    assert_ok(fv_mailbox_create(world, &mailbox));
    for (int i = 0; i < EACH; i++)
        for (int to = 0; to < world->size; to++)
            assert_ok(fv_mailbox_send(mailbox, to, text, write_message(world->rank, to, i, text)));
    for (int n = 0; n < EACH * world->size; n++) {
        do
            assert_ok(fv_mailbox_receive(mailbox, 1, &from, &message));
        while (from < 0);
        assert_int_equal(message.size, write_message(from, world->rank, n_heard[from]++, text));
        if (message.size > 0)
            assert_memory_equal(message.data, text, message.size);
    }
    assert_ok(fv_comm_barrier(world)); /* nobody is lost who still sends */
    assert_ok(fv_mailbox_receive(mailbox, 0.01, &from, &message));
    assert_int_equal(from, -1);
    fv_mailbox_destroy(mailbox);
    fv_buffer_fini(&message);
    free(n_heard);
    free(text);
}

int main(void)
{
    if (fv_comm_world(&world) != FV_OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_reduce_sums_in_the_tree),
        cmocka_unit_test(test_gather_and_broadcast),
        cmocka_unit_test(test_split_orders_by_key),
        cmocka_unit_test(test_counter),
        cmocka_unit_test(test_counter_closes),
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_agreement_carries_the_sentence),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fv_comm_destroy(world);
    return failed;
}
