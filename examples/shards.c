/* shards: calibration data in two processes, one result.
 *
 * Each process streams its own half of the samples and writes its statistics as bytes; how the bytes travel is the
 * host's business (here a pipe, elsewhere a file or a network). The parent merges them into a layer that has never
 * seen a sample, and compares with one pass over everything. */
#include "common/synthetic.h"

#include <bsq.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SHARDS = 2, INPUTS = 48, OUTPUTS = 16, SAMPLES = 1500 /* in one shard */ };

static float weights[OUTPUTS * INPUTS];
static float activations[SHARDS * SAMPLES * INPUTS];

static bsq_layer_t *create(void)
{
    bsq_layer_desc_t desc;
    bsq_layer_desc_init(&desc, sizeof desc);
    desc.in_channels = INPUTS;
    desc.out_channels = OUTPUTS;
    bsq_options_t options;
    bsq_options_init(&options, sizeof options);
    options.weight_bits = 3;
    bsq_layer_t *layer = NULL;
    const bsq_status_t status = bsq_layer_create(&desc, &options, weights, NULL, &layer, NULL);
    if (status != BSQ_OK) {
        fprintf(stderr, "shards: %s\n", bsq_status_string(status));
    }
    return layer;
}

static bsq_status_t calibrate(bsq_layer_t *layer, const float *input, int64_t samples)
{
    bsq_batch_t batch;
    bsq_batch_init(&batch, sizeof batch);
    batch.input = input;
    batch.size = samples;
    return bsq_layer_calibrate(layer, &batch);
}

/* The statistics of 'layer' as bytes to be freed by the caller; NULL on failure. */
static void *export_statistics(bsq_layer_t *layer, size_t *size)
{
    bsq_stats_t *stats = NULL;
    void *bytes = NULL;
    if (bsq_layer_acquire_stats(layer, 0, &stats) == BSQ_OK && bsq_stats_export_size(stats, size, NULL) == BSQ_OK) {
        bytes = malloc(*size);
    }
    if (bytes != NULL && bsq_stats_export(stats, bytes, *size, NULL) != BSQ_OK) {
        free(bytes);
        bytes = NULL;
    }
    bsq_stats_release(stats);
    return bytes;
}

static int write_all(int file, const void *data, size_t size)
{
    const char *bytes = data;
    while (size > 0) {
        const ssize_t written = write(file, bytes, size);
        if (written <= 0) {
            return 0;
        }
        bytes += written;
        size -= (size_t)written;
    }
    return 1;
}

/* What a child process does. Returns its exit status. */
static int run_shard(int shard, int file)
{
    bsq_layer_t *layer = create();
    size_t size = 0;
    void *bytes = NULL;
    if (layer != NULL && calibrate(layer, activations + (size_t)shard * SAMPLES * INPUTS, SAMPLES) == BSQ_OK) {
        bytes = export_statistics(layer, &size);
    }
    const int good = bytes != NULL && write_all(file, &size, sizeof size) && write_all(file, bytes, size);
    free(bytes);
    bsq_layer_free(layer);
    return !good;
}

/* Starts the process of one shard; returns the end of the pipe from which its statistics come. */
static int start_shard(int shard, pid_t *child)
{
    int ends[2];
    if (pipe(ends) != 0) {
        return -1;
    }
    *child = fork();
    if (*child == 0) {
        close(ends[0]);
        _exit(run_shard(shard, ends[1]));
    }
    close(ends[1]);
    if (*child < 0) {
        close(ends[0]);
        return -1;
    }
    return ends[0];
}

static int read_all(int file, void *data, size_t size)
{
    char *bytes = data;
    while (size > 0) {
        const ssize_t got = read(file, bytes, size);
        if (got <= 0) {
            return 0;
        }
        bytes += got;
        size -= (size_t)got;
    }
    return 1;
}

