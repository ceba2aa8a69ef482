/* How the library scales, on synthetic layers: size against the floor of what any solver must do, threads inside and beside, the rate of
 * statistics against sgemm, and memory against its bound and its prediction.
 *
 *     bench_scale [--quick | --long] [--limit SECONDS] [--only size|threads|shared|statistics|memory]
 *
 * A solve that would take more than the limit is left out. Times are processor time, speed-ups are of wall time. */
#include "bench.h"

#include <cblas.h>
#include <lapacke.h>
#include <math.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_EFFORT = 5, MOST_EFFORT = 9, MOST_SIZES = 5, MOST_EFFORTS = 3, REPEATS = 4 };

struct bench {
    double limit;   /* seconds for one solve */
    int64_t most_n; /* the largest layer; half of it where memory is measured */
    const char *only;
};

static bool wanted(const struct bench *bench, const char *part)
{
    return !bench->only || strcmp(bench->only, part) == 0;
}

static double optimize(bsq_layer_t *layer, const bsq_options_t *options)
{
    expect(bsq_layer_set_options(layer, options), "bsq_layer_set_options", layer);

    double start = processor_seconds();

    expect(bsq_optimize(layer, NULL), "bsq_optimize", layer);
    return processor_seconds() - start;
}

static void print_cell(double value, const char *format)
{
    printf(" ");
    if (value > 0)
        printf(format, value);
    else
        printf("-");
    printf(" |");
}

/* ---- size ---------------------------------------------------------------------------------------------------- */

/* spotrf of the damped H, strmm of M x n: what remains of a solver that does nothing but factor and multiply once. */
static double floor_once(const float *h, float *factor, float *product, int64_t channels, int64_t n)
{
    memcpy(factor, h, (size_t)(n * n) * sizeof *factor);

    double start = processor_seconds();

    if (LAPACKE_spotrf_work(LAPACK_COL_MAJOR, 'L', (lapack_int)n, factor, (lapack_int)n) != 0)
        stop("floor", "H is not positive definite");
    cblas_strmm(CblasColMajor, CblasLeft, CblasLower, CblasTrans, CblasNonUnit, (blasint)n, (blasint)channels, 1,
                factor, (blasint)n, product, (blasint)n);
    return processor_seconds() - start;
}

static double floor_seconds(bsq_layer_t *layer, int64_t channels, int64_t n)
{
    double *moments_h = reserve(n * n, sizeof *moments_h), times[REPEATS];
    float *h = reserve(n * n, sizeof *h), *factor = reserve(n * n, sizeof *factor);
    float *product = reserve(channels * n, sizeof *product);
    struct random random = {4};
    bsq_moments_buffers_t moments;

    bsq_moments_buffers_init(&moments, sizeof moments);
    moments.h = moments_h;
    expect(bsq_layer_get_moments(layer, &moments), "bsq_layer_get_moments", layer);
    for (int64_t i = 0; i < n * n; i++)
        h[i] = (float)(moments_h[i] * (i % (n + 1) ? 1 : 1.01));
    for (int32_t i = 0; i < REPEATS; i++) {
        fill_normal(&random, product, channels * n);
        times[i] = floor_once(h, factor, product, channels, n);
    }
    free(moments_h);
    free(h);
    free(factor);
    free(product);
    return least(times, REPEATS);
}

struct size_row {
    int64_t n;
    double floor;
    double seconds[MOST_EFFORTS]; /* 0: left out */
};

static const int32_t SIZE_EFFORTS[MOST_EFFORTS] = {1, DEFAULT_EFFORT, MOST_EFFORT};

/* What is solved at each size. */
static const struct size_kind {
    const char *name;
    int32_t bits, grid;
    int64_t group_size; /* 0: a scale for each channel */
    int32_t efforts;
} size_kinds[] = {
    {"3 bits symmetric", 3, BSQ_WEIGHT_GRID_SYMMETRIC, 0, MOST_EFFORTS},
    {"4 bits, full range", 4, BSQ_WEIGHT_GRID_FULL, 0, 2},
    {"4 bits symmetric, groups of 128", 4, BSQ_WEIGHT_GRID_SYMMETRIC, 128, 2},
    {"4 bits, full range, groups of 128", 4, BSQ_WEIGHT_GRID_FULL, 128, 2},
};

