/* Inner loops in plain C, included by each kernel's file: compilers make vectors of them, for the machine that the file
 * stands for. */

#include "kernels/rounding.h"

/* ---- beam ------------------------------------------------------------------------------------------------- */

enum { SPREAD_ROWS = 4 };

/* 'rows' and 'width' are constants where this is called. */
static INLINE void spread_rows(const struct bsq_beam_spread *spread, int64_t first, int64_t rows, int64_t width)
{
    const float *r = spread->r + first * spread->ldr, *difference = spread->difference;
    float t[SPREAD_ROWS][BSQ_BEAM_WIDTH];

    for (int64_t k = 0; k < rows; k++)
        for (int64_t s = 0; s < width; s++)
            t[k][s] = spread->base[(first + k) * spread->ldb];
    for (int64_t i = 0; i < spread->count; i++, difference += width)
        for (int64_t k = 0; k < rows; k++) {
            float x = r[k * spread->ldr + spread->row[i]];

            for (int64_t s = 0; s < width; s++)
                t[k][s] += x * difference[s];
        }
    for (int64_t k = 0; k < rows; k++)
        memcpy(spread->t + (first + k) * spread->ldt, t[k], (size_t)width * sizeof **t);
}

static INLINE void spread_width(const struct bsq_beam_spread *spread, int64_t width)
{
    int64_t first = 0;

    for (int64_t i = 0; i < spread->count; i++)
        for (int64_t s = 0; s < width; s++)
            spread->difference[i * width + s] = spread->e[i * width + s] - spread->e[i * width];
    for (; first + SPREAD_ROWS <= spread->rows; first += SPREAD_ROWS)
        spread_rows(spread, first, SPREAD_ROWS, width);
    for (; first < spread->rows; first++)
        spread_rows(spread, first, 1, width);
}

static void spread(const struct bsq_beam_spread *task)
{
    switch (task->width) {
    case 2: spread_width(task, 2); break;
    case 4: spread_width(task, 4); break;
    case 8: spread_width(task, 8); break;
    case 16: spread_width(task, 16); break;
    case 32: spread_width(task, 32); break;
    case 64: spread_width(task, 64); break;
    default: spread_width(task, task->width); break;
    }
}

/* Without a loop over what was stored just before: that would have to wait for it. */
static INLINE void follow_width(float *e, int64_t lde, int64_t rows, int64_t width, const int32_t *parent,
                                unsigned char *differ)
{
    for (int64_t i = 0; i < rows; i++, e += lde) {
        float before[BSQ_BEAM_WIDTH], first = e[parent ? parent[0] : 0];
        int32_t different = 0;

        if (parent) {
            memcpy(before, e, (size_t)width * sizeof *before);
            for (int64_t s = 0; s < width; s++) {
                float x = before[parent[s]];

                different |= x < first || x > first;
                e[s] = x;
            }
        } else {
            for (int64_t s = 1; s < width; s++)
                different |= e[s] < first || e[s] > first;
        }
        differ[i] = (unsigned char)different;
    }
}

static void follow(float *e, int64_t lde, int64_t rows, int64_t width, const int32_t *parent, unsigned char *differ)
{
    switch (width) {
    case 2: follow_width(e, lde, rows, 2, parent, differ); break;
    case 4: follow_width(e, lde, rows, 4, parent, differ); break;
    case 8: follow_width(e, lde, rows, 8, parent, differ); break;
    case 16: follow_width(e, lde, rows, 16, parent, differ); break;
    case 32: follow_width(e, lde, rows, 32, parent, differ); break;
    case 64: follow_width(e, lde, rows, 64, parent, differ); break;
    default: follow_width(e, lde, rows, width, parent, differ); break;
    }
}

/* ---- statistics ------------------------------------------------------------------------------------------- */

static void sums(const float *restrict x, int64_t ld, int64_t rows, int64_t columns, const float *restrict weights,
                 double *restrict sum, double *restrict square)
{
    for (int64_t i = 0; i < rows; i++) {
        const float *row = x + i * ld;
        double weight = weights ? (double)weights[i] : 1.0;

        for (int64_t j = 0; j < columns; j++)
            sum[j] += weight * (double)row[j];
        for (int64_t j = 0; square && j < columns; j++)
            square[j] += weight * (double)row[j] * (double)row[j];
    }
}

/* ---- the input quantizer ---------------------------------------------------------------------------------- */

/* Rounds half to even for |x| below 2^22, in single precision. */
static INLINE float round_even_float(float x)
{
    return FLT_EVAL_METHOD == 0 ? (x + ROUNDER) - ROUNDER : (float)bsq_round_even((double)x);
}

