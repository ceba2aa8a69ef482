/* Products of columns, included by each file that has vectors (vectors.h).
 *
 * PRODUCT_ROWS columns of a times PRODUCT_VECTORS vectors of columns of b are summed in registers over CHUNK rows. Both
 * factors are first copied, as doubles, to where these sums read them one after the other. */

enum { DOUBLES = FLOATS / 2, PRODUCT_COLUMNS = PRODUCT_VECTORS * DOUBLES, CHUNK = 256 };

static INLINE int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* 'width' columns of one row as doubles, zeros in the room that is left of 'room'. */
static INLINE void widen_row(const float *from, int64_t width, int64_t room, double weight, double *to)
{
    for (int64_t j = 0; j < width; j++)
        to[j] = weight * (double)from[j];
    for (int64_t j = width; j < room; j++)
        to[j] = 0.0;
}

/* 'width' columns side by side as doubles in the room of 'room'. What fills the rest of it does not matter, so without
 * weights rows are read beyond their width for as long as other rows follow: 'beyond' of them, after these. */
static INLINE void copy_columns(const float *from, int64_t ld, int64_t rows, int64_t beyond, int64_t width,
                                int64_t room, const float *weights, double *to)
{
    int64_t i = 0;

    if (!weights)
        for (; i < rows && (rows + beyond - 1 - i) * ld + width >= room; i++)
            for (int64_t j = 0; j < room; j++)
                to[i * room + j] = (double)from[i * ld + j];
    for (; i < rows; i++)
        widen_row(from + i * ld, width, room, weights ? (double)weights[i] : 1.0, to + i * room);
}

/* sum (count x PRODUCT_COLUMNS) = a' b; a has 'count' of its PRODUCT_ROWS columns. */
static INLINE void sum_rows(const double *a, const double *b, int64_t rows, int count, double *sum)
{
    keys part[PRODUCT_ROWS][PRODUCT_VECTORS];

    UNROLL
    for (int i = 0; i < count; i++)
        UNROLL
    for (int j = 0; j < PRODUCT_VECTORS; j++)
        part[i][j] = d_all(0.0);
    for (int64_t row = 0; row < rows; row++) {
        keys right[PRODUCT_VECTORS];

        UNROLL
        for (int j = 0; j < PRODUCT_VECTORS; j++)
            right[j] = d_load(b + row * PRODUCT_COLUMNS + j * DOUBLES);
        UNROLL
        for (int i = 0; i < count; i++) {
            keys left = d_all(a[row * PRODUCT_ROWS + i]);

            UNROLL
            for (int j = 0; j < PRODUCT_VECTORS; j++)
                part[i][j] = d_multiply_add(left, right[j], part[i][j]);
        }
    }
    UNROLL
    for (int i = 0; i < count; i++)
        UNROLL
    for (int j = 0; j < PRODUCT_VECTORS; j++)
        d_store(sum + i * PRODUCT_COLUMNS + j * DOUBLES, part[i][j]);
}

static NOINLINE void sum_all(const double *a, const double *b, int64_t rows, double *sum)
{
    sum_rows(a, b, rows, PRODUCT_ROWS, sum);
}

static NOINLINE void sum_one(const double *a, const double *b, int64_t rows, double *sum)
{
    sum_rows(a, b, rows, 1, sum);
}

/* 'count' columns of a times 'width' columns of b are added to 'to'. */
static INLINE void add_block(const double *a, const double *b, int64_t rows, int64_t count, int64_t width, double *to,
                             int64_t ldt)
{
    _Alignas(64) double sum[PRODUCT_ROWS * PRODUCT_COLUMNS];

    if (count > 1)
        sum_all(a, b, rows, sum);
    else
        sum_one(a, b, rows, sum);
    for (int64_t i = 0; i < count; i++) {
        int64_t j = 0;

        for (; j + DOUBLES <= width; j += DOUBLES)
            d_store(to + i * ldt + j, d_add(d_load(to + i * ldt + j), d_load(sum + i * PRODUCT_COLUMNS + j)));
        for (; j < width; j++)
            to[i * ldt + j] += sum[i * PRODUCT_COLUMNS + j];
    }
}

/* All columns of a, which are copied, times 'width' columns of b from 'first' on. */
static void multiply_columns(const struct bsq_gemm_tn *p, int64_t first, int64_t width)
{
    _Alignas(64) double b[CHUNK * PRODUCT_COLUMNS];
    int64_t wanted = p->symmetric ? least(p->columns_a, first + width) : p->columns_a;

    for (int64_t row = 0; row < p->rows; row += CHUNK) {
        int64_t rows = least(CHUNK, p->rows - row);

        copy_columns(p->b + row * p->ldb + first, p->ldb, rows, p->rows - row - rows, width, PRODUCT_COLUMNS,
                     p->weights ? p->weights + row : NULL, b);
        for (int64_t i = 0; i < wanted; i += PRODUCT_ROWS)
            add_block(p->scratch + i * p->rows + row * PRODUCT_ROWS, b, rows, least(PRODUCT_ROWS, wanted - i), width,
                      p->to + i * p->ldt + first, p->ldt);
    }
}

static void multiply(const struct bsq_gemm_tn *p)
{
    for (int64_t i = 0; i < p->columns_a; i += PRODUCT_ROWS)
        copy_columns(p->a + i, p->lda, p->rows, 0, least(PRODUCT_ROWS, p->columns_a - i), PRODUCT_ROWS, NULL,
                     p->scratch + i * p->rows);
    for (int64_t first = 0; first < p->columns_b; first += PRODUCT_COLUMNS)
        multiply_columns(p, first, least(PRODUCT_COLUMNS, p->columns_b - first));
}
