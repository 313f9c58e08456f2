/* The matrix product. Every element of c is one chain of fused multiply-adds over k in order, so blocking,
 * packing and sharing among threads (over M and N alone) change no bit; between blocks of k the chain waits
 * in c, which is exact. Where k is cut into chunks, each is such a chain, and the tree of their sums is
 * walked as they end: sums that wait for others do so in the scratch, and so does all of c if it is BF16.
 *
 * Blocking follows Goto and van de Geijn (2008) with one level less: a block of op(a) is packed for the
 * second-level cache, and each panel of op(b) just before, or while, it is first used with that block. With
 * few rows, b is read once and not packed, and memory sets the speed. */
#include "gemm_tile.h"
#include "rows.h"

/* A block of op(a) has at most A_BLOCK numbers: ROWS rows of DEPTH steps, or fewer rows of more. */
enum { DEPTH = 256, A_BLOCK = ROWS * DEPTH, SERIAL_PRODUCTS = 50000 };
enum {
    WAIT = A_BLOCK + V_LANES + A_BLOCK / MR * NR, /* where the scratch of sums that wait begins, */
    MAX_LEVELS = 3,                               /* at most so many of one element, */
    WAIT_FLOATS = FV_CPU_SCRATCH_BYTES / (int)sizeof(float) - WAIT,
    TILE_FLOATS = MAX_LEVELS * MR * NR /* of these, what waits while one tile is worked on */
};
_Static_assert((MAX_LEVELS + 1) * ROWS * 8 * NR <= WAIT_FLOATS - TILE_FLOATS &&
                   FV_MAX_CHUNKS == 1 << MAX_LEVELS,
               "scratch");

/* c (m, n) [+]= a b [+ bias], b by its columns */
typedef struct product {
    operand a, b;
    operand bias; /* one line; at NULL: none */
    float *c;
    uint16_t *rounded; /* in place of c: BF16 */
    int64_t m, n, k, c_row;
    int accumulate, n_chunks;
    int64_t end[FV_MAX_CHUNKS]; /* of chunks, in steps */
    int is_deep; /* sums wait from block to block of k, not only while their tile is worked on */
} product;

/* Row i of n rows shared out evenly over parts starts part. */
static int64_t part_start(int64_t n, int64_t parts, int64_t part)
{
    return n * part / parts;
}

/* Rows of tiles. */
static int64_t tile_rows(const product *p)
{
    return (p->m + MR - 1) / MR;
}

V_INLINE void pack_lines(float *to, int width, operand x, int64_t lines, int64_t k, int is_bf16)
{
    for (int64_t s = 0; s < k; s++)
        for (int64_t i = 0; i < lines; i++)
            to[s * width + i] = s_load_as(x.at, i * x.line + s * x.step, is_bf16);
}

/* MR lines, contiguous along k; VN may be read. What a vector writes past its step, the next one overwrites.
 */
V_INLINE void pack_turned(float *to, operand x, int64_t k, int is_bf16)
{
    int64_t s = 0;
    for (; s + 4 <= k; s += 4) {
        vn out[4];
        load_steps(x.at, s, x.line, is_bf16, out);
        for (int r = 0; r < 4; r++)
            n_store(to + (s + r) * MR, out[r]);
    }
    pack_lines(to + s * MR, MR, operand_from(x, 0, s), MR, k - s, is_bf16);
}

V_INLINE void pack_copied(float *to, int width, operand x, int64_t k, int is_bf16)
{
    for (int64_t s = 0; s < k; s++)
        if (is_bf16)
            widen((const uint16_t *)x.at + s * x.step, width, to + s * width);
        else
            memcpy(to + s * width, (const float *)x.at + s * x.step, (size_t)width * sizeof(float));
}

/* k steps of MR lines or of NR: to[step * width + line]. lines may be read; the others are left as they are.
 */
V_INLINE void pack_as(float *to, int width, operand x, int64_t lines, int64_t k, int is_bf16)
{
    x.is_bf16 = is_bf16;
    if (x.step == 1 && width == MR && lines >= VN)
        pack_turned(to, x, k, is_bf16);
    else if (x.line == 1 && lines >= width)
        pack_copied(to, width, x, k, is_bf16);
    else
        pack_lines(to, width, x, lines < width ? lines : width, k, is_bf16);
}