static INLINE float clamp_float(float x, float low, float high)
{
    x = x > low ? x : low;
    return x < high ? x : high;
}

/* Divides in double, where no quotient of two floats is rounded to a half: what rounds like a tie is a tie. */
static INLINE float requantize_one(float x, double scale, double low, double high)
{
    double code = bsq_round_even(bsq_clamp((double)x / scale, low, high));

    return (float)bsq_clamp(scale * code, -FLT_MAX, FLT_MAX);
}

static void requantize(float *x, int64_t count, double scale, double low, double high)
{
    for (int64_t i = 0; i < count; i++)
        x[i] = requantize_one(x[i], scale, low, high);
}

/* ---- rounding weights ------------------------------------------------------------------------------------- */

/* Sums run in this many lanes, so that they have the same bits with vectors of any width. */
enum { ROUND_LANES = 16 };

/* Before a loop over lanes: it becomes vectors, which it does not once it is unrolled. */
#if defined(__GNUC__)
#define LANEWISE _Pragma("GCC unroll 1")
#else
#define LANEWISE
#endif

static void magnitudes(const float *x, int64_t count, float *least, float *most)
{
    float low[ROUND_LANES], high[ROUND_LANES] = {0}, nothing[ROUND_LANES] = {0};
    int64_t i = 0;

    LANEWISE for (int l = 0; l < ROUND_LANES; l++) low[l] = INFINITY;
    for (; i + ROUND_LANES <= count; i += ROUND_LANES)
        LANEWISE for (int l = 0; l < ROUND_LANES; l++)
        {
            float size = fabsf(x[i + l]), above = size > 0.0F ? size : INFINITY;

            low[l] = above < low[l] ? above : low[l];
            high[l] = size > high[l] ? size : high[l];
            nothing[l] += 0.0F * size; /* not of what is not finite */
        }
    for (; i < count; i++) {
        float size = fabsf(x[i]);

        low[0] = size > 0.0F && size < low[0] ? size : low[0];
        high[0] = size > high[0] ? size : high[0];
        nothing[0] += 0.0F * size;
    }
    *least = low[0];
    *most = high[0] + nothing[0];
    for (int l = 1; l < ROUND_LANES; l++) {
        *least = low[l] < *least ? low[l] : *least;
        *most = nothing[l] + (high[l] > *most ? high[l] : *most);
    }
}

/* LISTS: there is list_vector(x, bits), which does it for a vector; it may write beyond what it lists, not beyond
 * FLOATS. */
static int64_t list_bits(const float *x, int64_t count, int64_t stride, uint32_t *bits)
{
    int64_t i = 0, listed = 0;

#ifdef LISTS
    for (; stride == 1 && i + FLOATS <= count; i += FLOATS)
        listed += list_vector(x + i, bits + listed);
#endif
    for (; i < count; i++) {
        memcpy(bits + listed, x + i * stride, sizeof *bits);
        listed += bits[listed] != 0;
    }
    return listed;
}

static void extremes(const float *x, int64_t count, float *least, float *most)
{
    float low[ROUND_LANES] = {0}, high[ROUND_LANES] = {0};
    int64_t i = 0;

    for (; i + ROUND_LANES <= count; i += ROUND_LANES)
        LANEWISE for (int l = 0; l < ROUND_LANES; l++)
        {
            low[l] = x[i + l] < low[l] ? x[i + l] : low[l];
            high[l] = x[i + l] > high[l] ? x[i + l] : high[l];
        }
    for (; i < count; i++) {
        low[0] = x[i] < low[0] ? x[i] : low[0];
        high[0] = x[i] > high[0] ? x[i] : high[0];
    }
    *least = *most = 0.0F;
    LANEWISE for (int l = 0; l < ROUND_LANES; l++)
    {
        *least = low[l] < *least ? low[l] : *least;
        *most = high[l] > *most ? high[l] : *most;
    }
}

/* Codes as numbers, some at a time: conversions from bytes next to what works on them would keep that from vectors. */
enum { NUMBERED = 256 };

static INLINE int64_t number_codes(const int8_t *restrict codes, int64_t count, float *restrict numbers)
{
    int64_t some = count < NUMBERED ? count : NUMBERED;

    for (int64_t i = 0; i < some; i++)
        numbers[i] = codes[i];
    return some;
}

/* Halves of the lanes on top of each other, down to one. */
static INLINE double lane_sum(double *lanes)
{
    for (int half = ROUND_LANES / 2; half > 0; half /= 2)
        for (int l = 0; l < half; l++)
            lanes[l] += lanes[l + half];
    return lanes[0];
}

