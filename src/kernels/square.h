/* Products of columns with themselves in single precision, included by each file that has vectors (vectors.h).
 *
 * Activations are often zero. So one column at a time meets SQUARE_COLUMNS others, of which it adds up, in registers, those
 * rows in which it is not zero: of SQUARE_ROWS at a time, whose part of the others stays in the first cache meanwhile. Up to
 * SQUARE_TERMS make a sum that is added in double: rounding costs a sum of 32 equal terms 1e-6 of it at most. */

enum {
    SQUARE_PARTS = 4, /* of registers, so that what is below the diagonal can be left out */
    PART_COLUMNS = PART_VECTORS * FLOATS,
    SQUARE_COLUMNS = SQUARE_PARTS * PART_COLUMNS,
    SQUARE_ROWS = 56, /* half of which mostly are no more than */
    SQUARE_TERMS = 32,
    LISTED_COLUMNS = 8, /* whose lists are written at the same time */
    LINE = 16           /* floats of a line of the cache */
};

/* What is not zero in a column, by rows: the row, and below it the bits of the value. A list ends with END. */
typedef uint64_t term;

static const term END = UINT64_MAX;

static INLINE int64_t term_row(term t)
{
    return (int64_t)(t >> 32);
}

static INLINE float term_value(term t)
{
    uint32_t bits = (uint32_t)t;
    float value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

/* 'count' is a constant where this is called. */
static INLINE void list_columns(const float *x, int64_t ld, int64_t rows, int count, term *lists)
{
    term *end[LISTED_COLUMNS];

    for (int i = 0; i < count; i++)
        end[i] = lists + i * (rows + 1);
    for (int64_t row = 0; row < rows; row++, x += ld) {
        PREFETCH(x, 16 * ld);
        UNROLL for (int i = 0; i < count; i++) {
            uint32_t bits;

            memcpy(&bits, x + i, sizeof bits);
            *end[i] = (term)row << 32 | bits;
            end[i] += bits << 1 != 0;
        }
    }
    for (int i = 0; i < count; i++)
        *end[i] = END;
}

static void list_terms(const struct bsq_product *p, term *lists)
{
    int64_t i = 0;

    for (; i + LISTED_COLUMNS <= p->columns_a; i += LISTED_COLUMNS)
        list_columns(p->a + i, p->lda, p->rows, LISTED_COLUMNS, lists + i * (p->rows + 1));
    for (; i < p->columns_a; i++)
        list_columns(p->a + i, p->lda, p->rows, 1, lists + i * (p->rows + 1));
}

/* sum += value * row of b, in 'parts' parts of the columns, for up to SQUARE_TERMS terms of rows below 'end'. Returns the
 * term after. */
static INLINE const term *add_terms(const term *next, int64_t end, const float *b, int parts, double *sum)
{
    floats part[SQUARE_PARTS * PART_VECTORS];
    _Alignas(64) float total[SQUARE_COLUMNS];
    int vectors = parts * PART_VECTORS;

    UNROLL for (int j = 0; j < vectors; j++)
        part[j] = f_all(0.0F);
    for (const term *last = next + SQUARE_TERMS; next < last && term_row(*next) < end; next++) {
        floats value = f_all(term_value(*next));
        const float *row = b + term_row(*next) * SQUARE_COLUMNS;

        UNROLL for (int j = 0; j < vectors; j++)
            part[j] = f_multiply_add(value, f_load(row + j * FLOATS), part[j]);
    }
    UNROLL for (int j = 0; j < vectors; j++)
        f_store(total + j * FLOATS, part[j]);
    for (int j = 0; j < vectors * FLOATS; j++)
        sum[j] += (double)total[j];
    return next;
}

typedef const term *add_parts(const term *next, int64_t end, const float *b, double *sum);

static NOINLINE const term *add_1(const term *next, int64_t end, const float *b, double *sum)
{
    return add_terms(next, end, b, 1, sum);
}

static NOINLINE const term *add_2(const term *next, int64_t end, const float *b, double *sum)
{
    return add_terms(next, end, b, 2, sum);
}

static NOINLINE const term *add_3(const term *next, int64_t end, const float *b, double *sum)
{
    return add_terms(next, end, b, 3, sum);
}

static NOINLINE const term *add_4(const term *next, int64_t end, const float *b, double *sum)
{
    return add_terms(next, end, b, 4, sum);
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

/* Columns of the lists times 'width' columns from 'first' on. */
static void add_products(const struct bsq_product *p, const term *lists, int64_t first, int64_t width, double *sum)
{
    static add_parts *const add[SQUARE_PARTS] = {add_1, add_2, add_3, add_4};
    _Alignas(64) float b[SQUARE_ROWS * SQUARE_COLUMNS];
    const term *next[BSQ_SQUARE_MOST];
    int64_t wanted = least(p->columns_a, first + width), parts = (width + PART_COLUMNS - 1) / PART_COLUMNS;

    memset(b, 0, sizeof b); /* beyond the width */
    memset(sum, 0, (size_t)(wanted * SQUARE_COLUMNS) * sizeof *sum);
    for (int64_t i = 0; i < wanted; i++)
        next[i] = lists + i * (p->rows + 1);
    for (int64_t row = 0; row < p->rows; row += SQUARE_ROWS) {
        const float *x = p->b + row * p->ldb + first;
        int64_t rows = least(SQUARE_ROWS, p->rows - row), to_come = least(SQUARE_ROWS, p->rows - row - rows);
        int64_t lines = to_come * (SQUARE_COLUMNS / LINE), each = (lines + wanted - 1) / wanted;

        if (width == SQUARE_COLUMNS)
            copy_rows(x, p->ldb, rows, SQUARE_COLUMNS, b);
        else
            copy_rows(x, p->ldb, rows, width, b);
        for (int64_t i = 0; i < wanted; i++) {
            int64_t skip = i > first ? (i - first) / PART_COLUMNS : 0;

            fetch_lines(x + rows * p->ldb, p->ldb, i * each, least((i + 1) * each, lines));
            while (term_row(*next[i]) < row + rows)
                next[i] = add[parts - skip - 1](next[i], row + rows, b + skip * PART_COLUMNS - row * SQUARE_COLUMNS,
                                                sum + i * SQUARE_COLUMNS + skip * PART_COLUMNS);
        }
    }
}

static void square(const struct bsq_product *p)
{
    term *lists = (term *)(void *)p->scratch;
    double *sum = p->scratch + p->columns_a * (p->rows + 1);

    int64_t spans = (p->columns_b + SQUARE_COLUMNS - 1) / SQUARE_COLUMNS; /* of equal width, a multiple of a part */
    int64_t span = ((p->columns_b + spans - 1) / spans + PART_COLUMNS - 1) / PART_COLUMNS * PART_COLUMNS;

    list_terms(p, lists);
    for (int64_t first = 0; first < p->columns_b; first += span) {
        int64_t width = least(span, p->columns_b - first), wanted = least(p->columns_a, first + width);

        add_products(p, lists, first, width, sum);
        for (int64_t i = 0; i < wanted; i++)
            for (int64_t j = 0; j < width; j++)
                p->to[i * p->ldt + first + j] += sum[i * SQUARE_COLUMNS + j];
    }
}