/* Takes one shard's bytes and merges them into 'layer'. Damaged bytes would be refused by the import. */
static int merge_shard(bsq_layer_t *layer, int file)
{
    size_t size = 0;
    if (!read_all(file, &size, sizeof size)) {
        return 0;
    }
    void *bytes = malloc(size);
    bsq_stats_t *stats = NULL;
    char text[256] = "the statistics did not arrive";
    bsq_error_t error;
    bsq_error_init(&error, sizeof error);
    error.message = text;
    error.capacity = sizeof text;
    int good =
        bytes != NULL && read_all(file, bytes, size) && bsq_stats_import(bytes, size, NULL, &stats, &error) == BSQ_OK;
    free(bytes);
    if (!good) {
        fprintf(stderr, "shards: %s\n", text);
    } else if (bsq_layer_merge_stats(layer, 0, stats) != BSQ_OK) {
        fprintf(stderr, "shards: %s\n", bsq_layer_error_message(layer));
        good = 0;
    }
    bsq_stats_release(stats);
    return good;
}

static int gather_shards(bsq_layer_t *layer)
{
    int good = 1;
    int files[SHARDS];
    pid_t children[SHARDS];
    for (int i = 0; i < SHARDS; i++) {
        files[i] = start_shard(i, &children[i]);
    }
    for (int i = 0; i < SHARDS; i++) {
        if (files[i] < 0) {
            good = 0;
            continue;
        }
        int exit_status = 1;
        good = good && merge_shard(layer, files[i]);
        close(files[i]);
        good = waitpid(children[i], &exit_status, 0) == children[i] && exit_status == 0 && good;
    }
    return good;
}

/* Largest |difference of H_ij| / sqrt(H_ii H_jj). */
static double moment_difference(bsq_layer_t *merged, bsq_layer_t *whole)
{
    static double a[INPUTS * INPUTS];
    static double b[INPUTS * INPUTS];
    bsq_moments_buffers_t moments;
    bsq_moments_buffers_init(&moments, sizeof moments);
    moments.h = a;
    bsq_status_t status = bsq_layer_get_moments(merged, &moments);
    moments.h = b;
    status = status ? status : bsq_layer_get_moments(whole, &moments);
    double worst = status ? HUGE_VAL : 0;
    for (int i = 0; i < INPUTS; i++) {
        for (int j = 0; j < INPUTS; j++) {
            const double size = sqrt(b[i * INPUTS + i] * b[j * INPUTS + j]);
            worst = fmax(worst, fabs(a[i * INPUTS + j] - b[i * INPUTS + j]) / size);
        }
    }
    return worst;
}

static int compare(bsq_layer_t *merged, bsq_layer_t *whole)
{
    bsq_report_t of_merged;
    bsq_report_t of_whole;
    bsq_report_init(&of_merged, sizeof of_merged);
    bsq_report_init(&of_whole, sizeof of_whole);
    if (bsq_optimize(merged, &of_merged) != BSQ_OK || bsq_optimize(whole, &of_whole) != BSQ_OK) {
        fprintf(stderr, "shards: %s%s\n", bsq_layer_error_message(merged), bsq_layer_error_message(whole));
        return 0;
    }
    const double difference = moment_difference(merged, whole);
    printf("two processes merged     %.0f rows, relative output error %.7f\n", of_merged.rows, of_merged.error);
    printf("one pass over all rows   %.0f rows, relative output error %.7f\n", of_whole.rows, of_whole.error);
    printf("moments differ by        %.1e at most\n", difference);
    return difference <= 1e-6 && of_merged.rows == of_whole.rows &&
           fabs(of_merged.error - of_whole.error) <= 0.05 * of_whole.error;
}

int main(void)
{
    synthetic_weights(1, OUTPUTS * INPUTS, weights);
    synthetic_activations(2, SHARDS * SAMPLES, INPUTS, activations);
    bsq_layer_t *merged = create();
    bsq_layer_t *whole = create();
    int good = merged != NULL && whole != NULL && gather_shards(merged);
    if (good && calibrate(whole, activations, SHARDS * SAMPLES) != BSQ_OK) {
        fprintf(stderr, "shards: %s\n", bsq_layer_error_message(whole));
        good = 0;
    }
    if (good && !compare(merged, whole)) {
        fprintf(stderr, "shards: merging does not give what one pass gives\n");
        good = 0;
    }
    bsq_layer_free(merged);
    bsq_layer_free(whole);
    return !good;
}