/* Products are summed in single precision for as long as squares of codes are exact there, then in double. */
static void round_sums(const float *restrict x, int64_t count, float inverse, float low, float high,
                       double *restrict along, double *restrict square)
{
    enum { LANES = 2 * ROUND_LANES, TURNS = 16 };
    double a[ROUND_LANES] = {0}, s[ROUND_LANES] = {0};

    for (int64_t i = 0; i < count;) {
        float near_a[LANES] = {0}, near_s[LANES] = {0};

        for (int turn = 0; turn < TURNS && i + LANES <= count; turn++, i += LANES)
            LANEWISE for (int l = 0; l < LANES; l++)
            {
                float code = round_even_float(clamp_float(x[i + l] * inverse, low, high));

                near_a[l] += code * x[i + l];
                near_s[l] += code * code;
            }
        for (int l = 0; i + LANES > count && i < count; i++, l++) {
            float code = round_even_float(clamp_float(x[i] * inverse, low, high));

            near_a[l] += code * x[i];
            near_s[l] += code * code;
        }
        LANEWISE for (int l = 0; l < ROUND_LANES; l++)
        {
            a[l] += (double)near_a[l] + (double)near_a[l + ROUND_LANES];
            s[l] += (double)near_s[l] + (double)near_s[l + ROUND_LANES];
        }
    }
    *along = lane_sum(a);
    *square = lane_sum(s);
}

/* Codes of some values: y becomes what is left, code what it rounds to. */
static INLINE void fit_codes(const struct bsq_fit *fit, float *restrict y, float *restrict code, int count)
{
    if (!fit->levels) {
        LANEWISE for (int l = 0; l < count; l++) code[l] =
            round_even_float(clamp_float(y[l], fit->lowest, fit->highest));
    } else {
        LANEWISE for (int l = 0; l < count; l++) code[l] = fit->levels[0];
        for (int32_t i = 1; i < fit->level_count; i++) {
            float level = fit->levels[i], middle = 0.5F * (fit->levels[i - 1] + level);

            LANEWISE for (int l = 0; l < count; l++) code[l] = middle <= y[l] ? level : code[l];
        }
    }
    LANEWISE for (int l = 0; l < count; l++) y[l] -= code[l];
}

static void fit_sums(const struct bsq_fit *fit, struct bsq_fit_sums *sums)
{
    enum { TURNS = 16 };
    double rr[ROUND_LANES] = {0}, rd[ROUND_LANES] = {0}, dd[ROUND_LANES] = {0}, r[ROUND_LANES] = {0};
    double d[ROUND_LANES] = {0};

    for (int64_t i = 0; i < fit->count;) {
        float near_rr[ROUND_LANES] = {0}, near_rd[ROUND_LANES] = {0}, near_dd[ROUND_LANES] = {0};
        float near_r[ROUND_LANES] = {0}, near_d[ROUND_LANES] = {0};

        for (int turn = 0; turn < TURNS && i < fit->count; turn++, i += ROUND_LANES) {
            int64_t left = fit->count - i;
            float x[ROUND_LANES] = {0}, weight[ROUND_LANES] = {0}, code[ROUND_LANES];

            if (left >= ROUND_LANES) {
                memcpy(x, fit->x + i, sizeof x);
                LANEWISE for (int l = 0; l < ROUND_LANES; l++) weight[l] = fit->weight ? fit->weight[i + l] : 1.0F;
            } else {
                for (int l = 0; l < left; l++) {
                    x[l] = fit->x[i + l];
                    weight[l] = fit->weight ? fit->weight[i + l] : 1.0F;
                }
            }
            LANEWISE for (int l = 0; l < ROUND_LANES; l++) x[l] = x[l] * fit->inverse - fit->shift;
            fit_codes(fit, x, code, ROUND_LANES);
            LANEWISE for (int l = 0; l < ROUND_LANES; l++)
            {
                float whole = code[l] + fit->shift, of_r = weight[l] * x[l], of_d = weight[l] * whole;

                near_rr[l] += of_r * x[l];
                near_rd[l] += of_r * whole;
                near_dd[l] += of_d * whole;
                near_r[l] += of_r;
                near_d[l] += of_d;
            }
        }
        LANEWISE for (int l = 0; l < ROUND_LANES; l++)
        {
            rr[l] += (double)near_rr[l];
            rd[l] += (double)near_rd[l];
            dd[l] += (double)near_dd[l];
            r[l] += (double)near_r[l];
            d[l] += (double)near_d[l];
        }
    }
    *sums = (struct bsq_fit_sums){lane_sum(rr), lane_sum(rd), lane_sum(dd), lane_sum(r), lane_sum(d)};
}

