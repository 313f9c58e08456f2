/* The suite: families of back ends, what is checked of a case on each, and a test for every operation. With
 * FOVEA_TEST_CUDA=1 the first CUDA device is a family, with FOVEA_TEST_CUDA=only the only one. With
 * FOVEA_TEST_EVERY=n the first and every n-th case of an operation are run, with every n-th of their parts:
 * for tools that make kernels far slower.
 *
 * usage: conform [operation] */
#include "suite.h"

#include "fovea/ops/cuda.h"

#include <math.h>
#include <stdlib.h>

enum { MAX_MEMBERS = 16 };

/* Back ends that give the same bits; those of another device are another family. */
typedef struct family {
    double slack;  /* how much wider than for the CPU its tolerances are */
    int is_device; /* of one rank, with products and attention of BF16 alone, whose weights are rounded to it
                    */
    int n;
    fv_backend *member[MAX_MEMBERS];
    char name[MAX_MEMBERS][64];
} family;

static family families[2];
static int n_families, every = 1; /* FOVEA_TEST_EVERY */

static void add_member(family *f, fv_backend *backend)
{
    snprintf(f->name[f->n], sizeof f->name[0], "%s with %d threads", backend->table->name,
             backend->n_threads);
    f->member[f->n++] = backend;
}

/* Every instruction set that is here on several threads, and once more under the check back end. The portable
 * kernels call fma() for every number, and that is too slow to do often. */
static void add_cpu(family *f)
{
    static const struct {
        const char *isa;
        int n_threads;
    } all[] = {{"avx512", 1}, {"avx512", 2}, {"avx512", 4},  {"avx2", 1},
               {"avx2", 3},   {"avx2", 4},   {"portable", 4}};
    fv_backend *backend = NULL, *check = NULL;
    f->slack = 1.0;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        fv_err err = fv_backend_cpu_create(all[i].isa, all[i].n_threads, &backend);
        if (err == FV_ERR_UNSUPPORTED)
            continue;
        assert_ok(err);
        add_member(f, backend);
    }
    assert_ok(fv_backend_cpu_create(NULL, 2, &backend));
    assert_ok(fv_backend_check_create(backend, &check));
    add_member(f, check);
}

/* Its exp, log and erf have errors of a few units in the last place and its sums another order, where the
 * tolerances of cases are those of the CPU's own. */
static void add_cuda(family *f)
{
    fv_backend *backend = NULL;
    f->slack = 10.0;
    f->is_device = 1;
    assert_ok(fv_backend_cuda_create(0, &backend));
    add_member(f, backend);
}

static double value_at(fv_tensor t, int64_t i)
{
    float value = 0;
    if (t.dtype == FV_F64)
        return ((const double *)t.data)[i];
    if (t.dtype == FV_U16)
        return ((const uint16_t *)t.data)[i];
    if (!fv_dtype_is_float(t.dtype))
        return (double)((const int32_t *)t.data)[i];
    fv_dtype_decode(t.dtype, (const char *)t.data + (size_t)i * fv_dtype_bytes(t.dtype), 1, &value);
    return (double)value;
}

/* What storing may add: half a unit in the last place, or of the smallest subnormal. */
static double rounding_of(fv_dtype dtype, double exact)
{
    if (dtype == FV_BF16)
        return 0x1p-8 * fabs(exact) + 0x1p-134;
    return dtype == FV_F16 ? 0x1p-11 * fabs(exact) + 0x1p-25 : 0.0;
}

static void check_near(const conform_case *c, const field *f, fv_tensor found, fv_tensor want, double near)
{
    for (int64_t i = 0; i < fv_tensor_count(found); i++) {
        double have = value_at(found, i), exact = value_at(want, i);
        if (have != exact &&
            !(fabs(have - exact) <= near * (1.0 + fabs(exact)) + rounding_of(found.dtype, exact)))
            fail_msg("%s: element %lld of %s is %.9g, expected %.9g", case_name(c), (long long)i, f->name,
                     have, exact);
    }
}

static void check_values(const conform_case *c, const any_args *found, double near)
{
    size_t mark = host_mark();
    any_args want = args_widen(c->op, c->args);
    operations[c->op].reference(&want);
    for (int i = 0; i < operations[c->op].n_fields; i++) {
        const field *f = &operations[c->op].fields[i];
        fv_tensor t = *args_field(found, f);
        if (t.data && field_writes(f))
            check_near(c, f, t, *args_field(&want, f), near);
    }
    host_release(mark);
}

