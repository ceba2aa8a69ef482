/* Products of columns with themselves in single precision, included by each file that has vectors (vectors.h).
 *
 * Activations are often zero. So one column at a time meets SQUARE_COLUMNS others, of which it adds up, in registers,
 * those rows in which it is not zero: of SQUARE_ROWS at a time, whose part of the others stays in the first cache
 * meanwhile. Up to SQUARE_TERMS make a sum that is added in double: rounding costs a sum of 32 equal terms 1e-6 of it
 * at most. */

enum {
    SQUARE_PARTS = 4, /* of registers, so that what is below the diagonal can be left out */
    PART_COLUMNS = PART_VECTORS * FLOATS,
    SQUARE_COLUMNS = SQUARE_PARTS * PART_COLUMNS,
    SQUARE_ROWS = 56, /* at most 64; half of which mostly are no more than */
    SQUARE_TERMS = 32,
    LINE = 16 /* floats of a line of the cache */
};

/* Holds the scratch of syrk(). */
struct syrk {
    float *a;        /* its columns_a, rows BSQ_SYRK_MOST apart */
    uint64_t *masks; /* (chunks of rows, BSQ_SYRK_MOST): a bit for each row in which a column is not zero */
    double *sum;     /* columns_a x SQUARE_COLUMNS */
};

static struct syrk lay_out(const struct bsq_gemm_tn *p)
{
    double *next = p->scratch;
    int64_t chunks = (p->rows + SQUARE_ROWS - 1) / SQUARE_ROWS;
    struct syrk syrk;

    syrk.a = (float *)(void *)next;
    next += p->rows * BSQ_SYRK_MOST / 2;
    syrk.masks = (uint64_t *)(void *)next;
    next += chunks * BSQ_SYRK_MOST;
    syrk.sum = next;
    return syrk;
}

/* Copies 'rows' rows, at most 32, of a line of columns; the bits of rows in which a column is not zero go to its mask.
 */
static INLINE void copy_line(const float *x, int64_t ld, int64_t rows, float *to, uint64_t *masks, int shift)
{
    enum { VECTORS = LINE / FLOATS };
    ints found[VECTORS];
    int32_t bits[LINE];

    UNROLL
    for (int j = 0; j < VECTORS; j++)
        found[j] = i_all(0);
    for (int64_t row = 0; row < rows; row++, x += ld, to += BSQ_SYRK_MOST) {
        PREFETCH(x, 16 * ld);
        UNROLL
        for (int j = 0; j < VECTORS; j++) {
            floats line = f_load(x + j * FLOATS);

            f_store(to + j * FLOATS, line);
            found[j] = i_mark(found[j], line, (int32_t)((uint32_t)1 << row));
        }
    }
    UNROLL
    for (int j = 0; j < VECTORS; j++)
        i_store(bits + j * FLOATS, found[j]);
    for (int i = 0; i < LINE; i++)
        masks[i] |= (uint64_t)(uint32_t)bits[i] << shift;
}

/* The same of less than a line. */
static void copy_rest(const float *x, int64_t ld, int64_t rows, int64_t count, float *to, uint64_t *masks)
{
    for (int64_t row = 0; row < rows; row++) {
        float line[LINE] = {0};

        memcpy(line, x + row * ld, (size_t)count * sizeof *line);
        copy_line(line, 0, 1, to + row * BSQ_SYRK_MOST, masks, (int)row);
    }
}

static void copy_first(const struct bsq_gemm_tn *p, const struct syrk *syrk)
{
    for (int64_t row = 0, chunk = 0; row < p->rows; row += SQUARE_ROWS, chunk++)
        for (int64_t i = 0; i < p->columns_a; i += LINE) {
            const float *x = p->a + row * p->lda + i;
            float *to = syrk->a + row * BSQ_SYRK_MOST + i;
            uint64_t *masks = syrk->masks + chunk * BSQ_SYRK_MOST + i;
            int64_t count = least(LINE, p->columns_a - i), rows = least(SQUARE_ROWS, p->rows - row);

            memset(masks, 0, LINE * sizeof *masks);
            if (count < LINE)
                copy_rest(x, p->lda, rows, count, to, masks);
            for (int64_t half = 0; count == LINE && half < rows; half += 32)
                copy_line(x + half * p->lda, p->lda, least(32, rows - half), to + half * BSQ_SYRK_MOST, masks,
                          (int)half);
        }
}

/* sum += value * row of b, in 'parts' parts of the columns, for up to SQUARE_TERMS rows, the bits of 'terms'. Returns
 * the others. */