V_INLINE void pack(float *to, int width, operand x, int64_t lines, int64_t k)
{
    if (x.is_bf16)
        pack_as(to, width, x, lines, k, 1);
    else
        pack_as(to, width, x, lines, k, 0);
}

#if defined(__AVX512F__)
#    define EACH_M(f) f(1) f(2) f(3) f(4) f(5) f(6) f(7) f(8) f(9) f(10) f(11) f(12) f(13) f(14)
#elif defined(__AVX2__)
#    define EACH_M(f) f(1) f(2) f(3) f(4) f(5) f(6)
#else
#    define EACH_M(f) f(1) f(2) f(3) f(4)
#endif
#define DEFINE(m)                             \
    static void tile_##m(const tile *t)       \
    {                                         \
        tile_run(t, m);                       \
    }                                         \
    static void strip_##m(const tile *t)      \
    {                                         \
        strip_run(t, m, 0);                   \
    }                                         \
    static void strip_bf16_##m(const tile *t) \
    {                                         \
        strip_run(t, m, 1);                   \
    }
#define TILE(m) tile_##m,
#define STRIP(m) {strip_##m, strip_bf16_##m},
EACH_M(DEFINE)
static void (*const tiles[])(const tile *) = {NULL, EACH_M(TILE)};
static void (*const strips[][2])(const tile *) = {{NULL}, EACH_M(STRIP)};

/* A tile with n < NR columns goes through a whole one. */
static void tile_edge(const tile *t, int64_t m, int64_t n)
{
    float c[MR * NR] = {0}, bias[NR] = {0};
    tile whole = *t;
    whole.c = c;
    whole.c_row = NR;
    for (int64_t i = 0; i < m && !t->fresh; i++)
        memcpy(c + i * NR, t->c + i * t->c_row, (size_t)n * sizeof(float));
    if (t->bias)
        whole.bias = memcpy(bias, t->bias, (size_t)n * (t->bias_is_bf16 ? sizeof(uint16_t) : sizeof(float)));
    tiles[m](&whole);
    for (int64_t i = 0; i < m; i++)
        memcpy(t->c + i * t->c_row, c + i * NR, (size_t)n * sizeof(float));
}

/* A whole tile by strips. */
static void tile_by_strips(tile t, int64_t m)
{
    for (int j = 0; j < NRV; j++) {
        strips[m][t.columns.is_bf16](&t);
        t.columns = operand_from(t.columns, VN, 0);
        t.c += VN;
        t.wait += VN;
        t.b = t.b ? t.b + VN : NULL;
        t.bias = t.bias ? (const char *)t.bias + VN * (t.bias_is_bf16 ? 2 : 4) : NULL;
    }
}

/* Columns [j, j + NR) of the product with the packed block of a. */
static void panel(const product *p, const float *a, int64_t j, int64_t from, tile t)
{
    int64_t parts = tile_rows(p), n = p->n - j;
    operand b = operand_from(p->b, j, from);
    int by_strips = b.step == 1 && n >= NR;
    float *wait = t.wait;
    if (n < NR)
        memset(t.b, 0, (size_t)(NR * t.k) * sizeof *t.b);
    if (!by_strips)
        pack(t.b, NR, b, n, t.k);
    else if (parts == 1)
        t.b = NULL;
    t.columns = b;
    t.bias = p->bias.at ? operand_from(p->bias, 0, j).at : NULL;
    for (int64_t part = 0, i = 0, m; part < parts; part++, i += m) {
        m = part_start(p->m, parts, part + 1) - i;
        t.a = a + part * MR * t.k;
        t.c = p->c + i * p->c_row + j;
        t.wait = wait + (p->is_deep ? (j / NR * parts + part) * MR * NR : 0);
        if (n < NR)
            tile_edge(&t, m, n);
        else if (by_strips && part == 0)
            tile_by_strips(t, m);
        else
            tiles[m](&t);
    }
}