static bsq_options_t size_options(const struct size_kind *kind, int32_t effort)
{
    bsq_options_t options = effort_options(kind->bits, kind->grid, effort);

    if (kind->group_size > 0) {
        options.scale_kind = BSQ_SCALE_KIND_PER_GROUP;
        options.group_size = kind->group_size;
    }
    return options;
}

/* From the size before, or from the effort before; 0 when nothing is known. */
static double predicted(const struct size_row *rows, int32_t row, int32_t effort)
{
    const double by_size = 8, by_effort = 16; /* n^3; 2 for each effort between */

    if (row > 0)
        return rows[row - 1].seconds[effort] > 0 ? by_size * rows[row - 1].seconds[effort] : HUGE_VAL;
    return effort > 0 ? by_effort * rows[row].seconds[effort - 1] : 0;
}

static void measure_size(const struct bench *bench, const struct size_kind *kind, struct size_row *rows, int32_t row)
{
    int64_t n = rows[row].n;
    bsq_layer_t *layer = create_linear(n, n, NULL);

    calibrate_rows(layer, 2 * n, n);
    rows[row].floor = floor_seconds(layer, n, n);
    for (int32_t e = 0; e < kind->efforts; e++) {
        bsq_options_t options = size_options(kind, SIZE_EFFORTS[e]);
        double times[REPEATS];
        int32_t count = 0;

        if (predicted(rows, row, e) > bench->limit)
            continue;
        do
            times[count] = optimize(layer, &options);
        while (times[0] < 1 && ++count < REPEATS);
        rows[row].seconds[e] = count ? least(times, count) : times[0];
    }
    bsq_layer_free(layer);
}

static void print_size(const struct size_kind *kind, const struct size_row *row)
{
    printf("| %lld | %.3g |", (long long)row->n, row->floor);
    for (int32_t e = 0; e < kind->efforts; e++) {
        print_cell(row->seconds[e], "%.3g");
        print_cell(row->seconds[e] / row->floor, "%.3g");
    }
    printf("\n");
    fflush(stdout);
}

static double growth(double first, double last, const struct size_row *from, const struct size_row *to)
{
    return log(last / first) / log((double)to->n / (double)from->n);
}

/* The exponent of n between the first and the last size that were measured. */
static void print_growth(const struct size_kind *kind, const struct size_row *rows, int32_t count)
{
    printf("\nGrowth as a power of n: floor %.2f",
           growth(rows[0].floor, rows[count - 1].floor, &rows[0], &rows[count - 1]));
    for (int32_t e = 0; e < kind->efforts; e++) {
        int32_t last = count - 1;

        while (last > 0 && rows[last].seconds[e] == 0)
            last--;
        if (last > 0)
            printf(", effort %d %.2f (to n = %lld)", SIZE_EFFORTS[e],
                   growth(rows[0].seconds[e], rows[last].seconds[e], &rows[0], &rows[last]), (long long)rows[last].n);
    }
    printf("\n");
}

/* What is wanted, in floors. */
static void print_wanted(const struct size_row *rows, int32_t count)
{
    static const struct {
        int64_t n;
        int32_t effort; /* of SIZE_EFFORTS */
        double most;
    } wanted_times[] = {{2048, 0, 3}, {2048, 1, 12}, {4096, 0, 2.5}, {4096, 1, 10}};

    for (size_t i = 0; i < sizeof wanted_times / sizeof *wanted_times; i++)
        for (int32_t row = 0; row < count; row++) {
            double seconds = rows[row].seconds[wanted_times[i].effort], floors = seconds / rows[row].floor;

            if (rows[row].n == wanted_times[i].n)
                printf("%s: effort %d at n = %lld <= %g x floor: %.3g\n",
                       seconds == 0                     ? "not run"
                       : floors <= wanted_times[i].most ? "reached"
                                                        : "NOT REACHED",
                       SIZE_EFFORTS[wanted_times[i].effort], (long long)rows[row].n, wanted_times[i].most, floors);
        }
}

