/* Groups as bytes and as columns of a file: there and back; every cut, and every lying column, refused. */
#include "temp_folder.h"
#include "test.h"

#include "fovea/train/batch.h"

#include <hdf5.h>
#include <math.h>
#include <stdlib.h>

static void fill(fv_group *group, int64_t prompt_index, int n_samples)
{
    assert_ok(fv_group_init(group, prompt_index, 70 + prompt_index, n_samples));
    group->has_image = 1;
    group->low = (fv_grid){1, 2, 4};
    for (int32_t id = 0; id < 5 + prompt_index; id++)
        assert_ok(fv_tokens_push(&group->prompt, 100 + id));
    for (int i = 0; i < n_samples; i++) {
        fv_response *a = &group->responses[i];
        a->logprobs = calloc(8, sizeof *a->logprobs);
        a->loss_mask = calloc(8, 1);
        for (int t = 0; t < i; t++) {
            assert_ok(fv_tokens_push(&a->ids, t));
            a->logprobs[t] = -0.5f * (float)t;
            a->loss_mask[t] = 1;
        }
        a->reward.accuracy = 0.25 * i;
        a->turns[0].n = i;
    }
}

static void check_equal(const fv_group *a, const fv_group *b)
{
    assert_int_equal(a->prompt_index, b->prompt_index);
    assert_int_equal(a->row, b->row);
    assert_int_equal(a->low.w, b->low.w);
    assert_int_equal(a->prompt.n, b->prompt.n);
    assert_memory_equal(a->prompt.ids, b->prompt.ids, a->prompt.n * sizeof *a->prompt.ids);
    assert_int_equal(a->n_samples, b->n_samples);
    assert_int_equal(a->has_greedy, b->has_greedy);
    for (int i = 0; i < fv_group_size(a); i++) {
        const fv_response *x = &a->responses[i], *y = &b->responses[i];
        assert_int_equal(x->ids.n, y->ids.n);
        assert_int_equal(x->sample, y->sample);
        assert_true(x->reward.accuracy == y->reward.accuracy && x->turns[0].n == y->turns[0].n);
        if (x->ids.n == 0)
            continue;
        assert_memory_equal(x->ids.ids, y->ids.ids, x->ids.n * sizeof *x->ids.ids);
        assert_memory_equal(x->logprobs, y->logprobs, x->ids.n * sizeof *x->logprobs);
        assert_memory_equal(x->loss_mask, y->loss_mask, x->ids.n);
    }
}

static void test_there_and_back(void **state)
{
    (void)state;
    fv_group group, back;
    fv_buffer bytes = {0};
    size_t used;
    fill(&group, 3, 4);
    assert_ok(fv_group_add_greedy(&group));
    group.responses[4].reward.accuracy = 0.75;
    assert_ok(fv_group_pack(&group, &bytes));
    size_t size = bytes.size;
    assert_ok(fv_buffer_append(&bytes, "more", 4));
    assert_ok(fv_group_unpack(bytes.data, bytes.size, &used, &back));
    assert_int_equal(used, size);
    check_equal(&group, &back);
    fv_group_fini(&back);
    for (size_t cut = 0; cut < size; cut++) {
        char *part = malloc(cut + 1); /* so that reading past it is seen */
        memcpy(part, bytes.data, cut);
        assert_fails(fv_group_unpack(part, cut, &used, &back), FV_ERR_FORMAT, "");
        assert_null(back.responses);
        free(part);
    }
    fv_group_fini(&group);
    fv_buffer_fini(&bytes);
}

static void test_a_batch_is_ordered_by_prompt_index(void **state)
{
    (void)state;
    fv_comm *self;
    fv_batch batch = {0};
    assert_ok(fv_comm_self(&self));
    const int64_t prompts[] = {5, 1, 3};
    for (int i = 0; i < 3; i++) {
        fv_group group;
        fill(&group, prompts[i], 1);
        assert_ok(fv_batch_add(&batch, &group));
        assert_null(group.responses);
    }
    assert_ok(fv_batch_share(&batch, self));
    for (int i = 0; i < 3; i++)
        assert_int_equal(batch.groups[i].prompt_index, 2 * i + 1);
    fv_batch_fini(&batch);
    fv_comm_destroy(self);
}

