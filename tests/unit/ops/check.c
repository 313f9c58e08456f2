/* The check back end: a faulty kernel of every kind is caught, and tensor memory is out of the host's reach.
 */
#include "test.h"

#include "fovea/ops/staging.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { T = 4, C = 6, STRIDE = 9, BYTES = 4096 };

/* A back end whose add is faulty in one way. */
typedef enum fault {
    NONE,
    UNWRITTEN,
    INPUT,
    BETWEEN_ROWS,
    PAST_THE_END,
    BEFORE_THE_START,
    PAST_THE_BLOCK,
    OF_MOODS
} fault;

static fault chosen;
static fv_backend_table sound, faulty;

static fv_err faulty_add(fv_backend *backend, const fv_add_args *args)
{
    fv_add_args fewer = *args;
    float *out = args->out.data;
    if (chosen == UNWRITTEN) {
        fewer.a = fv_tensor_rows(args->a, 0, T - 1);
        fewer.b = fv_tensor_rows(args->b, 0, T - 1);
        fewer.out = fv_tensor_rows(args->out, 0, T - 1);
    }
    fv_err err = sound.add(backend, &fewer);
    if (chosen == INPUT)
        ((float *)args->b.data)[C + 1] += 1.0f;
    if (chosen == BETWEEN_ROWS)
        out[C] = 0.0f;
    if (chosen == PAST_THE_END)
        out[(T - 1) * STRIDE + C] = 0.0f;
    if (chosen == BEFORE_THE_START)
        out[-1] = 0.0f;
    if (chosen == PAST_THE_BLOCK)
        out[BYTES / 4 - 128] = 0.0f;
    return err;
}

static fv_err faulty_copy(fv_backend *backend, const fv_copy_args *args)
{
    static int n_calls;
    int64_t n = args->in.dim[0] - (chosen == UNWRITTEN);
    fv_err err =
        sound.copy(backend, &(fv_copy_args){fv_tensor_rows(args->in, 0, n), fv_tensor_rows(args->out, 0, n)});
    if (chosen == OF_MOODS)
        *(char *)args->out.data = (char)n_calls++;
    return err;
}

/* Right for values of 0. */
static fv_err zero_attention(fv_backend *backend, const fv_attention_args *args)
{
    return sound.fill(backend, &(fv_fill_args){.x = args->out});
}

typedef struct fixture {
    fv_backend *backend;
    float *memory;
    fv_add_args add;
} fixture;

static int setup(void **state)
{
    static fixture f;
    fv_backend *inner;
    void *memory;
    if (fv_backend_cpu_create(NULL, 2, &inner) != FV_OK)
        return -1;
    sound = faulty = *inner->table;
    faulty.add = faulty_add;
    faulty.copy = faulty_copy;
    faulty.attention = zero_attention;
    inner->table = &faulty;
    if (fv_backend_check_create(inner, &f.backend) != FV_OK ||
        fv_backend_alloc(f.backend, BYTES, &memory) != FV_OK)
        return -1;
    f.memory = memory;
    f.add.a = fv_tensor_2d(f.memory, FV_F32, T, C);
    f.add.b = fv_tensor_2d(f.memory + 64, FV_F32, T, C);
    f.add.out = (fv_tensor){f.memory + 128, FV_F32, 2, {T, C, 1}, STRIDE};
    float zeros[T * C] = {0};
    if (fv_upload_array(f.backend, f.add.a, zeros) != FV_OK ||
        fv_upload_array(f.backend, f.add.b, zeros) != FV_OK)
        return -1;
    chosen = NONE;
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    fv_backend_free(f->backend, f->memory);
    fv_backend_destroy(f->backend);
    return 0;
}

