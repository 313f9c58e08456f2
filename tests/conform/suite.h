/* The conformance suite of the operations: one list of cases that any back end runs, through the calls that
 * check and dispatch, uploads and downloads alone.
 *
 * A case is the arguments of one call. Its tensors are contiguous views of host memory that hold what the
 * operands hold before the call. conform() runs it on every family of back ends (suite.c) and checks
 *   values          against the plain reference in double precision of the same operation;
 *   slopes          of a backward operation, against differences of the reference along random directions;
 *   same bits       again, on every other member of the family, with rows apart and nothing aligned, and with
 *                   outputs in the memory of the inputs that the contract names;
 *   BF16            all of it but slopes, with what the operation stores rounded to BF16 (stored.c); and that
 *                   the result is that in fp32 of the same numbers, rounded once;
 *   invariance      of a forward operation: rows alone, in other places, among others and among more; and
 *                   columns alike, where a second case of the same call says that they are the "rows";
 *   surroundings    inputs and the memory around operands keep their bits.
 *
 * For each line of ops.def there are two functions: cases_<op>() calls conform() for its cases;
 * reference_<op>() does what the operation does, on tensors that are F64 in place of floats. */
#ifndef FOVEA_CONFORM_SUITE_H
#define FOVEA_CONFORM_SUITE_H

#include "test.h"

#include "fovea/ops/staging.h"

#define FV_OP(op, fields)  \
    void cases_##op(void); \
    void reference_##op(const fv_##op##_args *args);
#include "fovea/ops/ops.def"
#undef FV_OP

/* ---- cases ---- */

enum { CONFORM_SLOPES = 3 };

/* The tensor `gradient` holds, or was added to by, the gradient of the loss with respect to tensor `input`.
 */
typedef struct conform_slope {
    const char *input, *gradient;
    int added;
} conform_slope;

/* Arguments whose rows are rows of the case: row i is row from[i] (n). */
typedef struct conform_part {
    const void *args;
    const int64_t *from;
    int64_t n;
} conform_part;

typedef struct conform_case {
    fv_op op;
    const void *args; /* fv_<op>_args */
    double near;      /* |found - expected| is at most near * (1 + |expected|), for arithmetic in fp32 */
    const char *note; /* what shapes do not show, for messages; may be NULL */
    int64_t n_rows;   /* rows that do not depend on each other; 0: there is no such promise */
    const char *rows; /* names of the tensors whose dimension 0 counts rows, or several elements for each */
    const char *columns;       /* ... whose dimension 1 does */
    int every_place;           /* move each row to the place of every other, not only to some */
    const conform_part *parts; /* in place of those that follow from rows and columns */
    int n_parts;
    double (*loss)(const void *args); /* of the forward pass, on F64; with slopes */
    conform_slope slopes[CONFORM_SLOPES];
} conform_case;

enum { MAX_FIELDS = 12, MAX_ARGS_BYTES = 1024 };

/* Arguments of any operation. */
typedef union any_args {
    char bytes[MAX_ARGS_BYTES];
    int64_t aligned;
} any_args;

/* The case as it is, and with what its operation stores rounded to BF16. */
void conform(const conform_case *c);
void conform_as_it_is(const conform_case *c);
int conform_is_left_out(const conform_case *c); /* asked once of each case: FOVEA_TEST_EVERY */
/* What the case gives are the bits of what its arguments give in fp32 (wide), rounded once. */
void conform_rounds_once(const conform_case *c, const any_args *wide);
/* x, rounded if the case that is running stores BF16: for references of what is read again. */
double as_stored(double x);