static void run_size_kind(const struct bench *bench, const struct size_kind *kind)
{
    struct size_row rows[MOST_SIZES] = {{.n = 512}, {.n = 1024}, {.n = 2048}, {.n = 4096}, {.n = 8192}};
    int32_t count = 0;

    printf("\n%s:\n\n| n | floor, s |", kind->name);
    for (int32_t e = 0; e < kind->efforts; e++)
        printf(" effort %d, s | x floor |", SIZE_EFFORTS[e]);
    printf("\n| --- | --- |");
    for (int32_t e = 0; e < kind->efforts; e++)
        printf(" --- | --- |");
    printf("\n");
    for (; count < MOST_SIZES && rows[count].n <= bench->most_n; count++) {
        measure_size(bench, kind, rows, count);
        print_size(kind, &rows[count]);
    }
    print_growth(kind, rows, count);
    if (kind == size_kinds)
        print_wanted(rows, count);
}

static void run_sizes(const struct bench *bench)
{
    printf(
        "\n### Size\n\nM = n, rows of ReLU of correlated Gaussian values, N = 2 n, one thread. Floor: spotrf and strmm "
        "of M x n.\n");
    for (size_t i = 0; i < sizeof size_kinds / sizeof *size_kinds; i++)
        run_size_kind(bench, &size_kinds[i]);
}

/* ---- convolutions --------------------------------------------------------------------------------------------- */

/* 3x3 or 1x1, stride 1, same size. */
struct conv {
    int64_t channels, groups, out, side, kernel;
};

static int64_t fan_in(const struct conv *conv)
{
    return conv->channels / conv->groups * conv->kernel * conv->kernel;
}

static bsq_layer_desc_t describe(const struct conv *conv)
{
    bsq_layer_desc_t desc;

    bsq_layer_desc_init(&desc, sizeof desc);
    desc.kind = BSQ_KIND_CONV;
    desc.spatial_dims = 2;
    desc.in_channels = conv->channels;
    desc.out_channels = conv->out;
    desc.groups = conv->groups;
    for (int32_t d = 0; d < 2; d++) {
        desc.kernel[d] = conv->kernel;
        desc.pad_begin[d] = desc.pad_end[d] = conv->kernel / 2;
    }
    return desc;
}

static bsq_layer_t *create(const struct conv *conv, const bsq_options_t *options)
{
    bsq_layer_desc_t desc = describe(conv);
    int64_t count = conv->out * fan_in(conv);
    float *weights = reserve(count, sizeof *weights);
    struct random random = {5};
    bsq_layer_t *layer;

    fill_normal(&random, weights, count);
    expect(bsq_layer_create(&desc, options, weights, NULL, &layer, NULL), "bsq_layer_create", NULL);
    free(weights);
    return layer;
}

/* Calibrates with 'size' pictures of noise after a ReLU, and as targets such pictures when asked for. */
static struct seconds calibrate_pictures(bsq_layer_t *layer, const struct conv *conv, int64_t size, bool with_target)
{
    int64_t area = conv->side * conv->side, inputs = size * conv->channels * area, outputs = size * conv->out * area;
    float *input = reserve(inputs, sizeof *input), *target = reserve(with_target ? outputs : 1, sizeof *target);
    struct random random = {6};
    bsq_batch_t batch;

    fill_rows(&random, input, inputs / conv->side, conv->side);
    if (with_target)
        fill_normal(&random, target, outputs);
    bsq_batch_init(&batch, sizeof batch);
    batch.input = input;
    batch.target = with_target ? target : NULL;
    batch.size = size;
    batch.spatial[0] = batch.spatial[1] = conv->side;

    struct seconds start = seconds_now();

    expect(bsq_layer_calibrate(layer, &batch), "bsq_layer_calibrate", layer);

    struct seconds took = seconds_since(start);

    free(input);
    free(target);
    return took;
}

/* ---- threads -------------------------------------------------------------------------------------------------- */

struct work {
    struct seconds calibrate, optimize;
    double *h;
    int8_t *codes;
    float *scales;
};

static int64_t moments_count(const struct conv *conv)
{
    return conv->groups * fan_in(conv) * fan_in(conv);
}