static void test_faults_of_kernels(void **state)
{
    fixture *f = *state;
    assert_ok(fv_add(f->backend, &f->add));
    assert_int_equal(f->backend->timer[FV_OP_add].n_calls, 1);
    chosen = UNWRITTEN;
    assert_fails(fv_add(f->backend, &f->add), FV_ERR_INTERNAL, "add: output out was not written 108 bytes");
    chosen = INPUT;
    assert_fails(fv_add(f->backend, &f->add), FV_ERR_INTERNAL, "add: input b was changed");
    chosen = BETWEEN_ROWS;
    assert_fails(fv_add(f->backend, &f->add), FV_ERR_INTERNAL, "between its rows was changed, 24 bytes");
    chosen = PAST_THE_END;
    assert_fails(fv_add(f->backend, &f->add), FV_ERR_INTERNAL, "memory around output out");
    chosen = BEFORE_THE_START;
    assert_fails(fv_add(f->backend, &f->add), FV_ERR_INTERNAL, "was changed, -4 bytes");
}

/* Operands: an accumulated output is an input too; sharing memory is for those whose contract says so. */
static void test_directions(void **state)
{
    fixture *f = *state;
    float one[C] = {1, 1, 1, 1, 1, 1}, sum[C];
    fv_tensor out = fv_tensor_1d(f->memory + 512, FV_F32, C);
    assert_ok(fv_upload_array(f->backend, out, one));
    fv_colsum_args colsum = {.x = f->add.a, .out = out, .accumulate = 1};
    assert_ok(fv_colsum(f->backend, &colsum));
    assert_ok(fv_download_now(f->backend, out, sum));
    assert_memory_equal(sum, one, sizeof one);
    colsum.accumulate = 0;
    assert_ok(fv_colsum(f->backend, &colsum));
    assert_ok(fv_download_now(f->backend, out, sum));
    assert_true(sum[0] == 0.0f);

    fv_add_args add = {.a = f->add.a, .b = f->add.b, .out = f->add.b};
    assert_ok(fv_add(f->backend, &add));
    add.out = fv_tensor_2d(f->memory + 1, FV_F32, T, C);
    assert_fails(fv_add(f->backend, &add), FV_ERR_INTERNAL, "add: output out overlaps tensor a");
    fv_gelu_args gelu = {.x = f->add.a, .y = f->add.a};
    assert_fails(fv_gelu(f->backend, &gelu), FV_ERR_INTERNAL, "gelu: output y overlaps tensor x");
    /* Columns of one matrix do not overlap. */
    fv_tensor wide = fv_tensor_2d(f->memory + 256, FV_F32, T, 2 * C);
    assert_ok(fv_fill(f->backend, &(fv_fill_args){.x = wide, .value = 1.0f}));
    gelu = (fv_gelu_args){.x = fv_tensor_cols(wide, 0, C), .y = fv_tensor_cols(wide, C, C)};
    assert_ok(fv_gelu(f->backend, &gelu));
}

enum { N_WORDS = 1 << 16 };

/* Every lower half is one that a master may have. */
static void test_every_low_is_a_result(void **state)
{
    fixture *f = *state;
    static uint32_t master[N_WORDS];
    static uint16_t low[N_WORDS];
    void *memory;
    assert_ok(fv_backend_alloc(f->backend, 8 * sizeof low, &memory));
    fv_pair_split_args split = {.master = fv_tensor_1d(memory, FV_F32, N_WORDS),
                                .weight = fv_tensor_1d((char *)memory + 2 * sizeof master, FV_BF16, N_WORDS),
                                .low = fv_tensor_1d((char *)memory + sizeof master, FV_U16, N_WORDS)};
    for (uint32_t i = 0; i < N_WORDS; i++)
        master[i] = 0x3f810000u + i;
    assert_ok(fv_upload_array(f->backend, split.master, master));
    assert_ok(fv_pair_split(f->backend, &split));
    assert_ok(fv_download_now(f->backend, split.low, low));
    for (uint32_t i = 0; i < N_WORDS; i++)
        assert_int_equal(low[i], i + (i == 0x8000));
    fv_backend_free(f->backend, memory);
}