/* The chunks that steps [from, from + t->k) are of; end receives where they end, counted from there. */
static void tile_chunks(const product *p, int64_t from, int64_t *end, tile *t)
{
    int64_t to = from + t->k;
    t->end = end;
    t->n_chunks = p->n_chunks;
    for (int c = 0; c < p->n_chunks; c++)
        end[c] = p->end[c] - from;
    while (from > 0 && p->end[t->first] <= from)
        t->first++;
    t->last = t->first;
    while (t->last + 1 < p->n_chunks && (p->end[t->last] < to || p->end[t->last + 1] <= to))
        t->last++;
    int begins = from == (t->first > 0 ? p->end[t->first - 1] : 0);
    t->fresh = begins && !(t->first == 0 && p->accumulate);
}

/* Steps [from, from + k) of the rows of one block. */
static void block(const product *p, int64_t from, int64_t k, float *scratch)
{
    int64_t parts = tile_rows(p), end[FV_MAX_CHUNKS];
    tile t = {.bias_is_bf16 = p->bias.is_bf16,
              .b = scratch + A_BLOCK + V_LANES,
              .wait = scratch + WAIT,
              .wait_level = p->is_deep ? (p->n + NR - 1) / NR * parts * MR * NR : MR * NR,
              .c_row = p->c_row,
              .k = k};
    tile_chunks(p, from, end, &t);
    for (int64_t part = 0; part < parts; part++) {
        int64_t i = part_start(p->m, parts, part);
        pack(scratch + part * MR * k, MR, operand_from(p->a, i, from), p->m - i, k);
    }
    for (int64_t j = 0; j < p->n; j += NR)
        panel(p, scratch, j, from, t);
}

static product product_part(const product *p, int64_t i, int64_t j)
{
    product q = *p;
    q.a = operand_from(p->a, i, 0);
    q.b = operand_from(p->b, j, 0);
    q.c = p->c ? p->c + i * p->c_row + j : NULL;
    q.rounded = p->rounded ? p->rounded + i * p->c_row + j : NULL;
    q.bias = p->bias.at ? operand_from(p->bias, 0, j) : p->bias;
    return q;
}

/* Steps in a block of so many rows. The columns of b are worth following as far as can be; its rows come a
 * few numbers at a time however deep the block is. */
static int64_t block_depth(const product *p, int64_t rows)
{
    return p->b.step == 1 ? A_BLOCK / ((rows + MR - 1) / MR * MR) : DEPTH;
}

static int64_t row_blocks(const product *p)
{
    return (p->m + ROWS - 1) / ROWS;
}

static product row_block(const product *p, int64_t part)
{
    int64_t i = part_start(p->m, row_blocks(p), part);
    product q = product_part(p, i, 0);
    q.m = part_start(p->m, row_blocks(p), part + 1) - i;
    return q;
}

static int64_t depth_of(const product *p)
{
    return block_depth(p, (p->m + row_blocks(p) - 1) / row_blocks(p));
}

static void multiply(const product *p, float *scratch)
{
    int64_t depth = depth_of(p), k = 0;
    do {
        int64_t steps = p->k - k < depth ? p->k - k : depth;
        for (int64_t part = 0; part < row_blocks(p); part++) {
            product q = row_block(p, part);
            block(&q, k, steps, scratch);
        }
        k += steps;
    } while (k < p->k);
}

/* c in BF16: its chains run in c as fp32 (m, whole panels) in the scratch, and are rounded once. */
static void multiply_rounded(const product *p, float *c, float *scratch)
{
    product q = *p;
    q.c = c;
    q.c_row = (p->n + NR - 1) / NR * NR;
    for (int64_t i = 0; i < p->m && p->accumulate; i++)
        widen(p->rounded + i * p->c_row, p->n, c + i * q.c_row);
    multiply(&q, scratch);
    for (int64_t i = 0; i < p->m; i++)
        narrow(c + i * q.c_row, p->n, p->rounded + i * p->c_row);
}

static int is_deep(const product *p)
{
    return p->n_chunks > 1 && p->k > depth_of(p);
}