static void check_same(const conform_case *c, const any_args *first, const any_args *found, const char *where,
                       const char *how)
{
    for (int i = 0; i < operations[c->op].n_fields; i++) {
        const field *f = &operations[c->op].fields[i];
        fv_tensor a = *args_field(first, f), b = *args_field(found, f);
        if (a.data && field_writes(f) &&
            memcmp(a.data, b.data, (size_t)fv_tensor_count(a) * fv_dtype_bytes(a.dtype)) != 0)
            fail_msg("%s on %s, %s: %s has other bits", case_name(c), where, how, f->name);
    }
}

static void check_layout(const conform_case *c, const any_args *first, fv_backend *backend, const char *where,
                         layout l)
{
    size_t mark = host_mark();
    any_args found = run_on(backend, c->op, c->args, l);
    check_same(c, first, &found, where, l.name);
    host_release(mark);
}

static const layout plain = {.name = "plain"}, apart = {.name = "rows apart", .apart = 1};

/* Outputs that may be the memory of inputs. */
static const sharing sharings[] = {
    {FV_OP_norm, {{"sum", "x"}}},
    {FV_OP_norm, {{"sum", "residual"}}},
    {FV_OP_rope, {{"out", "x"}}},
    {FV_OP_swiglu_grad, {{"dgate", "gate"}}},
    {FV_OP_swiglu_grad, {{"dup", "up"}}},
    {FV_OP_swiglu_grad, {{"dgate", "gate"}, {"dup", "up"}}},
    {FV_OP_vocab_grad, {{"dlogits", "logits"}}},
    {FV_OP_add, {{"out", "a"}}},
    {FV_OP_add, {{"out", "b"}}},
    {FV_OP_add_bias, {{"out", "in"}}},
};

static int can_share(const conform_case *c, const sharing *s)
{
    const fv_tensor *out = args_field(c->args, field_named(c->op, s->pairs[0][0]));
    return out->data && out->dtype == args_field(c->args, field_named(c->op, s->pairs[0][1]))->dtype;
}

static void check_sharings(const conform_case *c, const any_args *first, fv_backend *backend,
                           const char *where)
{
    for (size_t i = 0; i < sizeof sharings / sizeof *sharings; i++)
        if (sharings[i].op == c->op && can_share(c, &sharings[i]))
            for (int rows_apart = 0; rows_apart < 2; rows_apart++)
                check_layout(c, first, backend, where, (layout){"in place", rows_apart, &sharings[i]});
}

/* Without what the back end may leave out: all that it fuses is composed. */
static void check_composed(const conform_case *c, const any_args *first, fv_backend *backend,
                           const char *where)
{
    const fv_backend_table *fused = backend->table;
    fv_backend_table composed = *fused;
#define FV_OP(op, fields)
#define FV_OP_OPTIONAL(op, fields) composed.op = NULL;
#include "fovea/ops/ops.def"
#undef FV_OP
    backend->table = &composed;
    check_layout(c, first, backend, where, (layout){.name = "composed"});
    backend->table = fused;
}

/* With a plan that was made before; 0 where there are none. */
static int plan_attention(fv_backend *backend, fv_op op, any_args *args)
{
    fv_tensor q = *args_field(args, field_named(op, "q")), k = *args_field(args, field_named(op, "k"));
    fv_attention_plan_args plan = {.segments = *args_field(args, field_named(op, "segments")),
                                   .spans = *args_field(args, field_named(op, "spans")),
                                   .n_queries = q.dim[0],
                                   .n_heads = (int)q.dim[1],
                                   .n_kv_heads = (int)k.dim[1],
                                   .head_dim = (int)q.dim[2]};
    int64_t bytes = (int64_t)fv_attention_plan_bytes(backend, &plan);
    if (bytes == 0 || q.dim[0] == 0)
        return 0;
    plan.plan = zeros_1d(FV_U8, bytes);
    any_args made = run_on(backend, FV_OP_attention_plan, &plan, plain);
    *args_field(args, field_named(op, "plan")) =
        *args_field(&made, field_named(FV_OP_attention_plan, "plan"));
    return 1;
}

static void check_planned(const conform_case *c, const any_args *first, fv_backend *backend,
                          const char *where)
{
    size_t mark = host_mark();
    any_args args = args_copy(c->op, c->args);
    if (plan_attention(backend, c->op, &args)) {
        any_args found = run_on(backend, c->op, &args, plain);
        check_same(c, first, &found, where, "planned before");
    }
    host_release(mark);
}

static int is_attention(fv_op op)
{
    return op == FV_OP_attention || op == FV_OP_attention_grad;
}