static double round_errors(const float *restrict x, int64_t count, double inverse, double low, double high,
                           float *restrict errors)
{
    double s[ROUND_LANES] = {0};
    int64_t i = 0;

    for (; i + ROUND_LANES <= count; i += ROUND_LANES)
        LANEWISE for (int l = 0; l < ROUND_LANES; l++)
        {
            double code = (double)x[i + l] * inverse, error = code - bsq_round_even(bsq_clamp(code, low, high));

            errors[i + l] = (float)error;
            s[l] += error * error;
        }
    for (; i < count; i++) {
        double code = (double)x[i] * inverse, error = code - bsq_round_even(bsq_clamp(code, low, high));

        errors[i] = (float)error;
        s[0] += error * error;
    }
    return lane_sum(s);
}

static void round_codes(const float *restrict x, int64_t count, double scale, double low, double high,
                        int8_t *restrict codes)
{
    for (int64_t i = 0; i < count; i++)
        codes[i] = (int8_t)(int32_t)bsq_round_even(bsq_clamp((double)x[i] / scale, low, high));
}

/* ---- descent ---------------------------------------------------------------------------------------------- */

static int64_t next_step(const double *restrict g, const double *restrict diagonal, double half, int64_t from,
                         int64_t count)
{
    enum { STRIDE = 16 };

    for (; from + STRIDE <= count; from += STRIDE) {
        int any = 0;

        for (int l = 0; l < STRIDE; l++)
            any |= fabs(g[from + l]) > half * diagonal[from + l];
        if (any)
            break;
    }
    while (from < count && !(fabs(g[from]) > half * diagonal[from]))
        from++;
    return from;
}

static INLINE double gain_of(double g, double up, double down)
{
    double gain = 2.0 * g - up, other = -2.0 * g - down;

    return gain > other ? gain : other;
}

static double most_gain(const double *restrict h, const double *restrict g, const double *restrict up,
                        const double *restrict down, double shift, int64_t count)
{
    double most[ROUND_LANES], all = -DBL_MAX;
    int64_t i = 0;

    LANEWISE for (int l = 0; l < ROUND_LANES; l++) most[l] = -DBL_MAX;
    for (; i + ROUND_LANES <= count; i += ROUND_LANES)
        LANEWISE for (int l = 0; l < ROUND_LANES; l++)
        {
            double gain = gain_of(g[i + l] - shift * h[i + l], up[i + l], down[i + l]);

            most[l] = gain > most[l] ? gain : most[l];
        }
    for (; i < count; i++) {
        double gain = gain_of(g[i] - shift * h[i], up[i], down[i]);

        most[0] = gain > most[0] ? gain : most[0];
    }
    LANEWISE for (int l = 0; l < ROUND_LANES; l++) all = most[l] > all ? most[l] : all;
    return all;
}

static void code_sums(const int8_t *restrict codes, const double *restrict p, const double *restrict g, int64_t count,
                      double *restrict along, double *restrict square)
{
    double a[ROUND_LANES] = {0}, s[ROUND_LANES] = {0};
    float code[NUMBERED];

    for (int64_t first = 0, some; first < count; first += some, p += some, g += some) {
        int64_t i = 0;

        some = number_codes(codes + first, count - first, code);
        for (; i + ROUND_LANES <= some; i += ROUND_LANES)
            LANEWISE for (int l = 0; l < ROUND_LANES; l++)
            {
                a[l] += (double)code[i + l] * g[i + l];
                s[l] += (double)code[i + l] * (p[i + l] - g[i + l]);
            }
        for (; i < some; i++) {
            a[0] += (double)code[i] * g[i];
            s[0] += (double)code[i] * (p[i] - g[i]);
        }
    }
    *along = lane_sum(a);
    *square = lane_sum(s);
}

static void add_scaled(const float *restrict x, double scale, int64_t count, double *restrict y)
{
    for (int64_t i = 0; i < count; i++)
        y[i] += scale * (double)x[i];
}

static double distance(const float *restrict x, const int8_t *restrict codes, double scale, int64_t count)
{
    double s[ROUND_LANES] = {0};
    float code[NUMBERED];

    for (int64_t first = 0, some; first < count; first += some, x += some) {
        int64_t i = 0;

        some = number_codes(codes + first, count - first, code);
        for (; i + ROUND_LANES <= some; i += ROUND_LANES)
            LANEWISE for (int l = 0; l < ROUND_LANES; l++)
            {
                double apart = (double)x[i + l] - scale * (double)code[i + l];

                s[l] += apart * apart;
            }
        for (; i < some; i++) {
            double apart = (double)x[i] - scale * (double)code[i];

            s[0] += apart * apart;
        }
    }
    return lane_sum(s);
}