/* Sums wait from block to block: as many rows and columns at once as the scratch has room for. */
static void multiply_waiting(const product *p, float *scratch)
{
    int levels = is_deep(p) ? __builtin_ctz((unsigned)p->n_chunks) : 0, places = levels + !!p->rounded;
    for (int64_t part = 0; part < row_blocks(p); part++) {
        product rows = row_block(p, part);
        int64_t panel_floats = tile_rows(&rows) * MR * NR;
        int64_t width = (WAIT_FLOATS - TILE_FLOATS) / (places * panel_floats) * NR;
        for (int64_t j = 0; j < p->n; j += width) {
            product q = product_part(&rows, 0, j);
            q.n = p->n - j < width ? p->n - j : width;
            q.is_deep = levels > 0;
            if (q.rounded)
                multiply_rounded(&q,
                                 scratch + WAIT + TILE_FLOATS + levels * ((q.n + NR - 1) / NR) * panel_floats,
                                 scratch);
            else
                multiply(&q, scratch);
        }
    }
}

/* Into how many shares of rows n_threads rectangles of c are best cut: the least work for the largest, where
 * packing a line costs about as much as a few multiplications of it. */
static int64_t row_shares(const product *p, int64_t n_threads)
{
    int64_t best = 1, least = INT64_MAX;
    for (int64_t rows = 1; rows <= n_threads; rows++) {
        if (n_threads % rows)
            continue;
        int64_t cols = n_threads / rows;
        int64_t m = ((p->m + rows - 1) / rows + MR - 1) / MR * MR;
        int64_t n = ((p->n + cols - 1) / cols + NR - 1) / NR * NR;
        int64_t work = m * n + 8 * (m + n);
        if (work < least) {
            least = work;
            best = rows;
        }
    }
    return best;
}

/* The calling thread's rectangle of c. */
static void share(const product *p, float *scratch)
{
    int64_t rows = row_shares(p, fv_cpu_n_threads()), cols = fv_cpu_n_threads() / rows;
    int64_t row = fv_cpu_thread() % rows, col = fv_cpu_thread() / rows, n_panels = (p->n + NR - 1) / NR;
    int64_t i = part_start(p->m, rows, row), j = part_start(n_panels, cols, col) * NR;
    int64_t end = part_start(n_panels, cols, col + 1) * NR;
    product q = product_part(p, i, j);
    q.m = part_start(p->m, rows, row + 1) - i;
    q.n = (end < p->n ? end : p->n) - j;
    if (q.m > 0 && q.n > 0)
        (q.rounded || is_deep(&q) ? multiply_waiting : multiply)(&q, scratch);
}

static operand operand_of(fv_tensor x, int lines_are_rows)
{
    int is_bf16 = x.dtype == FV_BF16;
    return lines_are_rows ? (operand){x.data, x.stride, 1, is_bf16} : (operand){x.data, 1, x.stride, is_bf16};
}

fv_err FV_CPU(gemm)(fv_backend *backend, const fv_gemm_args *args)
{
    product p = {.a = operand_of(args->a, !args->trans_a),
                 .b = operand_of(args->b, args->trans_b),
                 .bias = operand_of(args->bias, 1),
                 .c = args->c.dtype == FV_F32 ? fv_f32(args->c) : NULL,
                 .rounded = args->c.dtype == FV_BF16 ? fv_bf16(args->c) : NULL,
                 .m = args->c.dim[0],
                 .n = args->c.dim[1],
                 .k = args->a.dim[args->trans_a ? 0 : 1],
                 .c_row = args->c.stride,
                 .accumulate = args->accumulate,
                 .n_chunks = args->chunks.n ? args->chunks.n : 1};
    for (int c = 0; c < p.n_chunks; c++)
        p.end[c] = args->chunks.n ? fv_chunks_end(args->chunks, c) : p.k;
#pragma omp parallel num_threads(backend->n_threads) if (p.m * p.n * p.k > SERIAL_PRODUCTS)
    share(&p, fv_cpu_scratch(backend, fv_cpu_thread()));
    return FV_OK;
}