/* Groups of different sizes, one of them just begun. */
static void fill_batch(fv_batch *batch)
{
    for (int i = 0; i < 4; i++) {
        fv_group group;
        fill(&group, i, 1 + i);
        if (i == 2)
            assert_ok(fv_group_add_greedy(&group));
        group.responses[i].n_turns = 1 + i;
        group.responses[i].turns[i].first = 3;
        group.responses[i].reward.has_verdict = i % 2;
        assert_ok(fv_batch_add(batch, &group));
    }
}

static void test_columns(void **state)
{
    (void)state;
    fv_hdf5 *file;
    fv_batch batch = {0}, back, empty = {0};
    fill_batch(&batch);
    assert_ok(fv_hdf5_create(temp_path("b.h5"), &file));
    assert_ok(fv_batch_write(&batch, file, "state/batch"));
    assert_ok(fv_batch_write(&empty, file, "empty"));
    assert_ok(fv_hdf5_close(file));
    assert_ok(fv_hdf5_open(temp_path("b.h5"), &file));
    assert_ok(fv_batch_read(file, "empty", &back));
    assert_int_equal(back.n, 0);
    fv_batch_fini(&back);
    assert_ok(fv_batch_read(file, "state/batch", &back));
    assert_int_equal(back.n, 4);
    for (int i = 0; i < 4; i++) {
        const fv_response *a = &batch.groups[i].responses[i], *b = &back.groups[i].responses[i];
        check_equal(&batch.groups[i], &back.groups[i]);
        assert_true(a->n_turns == b->n_turns && b->turns[i].first == 3);
        assert_int_equal(b->reward.has_verdict, i % 2);
    }
    fv_batch_fini(&back);
    assert_fails(fv_batch_read(file, "other", &back), FV_ERR_FORMAT, "other/group_prompt_index");
    assert_ok(fv_hdf5_close(file));
    fv_batch_fini(&batch);
}

/* A batch whose groups say that they have more than there is. */
static void test_lying_columns(void **state)
{
    (void)state;
    fv_hdf5 *file;
    fv_batch batch = {0}, back;
    fill_batch(&batch);
    for (int lie = 0; lie < 3; lie++) {
        fv_group *group = &batch.groups[1];
        size_t n_ids = group->responses[1].ids.n;
        int n_turns = group->responses[0].n_turns;
        uint8_t why = (uint8_t)group->responses[0].reward.why;
        group->responses[1].ids.n = lie == 0 ? 0 : n_ids; /* read again with what was written of it */
        group->responses[0].n_turns = lie == 1 ? 0 : n_turns;
        group->responses[0].reward.why = lie == 2 ? FV_N_UNJUDGED : why;
        assert_ok(fv_hdf5_create(temp_path("lie.h5"), &file));
        assert_ok(fv_batch_write(&batch, file, "b"));
        assert_ok(fv_hdf5_close(file));
        group->responses[1].ids.n = n_ids;
        group->responses[0].n_turns = n_turns;
        group->responses[0].reward.why = why;
        assert_ok(fv_hdf5_open(temp_path("lie.h5"), &file));
        if (lie == 0) { /* fewer ids, but all of it fits together */
            assert_ok(fv_batch_read(file, "b", &back));
            assert_int_equal(back.groups[1].responses[1].ids.n, 0);
            fv_batch_fini(&back);
        } else {
            assert_fails(fv_batch_read(file, "b", &back), FV_ERR_FORMAT, "a response of");
            assert_int_equal(back.n, 0);
        }
        assert_ok(fv_hdf5_close(file));
    }
    fv_batch_fini(&batch);
}

/* What no run leaves, each in a batch that is otherwise well. */
typedef void (*spoil)(fv_group *group);