/* ---- packing ---------------------------------------------------------------------------------------------- */

static void pack4(const int8_t *restrict codes, int64_t count, unsigned char *restrict packed)
{
    for (int64_t i = 0; i < count / 2; i++)
        packed[i] = (unsigned char)((codes[2 * i] & 15) | (codes[2 * i + 1] & 15) << 4);
}

static void pack2(const int8_t *restrict codes, int64_t count, unsigned char *restrict packed)
{
    for (int64_t i = 0; i < count / 4; i++)
        packed[i] = (unsigned char)((codes[4 * i] & 3) | (codes[4 * i + 1] & 3) << 2 | (codes[4 * i + 2] & 3) << 4 |
                                    (codes[4 * i + 3] & 3) << 6);
}

static void unpack4(const unsigned char *restrict packed, int64_t count, int8_t *restrict codes)
{
    for (int64_t i = 0; i < count / 2; i++) {
        codes[2 * i] = (int8_t)(((packed[i] & 15) ^ 8) - 8);
        codes[2 * i + 1] = (int8_t)((packed[i] >> 4 ^ 8) - 8);
    }
}

static void unpack2(const unsigned char *restrict packed, int64_t count, int8_t *restrict codes)
{
    for (int64_t i = 0; i < count / 4; i++) {
        codes[4 * i] = (int8_t)(((packed[i] & 3) ^ 2) - 2);
        codes[4 * i + 1] = (int8_t)(((packed[i] >> 2 & 3) ^ 2) - 2);
        codes[4 * i + 2] = (int8_t)(((packed[i] >> 4 & 3) ^ 2) - 2);
        codes[4 * i + 3] = (int8_t)((packed[i] >> 6 ^ 2) - 2);
    }
}

/* ---- rows --------------------------------------------------------------------------------------------------- */

#if defined(__GNUC__)
typedef float quad __attribute__((vector_size(16)));

static INLINE quad load_quad(const float *from)
{
    quad x;

    memcpy(&x, from, sizeof x);
    return x;
}

static INLINE void store_quad(float *to, quad x)
{
    memcpy(to, &x, sizeof x);
}

/* Four rows of four columns. */
static INLINE void gather_quad(const float *from, const int64_t *column, float *to, int64_t ldt)
{
    quad a = load_quad(from + column[0]), b = load_quad(from + column[1]);
    quad c = load_quad(from + column[2]), d = load_quad(from + column[3]);
    quad ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5), ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    quad cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5), cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);

    store_quad(to, __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5));
    store_quad(to + ldt, __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7));
    store_quad(to + 2 * ldt, __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5));
    store_quad(to + 3 * ldt, __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7));
}
#endif

/* Four columns. */
static INLINE void gather_columns(const float *from, const int64_t *column, int64_t step, int64_t rows, float *to,
                                  int64_t ldt)
{
    int64_t i = 0;

#if defined(__GNUC__)
    for (; step == 1 && i + 4 <= rows; i += 4)
        gather_quad(from + i, column, to + i * ldt, ldt);
#endif
    for (; i < rows; i++)
        for (int64_t j = 0; j < 4; j++)
            to[i * ldt + j] = from[column[j] + i * step];
}

static void gather(const float *from, const int64_t *column, int64_t step, int64_t rows, int64_t columns, float *to,
                   int64_t ldt)
{
    int64_t j = 0;

    for (; j + 4 <= columns; j += 4)
        gather_columns(from, column + j, step, rows, to + j, ldt);
    for (; j < columns; j++)
        for (int64_t i = 0; i < rows; i++)
            to[i * ldt + j] = from[column[j] + i * step];
}

/* ---- the table -------------------------------------------------------------------------------------------- */

#define KERNELS(number, search, multiply, multiply_self)                                                               \
    {                                                                                                                  \
        .id = number, .beam = search, .spread = spread, .follow = follow, .gemm_tn = multiply, .syrk = multiply_self,  \
        .gather = gather, .sums = sums, .requantize = requantize, .magnitudes = magnitudes, .list_bits = list_bits,    \
        .extremes = extremes, .round_sums = round_sums, .fit = fit_sums, .round_errors = round_errors,                 \
        .round_codes = round_codes, .next_step = next_step, .most_gain = most_gain, .code_sums = code_sums,            \
        .add_scaled = add_scaled, .distance = distance, .pack4 = pack4, .pack2 = pack2, .unpack4 = unpack4,            \
        .unpack2 = unpack2                                                                                             \
    }