/* CONFORM(gelu, args, .near = 1e-6): a case of an fv_gelu_args. */
#define CONFORM(name, arguments, ...) \
    conform(&(conform_case){.op = FV_OP_##name, .args = &(arguments), __VA_ARGS__})

/* ---- host memory ---- */

/* Tensors that live until the mark before them is released; the suite does it after the cases of an
 * operation. draw_: F32, normal with mean 0 and variance 1, other numbers at each call. */
fv_tensor draw_1d(int64_t n);
fv_tensor draw_2d(int64_t rows, int64_t cols);
fv_tensor draw_3d(int64_t n0, int64_t n1, int64_t n2);
fv_tensor zeros_1d(fv_dtype dtype, int64_t n);
fv_tensor zeros_2d(fv_dtype dtype, int64_t rows, int64_t cols);
fv_tensor zeros_3d(fv_dtype dtype, int64_t n0, int64_t n1, int64_t n2);
fv_tensor ints_1d(int64_t n, const int32_t *values);
fv_tensor zeros_like(fv_tensor t);
fv_tensor copy_of(fv_tensor t);

void *host_take(size_t bytes); /* zeros */
size_t host_mark(void);
void host_release(size_t mark);
void host_free(void);

/* Element (i, j) of a contiguous matrix; element i of a vector. */
static inline double *f64_at(fv_tensor t, int64_t i, int64_t j)
{
    return (double *)t.data + i * fv_tensor_row_count(t) + j;
}
static inline float *f32_at(fv_tensor t, int64_t i, int64_t j)
{
    return (float *)t.data + i * fv_tensor_row_count(t) + j;
}
static inline int64_t *i64_at(fv_tensor t, int64_t i, int64_t j)
{
    return (int64_t *)t.data + i * fv_tensor_row_count(t) + j;
}
static inline int32_t *i32_at(fv_tensor t, int64_t i, int64_t j)
{
    return (int32_t *)t.data + i * fv_tensor_row_count(t) + j;
}

/* Sum of the products of elements, both F64. */
double dot(fv_tensor a, fv_tensor b);

/* ---- operations as data ---- */

typedef enum direction { IN, OPT, OUT, OPTOUT, INOUT, OPTIO, ACC } direction;

typedef struct field {
    const char *name;
    size_t offset; /* in the arguments */
    direction direction;
    size_t accumulate; /* ACC: where the flag is */
} field;

typedef struct operation {
    size_t args_bytes;
    const field *fields;
    int n_fields;
    fv_err (*run)(fv_backend *backend, const void *args); /* check and dispatch */
    void (*reference)(const void *args);
} operation;

extern const operation operations[FV_N_OPS];

any_args args_copy(fv_op op, const void *args);
fv_tensor *args_field(const void *args, const field *f);
const field *field_named(fv_op op, const char *name);
int field_writes(const field *f);
int field_reads(const field *f, const void *args);
/* Every tensor in memory of its own, floats as F64. */
any_args args_widen(fv_op op, const void *args);
/* Run the reference on arguments whose tensors are F32, and round what it writes. */
void args_refer(fv_op op, const void *args);

/* ---- the parts of conform() ---- */

/* Two pairs of tensors, the first in the memory of the second. */
typedef struct sharing {
    fv_op op;
    const char *pairs[2][2];
} sharing;

typedef struct layout {
    const char *name;
    int apart;             /* rows are, and nothing is aligned to more than its elements */
    const sharing *shared; /* may be NULL */
} layout;

/* Run op on backend; what it wrote comes back in arguments whose outputs are host memory until released. */
any_args run_on(fv_backend *backend, fv_op op, const void *args, layout l);

/* Whether name is one of the words of a list. */
int lists(const char *list, const char *name);
/* The parts of the case, its own or made from its rows; returns how many. */
int parts_of(const conform_case *c, const conform_part **out);
/* What a part gave (found) are the bits of rows of the whole; where names the back end. */
void check_part(const conform_case *c, const any_args *whole, const conform_part *part, const any_args *found,
                const char *where);

void check_slopes(const conform_case *c, const any_args *found, double slack);

/* What a message says first: operation, shapes, note. Static storage. */
const char *case_name(const conform_case *c);

#endif