/* Calibrates and solves with that many threads; the best of three of each. */
static struct work run_threads(const struct conv *conv, int64_t pictures, int32_t effort, int32_t threads)
{
    bsq_options_t options = effort_options(3, BSQ_WEIGHT_GRID_SYMMETRIC, effort);
    struct work work = {{HUGE_VAL, HUGE_VAL},
                        {HUGE_VAL, HUGE_VAL},
                        reserve(moments_count(conv), sizeof *work.h),
                        reserve(conv->out * fan_in(conv), 1),
                        reserve(conv->out, sizeof *work.scales)};
    bsq_moments_buffers_t moments;

    options.threads = threads;
    for (int32_t i = 0; i < REPEATS; i++) {
        bsq_layer_t *layer = create(conv, &options);
        struct seconds took = calibrate_pictures(layer, conv, pictures, false);

        if (took.wall < work.calibrate.wall)
            work.calibrate = took;

        struct seconds start = seconds_now();

        expect(bsq_optimize(layer, NULL), "bsq_optimize", layer);
        took = seconds_since(start);
        if (took.wall < work.optimize.wall)
            work.optimize = took;
        bsq_moments_buffers_init(&moments, sizeof moments);
        moments.h = work.h;
        expect(bsq_layer_get_moments(layer, &moments), "bsq_layer_get_moments", layer);
        expect(bsq_layer_get_codes(layer, work.codes, (size_t)(conv->out * fan_in(conv))), "bsq_layer_get_codes",
               layer);
        expect(bsq_layer_get_scales(layer, work.scales, (size_t)conv->out), "bsq_layer_get_scales", layer);
        bsq_layer_free(layer);
    }
    return work;
}

static void free_work(struct work *work)
{
    free(work->h);
    free(work->codes);
    free(work->scales);
}

static bool same_bits(const struct conv *conv, const struct work *a, const struct work *b)
{
    return memcmp(a->h, b->h, (size_t)moments_count(conv) * sizeof *a->h) == 0 &&
           memcmp(a->codes, b->codes, (size_t)(conv->out * fan_in(conv))) == 0 &&
           memcmp(a->scales, b->scales, (size_t)conv->out * sizeof *a->scales) == 0;
}

static void run_thread_rows(void)
{
    static const struct {
        const char *name;
        struct conv conv;
        int64_t pictures;
        int32_t effort;
    } rows[] = {
        {"1x1, 512 to 512", {512, 1, 512, 16, 1}, 16, 1},
        {"1x1, 512 to 512", {512, 1, 512, 16, 1}, 16, DEFAULT_EFFORT},
        {"3x3, 64 to 64", {64, 1, 64, 32, 3}, 4, DEFAULT_EFFORT},
        {"3x3 depthwise, 384", {384, 384, 384, 14, 3}, 8, DEFAULT_EFFORT},
        {"3x3 in 4 groups, 128 to 128", {128, 4, 128, 16, 3}, 16, DEFAULT_EFFORT},
        {"1x1, 2048 to 2048", {2048, 1, 2048, 8, 1}, 32, 1},
        {"1x1, 2048 to 2048", {2048, 1, 2048, 8, 1}, 32, DEFAULT_EFFORT},
    };

    printf("\n### Threads\n\nWall seconds with one and two threads, the best of %d; processor seconds of "
           "two over those of one.\n\n"
           "| layer | effort | calibrate, 1 | 2 | speed-up | processor | optimize, 1 | 2 | speed-up | processor | "
           "same bits |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
           REPEATS);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct work one = run_threads(&rows[i].conv, rows[i].pictures, rows[i].effort, 1);
        struct work two = run_threads(&rows[i].conv, rows[i].pictures, rows[i].effort, 2);

        printf("| %s | %d | %.3g | %.3g | %.2f | %.2f | %.3g | %.3g | %.2f | %.2f | %s |\n", rows[i].name,
               rows[i].effort, one.calibrate.wall, two.calibrate.wall, one.calibrate.wall / two.calibrate.wall,
               two.calibrate.processor / one.calibrate.processor, one.optimize.wall, two.optimize.wall,
               one.optimize.wall / two.optimize.wall, two.optimize.processor / one.optimize.processor,
               same_bits(&rows[i].conv, &one, &two) ? "yes" : "**no**");
        fflush(stdout);
        free_work(&one);
        free_work(&two);
    }
}

/* ---- layers shared out ---------------------------------------------------------------------------------------- */

