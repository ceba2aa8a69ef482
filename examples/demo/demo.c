/* demo.c - quantizes a small network that reads drawn symbols, and shows what is left of its accuracy
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 *     demo WEIGHTS [THREADS]
 */
#include <bsq.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "network.h"
#include "pictures.h"
#include "quantize.h"
#include "show.h"
#include "work.h"

enum { CALIBRATION_PICTURES = 768, TEST_PICTURES = 3000, BANNER_PICTURES = 4, WIDTH = 79 };
enum { SOLVERS = 3, WIDTHS = 3, MODES = 2, TABLE_BITS = 3 };

static const int32_t solvers[SOLVERS] = {BSQ_SOLVER_ROUND, BSQ_SOLVER_PAPER, BSQ_SOLVER_AUTO};
static const char *const solver_names[SOLVERS] = {"rounding", "paper mode", "default"};
static const int solver_styles[SOLVERS] = {SHOW_RED, SHOW_YELLOW, SHOW_GREEN};
static const int32_t weight_bits[WIDTHS] = {4, 3, 2};
static const int32_t input_bits[MODES] = {0, 8};

struct demo {
    struct network *network;
    struct calibration calibration;
    float *test_pictures;
    int32_t *test_labels;
    int32_t threads;
    double solve_seconds[SOLVERS];
    double other_seconds;
    struct outcome table[SOLVERS]; /* weights of TABLE_BITS bits, float activations */
};

/* ---- pictures ----------------------------------------------------------------------------------------------- */

struct drawing {
    int64_t stream;
    float *pixels;
    int32_t *labels;
};

static void draw_range(void *context, int64_t first, int64_t end)
{
    const struct drawing *drawing = context;
    pictures_draw(drawing->stream, first, end - first, drawing->pixels + first * PICTURE_VALUES,
                  drawing->labels + first);
}

static float *draw(int64_t stream, int64_t count, int32_t *labels, int32_t threads)
{
    float *pixels = work_alloc(count * PICTURE_VALUES, sizeof *pixels);
    struct drawing drawing = {stream, pixels, labels};
    work_run(threads, count, draw_range, &drawing);
    return pixels;
}

static void prepare(struct demo *demo)
{
    int32_t *labels = work_alloc(CALIBRATION_PICTURES, sizeof *labels);
    demo->calibration.count = CALIBRATION_PICTURES;
    demo->calibration.pictures = draw(PICTURE_STREAM_CALIBRATION, CALIBRATION_PICTURES, labels, demo->threads);
    free(labels);
    calibration_collect(&demo->calibration, demo->network, demo->threads);
    demo->test_labels = work_alloc(TEST_PICTURES, sizeof *demo->test_labels);
    demo->test_pictures = draw(PICTURE_STREAM_TEST, TEST_PICTURES, demo->test_labels, demo->threads);
}

/* ---- accuracy ----------------------------------------------------------------------------------------------- */

struct trial {
    const struct network *network;
    const struct demo *demo;
    unsigned char *right; /* one for each test picture */
};

static int32_t best_class(const float *scores)
{
    int32_t best = 0;
    for (int32_t i = 1; i < PICTURE_CLASSES; i++) {
        best = scores[i] > scores[best] ? i : best;
    }
    return best;
}

static void try_range(void *context, int64_t first, int64_t end)
{
    const struct trial *trial = context;
    float *scores = work_alloc((end - first) * PICTURE_CLASSES, sizeof *scores);
    network_run(trial->network, end - first, trial->demo->test_pictures + first * PICTURE_VALUES, scores);
    for (int64_t i = first; i < end; i++) {
        trial->right[i] = best_class(scores + (i - first) * PICTURE_CLASSES) == trial->demo->test_labels[i];
    }
    free(scores);
}

static double accuracy(const struct demo *demo, const struct network *network)
{
    struct trial trial = {network, demo, work_alloc(TEST_PICTURES, 1)};
    work_run(demo->threads, TEST_PICTURES, try_range, &trial);
    int64_t right = 0;
    for (int64_t i = 0; i < TEST_PICTURES; i++) {
        right += trial.right[i];
    }
    free(trial.right);
    return (double)right / TEST_PICTURES;
}

/* ---- what is printed ------------------------------------------------------------------------------------------ */