/* Of each type of integers: whatever is written is a result, and what is not is found. */
static void test_integers(void **state)
{
    static const fv_dtype dtypes[] = {FV_I64, FV_U64, FV_I32,  FV_U32,     FV_I16,    FV_U16,
                                      FV_I8,  FV_U8,  FV_BOOL, FV_F8_E4M3, FV_F8_E5M2};
    static const uint16_t patterns[] = {0x7ffd, 0x8002, 0x7ff9, 0x7ffe, 0xfdfd, 0x7f7f, 0x0202, 0, 0xffff};
    enum { ROWS = 5, COLS = 3 };
    fixture *f = *state;
    uint16_t words[ROWS * COLS * 8 / 2];
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes * sizeof patterns / sizeof *patterns; i++) {
        fv_dtype dtype = dtypes[i % (sizeof dtypes / sizeof *dtypes)];
        fv_copy_args copy = {fv_tensor_2d(f->memory, dtype, ROWS, COLS),
                             fv_tensor_2d(f->memory + 512, dtype, ROWS, COLS)};
        for (size_t j = 0; j < sizeof words / sizeof *words; j++)
            words[j] = patterns[i / (sizeof dtypes / sizeof *dtypes)];
        chosen = NONE;
        assert_ok(fv_upload_array(f->backend, copy.in, words));
        assert_ok(fv_copy(f->backend, &copy));
        chosen = UNWRITTEN;
        assert_fails(fv_copy(f->backend, &copy), FV_ERR_INTERNAL, "copy: output out was not written");
    }
}

static void test_a_call_that_cannot_be_repeated(void **state)
{
    fixture *f = *state;
    fv_copy_args copy = {fv_tensor_2d(f->memory, FV_I32, T, C), fv_tensor_2d(f->memory + 512, FV_I32, T, C)};
    chosen = OF_MOODS;
    assert_fails(fv_copy(f->backend, &copy), FV_ERR_INTERNAL, "is not the same when the call is repeated");
}

static void test_foreign_memory(void **state)
{
    fixture *f = *state;
    float host[T * C];
    fv_add_args add = f->add;
    add.b = fv_tensor_2d(host, FV_F32, T, C);
    assert_fails(fv_add(f->backend, &add), FV_ERR_INTERNAL, "add: tensor b is not within one block");
    add.b = fv_tensor_2d(f->memory + BYTES / 4 - C, FV_F32, T, C);
    assert_fails(fv_add(f->backend, &add), FV_ERR_INTERNAL, "runs past its block");
    assert_fails(fv_upload_array(f->backend, fv_tensor_1d(host, FV_F32, 2), host), FV_ERR_INTERNAL,
                 "upload: tensor to");
}

static void test_contents(void **state)
{
    fixture *f = *state;
    fv_tensor index = fv_tensor_1d(f->memory + 512, FV_I32, T);
    fv_scatter_args scatter = {.in = f->add.a, .index = index, .table = f->add.b};
    assert_ok(fv_upload_array(f->backend, index, (int32_t[]){9, 2, 9, 0}));
    assert_ok(fv_scatter(f->backend, &scatter));
    assert_ok(fv_upload_array(f->backend, index, (int32_t[]){1, 2, 0, 1}));
    assert_fails(fv_scatter(f->backend, &scatter), FV_ERR_ARGUMENT, "index names 1 twice");
}

typedef struct segments_case {
    int32_t segments[2][FV_SEGMENT_FIELDS];
    int32_t spans[2][FV_SPAN_FIELDS];
    const char *wrong; /* NULL: nothing */
} segments_case;