/* Some of the layers, on a thread of their own. */
struct share {
    bsq_layer_t **layers;
    int32_t from, step, count;
};

static void *solve_share(void *memory)
{
    const struct share *share = memory;

    for (int32_t i = share->from; i < share->count; i += share->step)
        expect(bsq_optimize(share->layers[i], NULL), "bsq_optimize", share->layers[i]);
    return NULL;
}

/* Wall seconds for layers one after the other with 'inside' threads each, 'beside' of them at a time; the best of some. */
static double shared_out(bsq_layer_t **layers, int32_t count, bsq_options_t options, int32_t inside, int32_t beside)
{
    double fastest = HUGE_VAL;

    options.threads = inside;
    for (int32_t k = 0; k < REPEATS; k++) {
        struct share shares[2] = {{layers, 0, beside, count}, {layers, 1, beside, count}};
        pthread_t thread;

        for (int32_t i = 0; i < count; i++)
            expect(bsq_layer_set_options(layers[i], &options), "bsq_layer_set_options", layers[i]);

        struct seconds start = seconds_now();

        if (beside > 1 && pthread_create(&thread, NULL, solve_share, &shares[1]) != 0)
            stop("pthread_create", "no thread");
        solve_share(&shares[0]);
        if (beside > 1)
            (void)pthread_join(thread, NULL);
        fastest = fmin(fastest, seconds_since(start).wall);
    }
    return fastest;
}

static void run_shared_out(void)
{
    enum { LAYERS = 4 };
    static const struct {
        int64_t channels, n;
    } sizes[] = {{64, 256}, {256, 256}, {512, 512}, {1024, 1024}, {2048, 2048}};

    printf("\n### Threads inside of layers, or layers on threads\n\n%d equal layers; wall seconds on one thread, with "
           "two threads "
           "inside, with two layers at a time on a thread each; the best of %d.\n\n"
           "| layer | effort | one thread | two inside | two beside | speed-up inside | speed-up beside |\n"
           "| --- | --- | --- | --- | --- | --- | --- |\n",
           LAYERS, REPEATS);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        bsq_layer_t *layers[LAYERS];

        for (int32_t k = 0; k < LAYERS; k++) {
            layers[k] = create_linear(sizes[i].channels, sizes[i].n, NULL);
            calibrate_rows(layers[k], 2 * sizes[i].n, sizes[i].n);
        }
        for (int32_t effort = 1; effort <= DEFAULT_EFFORT; effort += DEFAULT_EFFORT - 1) {
            bsq_options_t options = effort_options(4, BSQ_WEIGHT_GRID_SYMMETRIC, effort);
            double one = shared_out(layers, LAYERS, options, 1, 1);
            double inside = shared_out(layers, LAYERS, options, 2, 1),
                   beside = shared_out(layers, LAYERS, options, 1, 2);

            printf("| %lld to %lld | %d | %.3g | %.3g | %.3g | %.2f | %.2f |\n", (long long)sizes[i].n,
                   (long long)sizes[i].channels, effort, one, inside, beside, one / inside, one / beside);
            fflush(stdout);
        }
        for (int32_t k = 0; k < LAYERS; k++)
            bsq_layer_free(layers[k]);
    }
}

/* ---- statistics ------------------------------------------------------------------------------------------------ */

/* The least times of calibrating, and of sgemm run in between. */
struct rate {
    double calibrate, sgemm;
};

static struct rate measure_rate(const struct conv *conv, int64_t pictures)
{
    struct rate rate = {HUGE_VAL, HUGE_VAL};

    for (int32_t i = 0; i < REPEATS; i++) {
        bsq_layer_t *layer = create(conv, NULL);

        rate.sgemm = fmin(rate.sgemm, sgemm_seconds());
        rate.calibrate = fmin(rate.calibrate, calibrate_pictures(layer, conv, pictures, false).processor);
        bsq_layer_free(layer);
    }
    return rate;
}

static struct rate measure_linear_rate(int64_t n, int64_t count)
{
    struct rate rate = {HUGE_VAL, HUGE_VAL};