/* Bytes of weights of 'bits' bits with a float32 scale for each output channel (none at 32 bits) and float32 biases. */
static double kilobytes(const struct network *network, int32_t bits)
{
    double bytes = 0;
    for (int32_t i = 0; i < network->count; i++) {
        const struct layer *layer = &network->layers[i];
        bytes += (double)layer_weight_values(layer) * bits / 8 + layer->outputs * (bits < 32 ? 8.0 : 4.0);
    }
    return bytes / 1000;
}

static int64_t weight_count(const struct network *network)
{
    int64_t count = 0;
    for (int32_t i = 0; i < network->count; i++) {
        count += layer_weight_values(&network->layers[i]);
    }
    return count;
}

static void print_banner(const struct demo *demo)
{
    /* Chosen by eye: bright symbols that survive a terminal's few cells. */
    static const int64_t chosen[BANNER_PICTURES] = {2588, 1748, 2559, 2303};
    const float *pictures[BANNER_PICTURES];
    const char *names[BANNER_PICTURES];
    for (int i = 0; i < BANNER_PICTURES; i++) {
        pictures[i] = demo->test_pictures + chosen[i] * PICTURE_VALUES;
        names[i] = picture_class_name(demo->test_labels[chosen[i]]);
    }
    putchar('\n');
    show_pictures(pictures, names, BANNER_PICTURES);
    printf("\n libbsq %s quantizes a network that tells %d drawn symbols apart: %d layers,\n"
           " %lld weights. Above are four of the %d test pictures. The network was trained\n"
           " on others, and the %d pictures that calibrate the library are others again.\n\n",
           bsq_version_string(), PICTURE_CLASSES, (int)demo->network->count, (long long)weight_count(demo->network),
           TEST_PICTURES, CALIBRATION_PICTURES);
}

static void print_accuracy(double share, int style)
{
    printf("%6.1f %%  ", 100 * share);
    show_bar(share, 16, style);
}

static void print_accuracy_head(const struct demo *demo)
{
    show_style(SHOW_BOLD);
    printf(" Test accuracy. All layers have weights of so many bits, the first and last too.\n");
    show_style(SHOW_PLAIN);
    printf(" bits     size  solver        weights only                8-bit activations too\n ");
    show_rule(WIDTH);
    printf(" %4d  %4.0f KB  %-10s", 32, kilobytes(demo->network, 32), "float");
    print_accuracy(accuracy(demo, demo->network), SHOW_BOLD);
    printf("\n ");
    show_rule(WIDTH);
}

static void add_times(struct demo *demo, int solver, const struct outcome *outcome)
{
    double solving = 0;
    for (int32_t i = 0; i < demo->network->count; i++) {
        solving += outcome->solve_seconds[i];
    }
    demo->solve_seconds[solver] += solving / (WIDTHS * MODES);
    demo->other_seconds += (outcome->seconds - solving) / (WIDTHS * MODES * SOLVERS);
}

static double quantized_accuracy(struct demo *demo, int bits, int solver, int mode)
{
    char text[80];
    snprintf(text, sizeof text, " %d bits, %s ...", (int)weight_bits[bits], solver_names[solver]);
    show_progress(text);
    struct setting setting = {weight_bits[bits], input_bits[mode], solvers[solver], demo->threads};
    struct outcome outcome = {{0}, {0}, 0};
    struct network *quantized = quantize_network(demo->network, &demo->calibration, &setting, &outcome);
    double result = accuracy(demo, quantized);
    network_free(quantized);
    add_times(demo, solver, &outcome);
    if (weight_bits[bits] == TABLE_BITS && input_bits[mode] == 0) {
        demo->table[solver] = outcome;
    }
    show_progress(NULL);
    return result;
}

static void print_accuracy_rows(struct demo *demo, int bits)
{
    for (int solver = 0; solver < SOLVERS; solver++) {
        double shares[MODES];
        for (int mode = 0; mode < MODES; mode++) {
            shares[mode] = quantized_accuracy(demo, bits, solver, mode);
        }
        if (solver == 0) {
            printf(" %4d  %4.0f KB  ", (int)weight_bits[bits], kilobytes(demo->network, weight_bits[bits]));
        } else {
            printf(" %4s  %4s     ", "", "");
        }
        printf("%-10s", solver_names[solver]);
        print_accuracy(shares[0], solver_styles[solver]);
        print_accuracy(shares[1], solver_styles[solver]);
        putchar('\n');
        fflush(stdout);
    }
    putchar(' ');
    show_rule(WIDTH);
}