static void check_member(const conform_case *c, const any_args *first, const family *f, int member)
{
    const conform_part *parts;
    fv_backend *backend = f->member[member];
    const char *where = f->name[member];
    check_layout(c, first, backend, where, plain);
    check_layout(c, first, backend, where, apart);
    check_sharings(c, first, backend, where);
    if (c->op == FV_OP_rope_store)
        check_composed(c, first, backend, where);
    if (is_attention(c->op))
        check_planned(c, first, backend, where);
    size_t mark = host_mark();
    int n_parts = parts_of(c, &parts);
    for (int i = 0; i < n_parts; i += every) {
        any_args args = args_copy(c->op, parts[i].args);
        if (is_attention(c->op) && i % 2 == 0)
            plan_attention(backend, c->op, &args);
        any_args found = run_on(backend, c->op, &args, i % 2 ? apart : plain);
        check_part(c, first, &parts[i], &found, where);
    }
    host_release(mark);
}

/* Products and attention: their first operand says in what they are computed. */
static int is_heavy(fv_op op)
{
    return op == FV_OP_gemm || is_attention(op);
}

/* Weights that are rounded to BF16 are off by 2^-9 of themselves, and so are their sums by at most: 2^-7 with
 * the values of the cases. The gradient rounds the weights and their gradients, and sums the products of both
 * over all queries. */
static double near_of(const family *f, const conform_case *c)
{
    if (f->is_device && c->op == FV_OP_attention)
        return 0x1p-7;
    return f->is_device && c->op == FV_OP_attention_grad ? 0x1p-5 : f->slack * c->near;
}

static int is_collective(fv_op op)
{
    return op == FV_OP_all_reduce || op == FV_OP_reduce_scatter || op == FV_OP_all_gather ||
           op == FV_OP_broadcast || op == FV_OP_all_best;
}

/* Whether the family computes the case at all: a device refuses groups of several ranks, and operands of
 * products that are no BF16. */
static int runs(const family *f, const conform_case *c)
{
    if (!f->is_device)
        return 1;
    if (is_collective(c->op))
        return (*(fv_comm *const *)c->args)->size == 1; /* their first argument is the group */
    if (!is_heavy(c->op))
        return 1;
    const fv_tensor *t = args_field(c->args, field_named(c->op, c->op == FV_OP_gemm ? "a" : "q"));
    return t->dtype == FV_BF16;
}

int conform_is_left_out(const conform_case *c)
{
    static int n_cases[FV_N_OPS];
    int n = ++n_cases[c->op];
    return n > 1 && n % every != 0;
}

void conform_as_it_is(const conform_case *c)
{
    for (int k = 0; k < n_families; k++) {
        const family *f = &families[k];
        if (!runs(f, c))
            continue;
        size_t mark = host_mark();
        any_args first = run_on(f->member[0], c->op, c->args, plain);
        check_values(c, &first, near_of(f, c));
        check_slopes(c, &first, f->slack);
        for (int i = 0; i < f->n; i++)
            check_member(c, &first, f, i);
        host_release(mark);
    }
}

void conform_rounds_once(const conform_case *c, const any_args *wide)
{
    for (int k = 0; k < n_families; k++) {
        fv_backend *backend = families[k].member[0];
        if (!runs(&families[k], c) || (families[k].is_device && is_heavy(c->op))) /* nothing is wide there */
            continue;
        size_t mark = host_mark();
        any_args found = run_on(backend, c->op, c->args, plain), want = run_on(backend, c->op, wide, plain);
        for (int i = 0; i < operations[c->op].n_fields; i++) {
            const field *f = &operations[c->op].fields[i];
            fv_tensor narrow = *args_field(&found, f), *t = args_field(&want, f);
            if (t->data && field_writes(f) && narrow.dtype == FV_BF16) {
                fv_tensor rounded = zeros_like(narrow);
                fv_dtype_encode(FV_BF16, t->data, fv_tensor_count(*t), rounded.data);
                *t = rounded;
            }
        }
        check_same(c, &want, &found, families[k].name[0], "beside fp32 rounded once");
        host_release(mark);
    }
}

static int setup(void **state)
{
    (void)state;
    const char *cuda = getenv("FOVEA_TEST_CUDA"), *share = getenv("FOVEA_TEST_EVERY");
    every = share && atoi(share) > 0 ? atoi(share) : 1;
    if (!cuda || strcmp(cuda, "only") != 0)
        add_cpu(&families[n_families++]);
    if (cuda)
        add_cuda(&families[n_families++]);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (int k = 0; k < n_families; k++)
        for (int i = 0; i < families[k].n; i++)
            fv_backend_destroy(families[k].member[i]);
    host_free();
    return 0;
}

#define FV_OP(op, fields)               \
    static void test_##op(void **state) \
    {                                   \
        (void)state;                    \
        size_t mark = host_mark();      \
        cases_##op();                   \
        host_release(mark);             \
    }
#include "fovea/ops/ops.def"
#undef FV_OP

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
#define FV_OP(op, fields) {#op, test_##op, NULL, NULL, NULL},
#include "fovea/ops/ops.def"
#undef FV_OP
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("conform", tests, setup, teardown);
}