    for (int32_t i = 0; i < REPEATS; i++) {
        bsq_layer_t *layer = create_linear(8, n, NULL);

        rate.sgemm = fmin(rate.sgemm, sgemm_seconds());
        rate.calibrate = fmin(rate.calibrate, calibrate_rows(layer, count, n).processor);
        bsq_layer_free(layer);
    }
    return rate;
}

/* Useful operations are those of the upper half: rows x n^2. */
static void print_rate(const char *name, int64_t n, int64_t rows, struct rate rate)
{
    double ours = (double)rows * (double)n * (double)n / rate.calibrate;
    double sgemm = 2 * pow(SGEMM_SIDE, 3) / rate.sgemm;

    printf("| %s | %lld | %.3g | %.3g | %.2f | %s |\n", name, (long long)n, ours / 1e9, sgemm / 1e9, ours / sgemm,
           ours >= 0.7 * sgemm ? "yes" : "**no**");
    fflush(stdout);
}

static void run_statistics(void)
{
    static const struct {
        const char *name;
        struct conv conv;
        int64_t pictures;
    } rows[] = {
        {"3x3, 32 channels, 56x56", {32, 1, 8, 56, 3}, 16},   {"3x3, 64 channels, 28x28", {64, 1, 8, 28, 3}, 16},
        {"3x3, 128 channels, 14x14", {128, 1, 8, 14, 3}, 32}, {"1x1, 256 channels, 28x28", {256, 1, 8, 28, 1}, 32},
        {"1x1, 512 channels, 14x14", {512, 1, 8, 14, 1}, 64},
    };

    printf("\n### Statistics\n\nGathering and accumulation in useful operations (rows x n^2) a second, beside sgemm on "
           "squares "
           "of %d. Wanted: 0.70.\n\n| input | n | Gflop/s | sgemm | share | reached |\n"
           "| --- | --- | --- | --- | --- | --- |\n",
           SGEMM_SIDE);
    for (int64_t n = 256; n <= 4096; n *= 2) {
        int64_t count = n <= 512 ? 16384 : 4096;

        print_rate("linear", n, count, measure_linear_rate(n, count));
    }
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct conv *conv = &rows[i].conv;

        print_rate(rows[i].name, fan_in(conv), rows[i].pictures * conv->side * conv->side,
                   measure_rate(conv, rows[i].pictures));
    }
}

/* ---- memory ---------------------------------------------------------------------------------------------------- */

/* Blocks carry their size before what the library sees. */
struct counter {
    size_t now, peak;
};

enum { HEADER = alignof(max_align_t) > sizeof(size_t) ? alignof(max_align_t) : sizeof(size_t) };

static void *count_alloc(size_t size, void *opaque)
{
    struct counter *counter = opaque;
    unsigned char *block = malloc(size + HEADER);

    if (!block)
        return NULL;
    memcpy(block, &size, sizeof size);
    counter->now += size;
    counter->peak = counter->now > counter->peak ? counter->now : counter->peak;
    return block + HEADER;
}

static void count_free(void *block, void *opaque)
{
    struct counter *counter = opaque;
    unsigned char *start = (unsigned char *)block - HEADER;
    size_t size;

    memcpy(&size, start, sizeof size);
    counter->now -= size;
    free(start);
}

/* Over a layer's whole life at the default effort. */
static size_t measure_peak(const struct conv *conv, int64_t pictures, bool with_target, int32_t threads)
{
    struct counter counter = {0, 0};
    bsq_options_t options = effort_options(3, BSQ_WEIGHT_GRID_SYMMETRIC, DEFAULT_EFFORT);

    options.memory_alloc = count_alloc;
    options.memory_free = count_free;
    options.memory_opaque = &counter;
    options.threads = threads;

    bsq_layer_t *layer = create(conv, &options);

    for (int32_t i = 0; i < 2; i++)
        calibrate_pictures(layer, conv, pictures, with_target);
    expect(bsq_optimize(layer, NULL), "bsq_optimize", layer);
    bsq_layer_free(layer);
    if (counter.now)
        stop("memory", "blocks were not freed");
    return counter.peak;
}

static size_t predict_memory(const struct conv *conv, int32_t threads)
{
    bsq_layer_desc_t desc = describe(conv);
    bsq_options_t options = effort_options(3, BSQ_WEIGHT_GRID_SYMMETRIC, DEFAULT_EFFORT);
    size_t bytes;

    options.threads = threads;
    expect(bsq_layer_memory(&desc, &options, &bytes, NULL), "bsq_layer_memory", NULL);
    return bytes;
}