static void print_legend(void)
{
    show_style(SHOW_DIM);
    printf(" rounding: to the nearest step, the better of two scales for each output channel.\n"
           " paper mode: bit-split and stitching as published. default: libbsq unless told\n"
           " otherwise. Other test pictures would move each number by about %.1f %%.\n",
           100 * sqrt(0.95 * 0.05 / TEST_PICTURES));
    show_style(SHOW_PLAIN);
}

static double largest_error(const struct demo *demo)
{
    double largest = 1e-30;
    for (int32_t i = 0; i < demo->network->count; i++) {
        for (int solver = 0; solver < SOLVERS; solver++) {
            double error = demo->table[solver].error[i];
            largest = error > largest ? error : largest;
        }
    }
    return largest;
}

static void print_layers(const struct demo *demo)
{
    show_style(SHOW_BOLD);
    printf("\n Layer by layer at %d bits: output error inside the quantized network, relative to\n"
           " the float network's output. Errors of the layers before are part of it.\n",
           TABLE_BITS);
    show_style(SHOW_PLAIN);
    printf(" layer        weights  rounding    paper  default   █ default ▒ paper ░ rounding\n ");
    show_rule(WIDTH);
    double largest = largest_error(demo);
    for (int32_t i = 0; i < demo->network->count; i++) {
        const struct layer *layer = &demo->network->layers[i];
        double error[SOLVERS];
        for (int solver = 0; solver < SOLVERS; solver++) {
            error[solver] = demo->table[solver].error[i];
        }
        printf(" %-10s %3d x %3d  %8.4f %8.4f %8.4f   ", layer->name, (int)layer->outputs, (int)layer->fan_in, error[0],
               error[1], error[2]);
        show_bars(error[2] / largest, error[1] / largest, error[0] / largest, 28);
        putchar('\n');
    }
    putchar(' ');
    show_rule(WIDTH);
}

static void print_times(const struct demo *demo, double start)
{
    printf("\n To quantize the whole network once: %.2f s to run it and gather statistics, then\n ",
           demo->other_seconds);
    for (int solver = 0; solver < SOLVERS; solver++) {
        printf("%.2f s for %s%s", demo->solve_seconds[solver], solver_names[solver],
               solver < SOLVERS - 1 ? ", " : ".\n");
    }
    printf(" This page: %.0f s on %d thread%s.\n\n", work_seconds() - start, (int)demo->threads,
           demo->threads == 1 ? "" : "s");
}

/* ---- main --------------------------------------------------------------------------------------------------- */

static int32_t read_threads(const char *text)
{
    char *end;
    intmax_t threads = strtoimax(text, &end, 10);
    return *text && !*end && threads >= 1 && threads <= WORK_MAX_THREADS ? (int32_t)threads : 0;
}

int main(int argc, char **argv)
{
    double start = work_seconds();
    struct demo demo = {0};
    demo.threads = argc > 2 ? read_threads(argv[2]) : work_threads();
    if (argc < 2 || argc > 3 || demo.threads == 0) {
        fprintf(stderr, "usage: demo WEIGHTS [THREADS]     1 to %d threads\n", WORK_MAX_THREADS);
        return 2;
    }
    const char *problem = NULL;
    demo.network = network_read(argv[1], PICTURE_SIZE, PICTURE_COLORS, &problem);
    if (!demo.network) {
        fprintf(stderr, "demo: %s %s\n", argv[1], problem);
        return 1;
    }
    if (demo.network->layers[demo.network->count - 1].outputs != PICTURE_CLASSES) {
        fprintf(stderr, "demo: %s does not tell %d classes apart\n", argv[1], PICTURE_CLASSES);
        network_free(demo.network);
        return 1;
    }
    show_start();
    prepare(&demo);
    print_banner(&demo);
    print_accuracy_head(&demo);
    for (int bits = 0; bits < WIDTHS; bits++) {
        print_accuracy_rows(&demo, bits);
    }
    print_legend();
    print_layers(&demo);
    print_times(&demo, start);
    free(demo.test_pictures);
    free(demo.test_labels);
    free((void *)demo.calibration.pictures);
    calibration_free(&demo.calibration);
    network_free(demo.network);
    return 0;
}