static void test_segments(void **state)
{
    static const segments_case cases[] = {
        {{{0, 1, 0, 0, 1, 2}, {1, 3, 0, 0, 2, 4}}, {{0, 2}, {2, 2}}, NULL},
        {{{0, 1, 0, 0, 1, 2}, {1, 4, 0, 0, 2, 4}}, {{0, 2}, {2, 2}}, "queries 1 + 4"},
        {{{0, 2, 0, 0, 1, 2}, {1, 3, 0, 0, 2, 4}}, {{0, 2}, {2, 2}}, "query 1, which another"},
        {{{0, 1, 0, 0, 1, 2}, {1, 2, 0, 0, 2, 4}}, {{0, 2}, {2, 2}}, "query 3 is in no segment"},
        {{{0, 1, 0, 0, 1, 2}, {1, 3, 0, 1, 2, 4}}, {{0, 2}, {2, 2}}, "spans 1 + 2"},
        {{{0, 1, 0, 0, 1, 2}, {1, 3, 0, 0, 2, 5}}, {{0, 2}, {2, 2}}, "expected its n_keys 5"},
        {{{0, 1, 0, 0, 1, 2}, {1, 3, 0, 0, 2, 4}}, {{0, 2}, {3, 2}}, "{3, 2}, expected rows of k"},
        {{{0, 1, 0, 0, 1, 0}, {1, 3, 0, 0, 2, 4}}, {{0, 2}, {2, 2}}, "a key for every query"},
    };
    fixture *f = *state;
    fv_tensor q = fv_tensor_3d(f->memory, FV_F32, T, 1, C);
    fv_attention_args args = {.q = q, .k = q, .v = q, .scale = 1.0f};
    args.out = fv_tensor_3d(f->memory + 256, FV_F32, T, 1, C);
    args.segments = fv_tensor_2d(f->memory + 512, FV_I32, 2, FV_SEGMENT_FIELDS);
    args.spans = fv_tensor_2d(f->memory + 640, FV_I32, 2, FV_SPAN_FIELDS);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_ok(fv_upload_array(f->backend, args.segments, cases[i].segments));
        assert_ok(fv_upload_array(f->backend, args.spans, cases[i].spans));
        if (cases[i].wrong)
            assert_fails(fv_attention(f->backend, &args), FV_ERR_ARGUMENT, cases[i].wrong);
        else
            assert_ok(fv_attention(f->backend, &args));
    }
}

/* In another process: the signal that ended it, 0 if it lived, -1 if it says that something is wrong. */
static int end_of(void (*deed)(fixture *), fixture *f)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGSEGV, SIG_DFL); /* not the test program's report */
        deed(f);
        _exit(0);
    }
    int status = 0;
    assert_true(waitpid(pid, &status, 0) == pid);
    return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status) ? -1 : 0;
}

static void touch(fixture *f)
{
    *(volatile float *)f->memory = 1.0f;
}

static void touch_after_a_call(fixture *f)
{
    assert_ok(fv_add(f->backend, &f->add));
    touch(f);
}

static void touch_after_an_upload(fixture *f)
{
    float zeros[T * C] = {0};
    assert_ok(fv_upload_array(f->backend, f->add.a, zeros));
    touch(f);
}

static void write_past_the_block(fixture *f)
{
    chosen = PAST_THE_BLOCK;
    assert_ok(fv_add(f->backend, &f->add));
}

static void test_memory_out_of_reach(void **state)
{
    fixture *f = *state;
    assert_int_equal(end_of(touch, f), SIGSEGV);
    assert_int_equal(end_of(touch_after_a_call, f), SIGSEGV);
    assert_int_equal(end_of(touch_after_an_upload, f), SIGSEGV);
    assert_int_equal(end_of(write_past_the_block, f), SIGSEGV);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_faults_of_kernels, setup, teardown),
        cmocka_unit_test_setup_teardown(test_directions, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_low_is_a_result, setup, teardown),
        cmocka_unit_test_setup_teardown(test_integers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_call_that_cannot_be_repeated, setup, teardown),
        cmocka_unit_test_setup_teardown(test_foreign_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_contents, setup, teardown),
        cmocka_unit_test_setup_teardown(test_segments, setup, teardown),
        cmocka_unit_test_setup_teardown(test_memory_out_of_reach, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