static INLINE uint64_t add_terms(uint64_t terms, const float *a, const float *b, int parts, double *sum)
{
    floats part[SQUARE_PARTS * PART_VECTORS];
    _Alignas(64) float total[SQUARE_COLUMNS];
    int vectors = parts * PART_VECTORS;

    UNROLL
    for (int j = 0; j < vectors; j++)
        part[j] = f_all(0.0F);
    for (int term = 0; terms != 0 && term < SQUARE_TERMS; term++, terms &= terms - 1) {
        int row = FIRST_BIT(terms);
        floats value = f_all(a[row * BSQ_SYRK_MOST]);

        UNROLL
        for (int j = 0; j < vectors; j++)
            part[j] = f_multiply_add(value, f_load(b + row * SQUARE_COLUMNS + j * FLOATS), part[j]);
    }
    UNROLL
    for (int j = 0; j < vectors; j++)
        f_store(total + j * FLOATS, part[j]);
    for (int j = 0; j < vectors * FLOATS; j++)
        sum[j] += (double)total[j];
    return terms;
}

typedef uint64_t add_parts(uint64_t terms, const float *a, const float *b, double *sum);

static NOINLINE uint64_t add_1(uint64_t terms, const float *a, const float *b, double *sum)
{
    return add_terms(terms, a, b, 1, sum);
}

static NOINLINE uint64_t add_2(uint64_t terms, const float *a, const float *b, double *sum)
{
    return add_terms(terms, a, b, 2, sum);
}

static NOINLINE uint64_t add_3(uint64_t terms, const float *a, const float *b, double *sum)
{
    return add_terms(terms, a, b, 3, sum);
}

static NOINLINE uint64_t add_4(uint64_t terms, const float *a, const float *b, double *sum)
{
    return add_terms(terms, a, b, 4, sum);
}

/* Rows to come are asked for while others are worked on: lines 'from' to 'to' of them, row by row. */
static INLINE void fetch_lines(const float *x, int64_t ld, int64_t from, int64_t to)
{
    enum { LINES = SQUARE_COLUMNS / LINE };

    for (int64_t line = from; line < to; line++)
        PREFETCH(x, line / LINES * ld + line % LINES * LINE);
}

static INLINE void copy_rows(const float *x, int64_t ld, int64_t rows, int64_t width, float *to)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < width; j++)
            to[i * SQUARE_COLUMNS + j] = x[i * ld + j];
}

/* sum = columns_a times 'width' columns from 'first' on. */
static void add_products(const struct bsq_gemm_tn *p, const struct syrk *syrk, int64_t first, int64_t width)
{
    static add_parts *const add[SQUARE_PARTS] = {add_1, add_2, add_3, add_4};
    _Alignas(64) float b[SQUARE_ROWS * SQUARE_COLUMNS];
    int64_t wanted = least(p->columns_a, first + width), parts = (width + PART_COLUMNS - 1) / PART_COLUMNS;

    memset(b, 0, sizeof b); /* beyond the width */
    memset(syrk->sum, 0, (size_t)(wanted * SQUARE_COLUMNS) * sizeof *syrk->sum);
    for (int64_t row = 0, chunk = 0; row < p->rows; row += SQUARE_ROWS, chunk++) {
        const float *x = p->b + row * p->ldb + first;
        int64_t rows = least(SQUARE_ROWS, p->rows - row), to_come = least(SQUARE_ROWS, p->rows - row - rows);
        int64_t lines = to_come * (SQUARE_COLUMNS / LINE), each = (lines + wanted - 1) / wanted;

        if (width == SQUARE_COLUMNS)
            copy_rows(x, p->ldb, rows, SQUARE_COLUMNS, b);
        else
            copy_rows(x, p->ldb, rows, width, b);
        for (int64_t i = 0; i < wanted; i++) {
            int64_t skip = i > first ? (i - first) / PART_COLUMNS : 0;
            uint64_t left = syrk->masks[chunk * BSQ_SYRK_MOST + i];

            fetch_lines(x + rows * p->ldb, p->ldb, i * each, least((i + 1) * each, lines));
            while (left != 0)
                left = add[parts - skip - 1](left, syrk->a + row * BSQ_SYRK_MOST + i, b + skip * PART_COLUMNS,
                                             syrk->sum + i * SQUARE_COLUMNS + skip * PART_COLUMNS);
        }
    }
}

static void multiply_itself(const struct bsq_gemm_tn *p)
{
    const struct syrk syrk = lay_out(p);
    int64_t spans = (p->columns_b + SQUARE_COLUMNS - 1) / SQUARE_COLUMNS; /* of equal width, a multiple of a part */
    int64_t span = ((p->columns_b + spans - 1) / spans + PART_COLUMNS - 1) / PART_COLUMNS * PART_COLUMNS;

    copy_first(p, &syrk);
    for (int64_t first = 0; first < p->columns_b; first += span) {
        int64_t width = least(span, p->columns_b - first), wanted = least(p->columns_a, first + width);

        add_products(p, &syrk, first, width);
        for (int64_t i = 0; i < wanted; i++)
            for (int64_t j = 0; j < width; j++)
                p->to[i * p->ldt + first + j] += syrk.sum[i * SQUARE_COLUMNS + j];
    }
}