static void spoil_grid(fv_group *g)
{
    g->high.h = 0;
}
static void spoil_odd_grid(fv_group *g)
{
    g->low.w = 3;
}
static void spoil_flag(fv_group *g)
{
    g->has_image = 7;
}
static void spoil_prompt(fv_group *g)
{
    g->prompt.ids[0] = 512;
}
static void spoil_token(fv_group *g)
{
    g->responses[2].ids.ids[1] = -1;
}
static void spoil_turn(fv_group *g)
{
    g->responses[2].turns[0].n = 3;
}
static void spoil_first(fv_group *g)
{
    g->responses[2].turns[0].first = 1000;
}
static void spoil_logprob(fv_group *g)
{
    g->responses[2].logprobs[0] = NAN;
}
static void spoil_mask(fv_group *g)
{
    g->responses[2].loss_mask[0] = 2;
}
static void spoil_sample(fv_group *g)
{
    g->responses[2].sample = 0;
}
static void spoil_accuracy(fv_group *g)
{
    g->responses[2].reward.accuracy = 1e30;
}
static void spoil_kl(fv_group *g)
{
    g->responses[2].reward.kl = INFINITY;
}

static void test_what_no_run_leaves(void **state)
{
    (void)state;
    static const struct {
        spoil how;
        const char *reason;
    } cases[] = {{spoil_grid, "the size of its image"},
                 {spoil_odd_grid, "the size of its image"},
                 {spoil_flag, "what it has"},
                 {spoil_prompt, "the tokens of its prompt"},
                 {spoil_token, "sample 2 of group 0 cannot be: its tokens"},
                 {spoil_turn, "its turns"},
                 {spoil_first, "its turns"},
                 {spoil_logprob, "its log-probabilities"},
                 {spoil_mask, "its log-probabilities"},
                 {spoil_sample, "its number"},
                 {spoil_accuracy, "its reward"},
                 {spoil_kl, "its reward"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fv_group group;
        fv_batch batch = {0};
        fill(&group, 0, 3);
        group.high = (fv_grid){1, 4, 8};
        assert_ok(fv_batch_add(&batch, &group));
        assert_ok(fv_batch_check(&batch, 512, 2));
        cases[i].how(&batch.groups[0]);
        assert_fails(fv_batch_check(&batch, 512, 2), FV_ERR_FORMAT, cases[i].reason);
        fv_batch_fini(&batch);
    }
}

/* More samples than their table has: refused before there is memory for them. */
static void test_too_many_answers(void **state)
{
    (void)state;
    fv_hdf5 *file;
    fv_batch batch = {0}, back;
    fill_batch(&batch);
    assert_ok(fv_hdf5_create(temp_path("many.h5"), &file));
    assert_ok(fv_batch_write(&batch, file, "b"));
    assert_ok(fv_hdf5_close(file));
    hid_t id = H5Fopen(temp_path("many.h5"), H5F_ACC_RDWR, H5P_DEFAULT);
    hid_t set = H5Dopen2(id, "b/group_n_samples", H5P_DEFAULT);
    const uint64_t many[4] = {1, 2, 1 << 20, 4};
    assert_true(H5Dwrite(set, H5T_NATIVE_UINT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, many) >= 0);
    H5Dclose(set);
    H5Fclose(id);
    assert_ok(fv_hdf5_open(temp_path("many.h5"), &file));
    assert_fails(fv_batch_read(file, "b", &back), FV_ERR_FORMAT,
                 "a group of 1048576 responses, of which 8 are there");
    assert_ok(fv_hdf5_close(file));
    fv_batch_fini(&batch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_there_and_back),
                                       cmocka_unit_test(test_a_batch_is_ordered_by_prompt_index),
                                       cmocka_unit_test(test_columns),
                                       cmocka_unit_test(test_lying_columns),
                                       cmocka_unit_test(test_what_no_run_leaves),
                                       cmocka_unit_test(test_too_many_answers)};
    return cmocka_run_group_tests(tests, temp_setup, temp_teardown);
}