/* 8 G n^2 + 12 M n + 64 MiB, and 4 M n with a target. */
static double memory_bound(const struct conv *conv, bool with_target)
{
    double n = (double)fan_in(conv), weights = (double)conv->out * n;

    return 8 * (double)conv->groups * n * n + (with_target ? 16 : 12) * weights + 64 * 1048576.0;
}

static void run_memory(const struct bench *bench)
{
    static const struct {
        const char *name;
        struct conv conv;
        int64_t pictures;
    } rows[] = {
        {"3x3, 64 to 64", {64, 1, 64, 8, 3}, 16},
        {"1x1, 512 to 512", {512, 1, 512, 8, 1}, 16},
        {"1x1, 256 to 2048", {256, 1, 2048, 8, 1}, 16},
        {"1x1, 1024 to 64", {1024, 1, 64, 8, 1}, 32},
        {"1x1, 2048 to 16", {2048, 1, 16, 8, 1}, 64},
        {"1x1, 4096 to 4", {4096, 1, 4, 8, 1}, 64},
        {"3x3 depthwise, 384", {384, 384, 384, 14, 3}, 4},
        {"3x3 in 4 groups, 256 to 64", {256, 4, 64, 8, 3}, 16},
        {"3x3 in 32 groups, 512 to 64", {512, 32, 64, 8, 3}, 16},
    };

    printf("\n### Memory\n\nPeak of the library's allocations at default effort in MiB, the bound 8 G n^2 + 12 M n + "
           "64 MiB (4 M "
           "n more with a target),\nand what bsq_layer_memory predicts (with a target).\n\n"
           "| layer | threads | target | peak | bound | peak / bound | predicted | predicted / peak |\n"
           "| --- | --- | --- | --- | --- | --- | --- | --- |\n");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct conv *conv = &rows[i].conv;

        if (fan_in(conv) > bench->most_n / 2)
            continue;
        for (int32_t with_target = 0; with_target < 2; with_target++)
            for (int32_t threads = 1; threads <= 1 + with_target; threads++) {
                double peak = (double)measure_peak(conv, rows[i].pictures, with_target != 0, threads);
                double bound = memory_bound(conv, with_target != 0), mib = 1048576;
                double prediction = (double)predict_memory(conv, threads);

                printf("| %s | %d | %s | %.2f | %.2f | %.2f |", rows[i].name, threads, with_target ? "yes" : "no",
                       peak / mib, bound / mib, peak / bound);
                print_cell(with_target ? prediction / mib : 0, "%.2f");
                print_cell(with_target ? prediction / peak : 0, "%.3f");
                printf("\n");
                fflush(stdout);
            }
    }
}

/* ---- program --------------------------------------------------------------------------------------------------- */

static void parse_arguments(struct bench *bench, int argc, char **argv)
{
    *bench = (struct bench){30, 4096, NULL};
    for (int i = 1; i < argc; i++) {
        bool more = i + 1 < argc;

        if (strcmp(argv[i], "--quick") == 0)
            *bench = (struct bench){5, 1024, bench->only};
        else if (strcmp(argv[i], "--long") == 0)
            *bench = (struct bench){HUGE_VAL, 8192, bench->only};
        else if (strcmp(argv[i], "--limit") == 0 && more)
            bench->limit = strtod(argv[++i], NULL);
        else if (strcmp(argv[i], "--only") == 0 && more)
            bench->only = argv[++i];
        else
            stop(argv[i], "unknown option or value missing");
    }
}

int main(int argc, char **argv)
{
    struct bench bench;

    parse_arguments(&bench, argc, argv);
    print_machine(stdout);
    if (wanted(&bench, "statistics"))
        run_statistics();
    if (wanted(&bench, "memory"))
        run_memory(&bench);
    if (wanted(&bench, "threads"))
        run_thread_rows();
    if (wanted(&bench, "shared"))
        run_shared_out();
    if (wanted(&bench, "size"))
        run_sizes(&bench);
    return EXIT_SUCCESS;
}
