/* attention: query, key and value read one tensor, so they calibrate once; the samples come in two shards, and a shard
 * is interrupted and goes on.
 *
 * Each shard streams its samples through one layer and exports its statistics. The results of both go into the query
 * layer; key and value share its inputs. All three then give what one pass over all samples gives. */
#include "common/synthetic.h"

#include <bsq.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { LAYERS = 3, SHARDS = 2, INPUTS = 64, OUTPUTS = 24, SAMPLES = 1100 /* of one shard */ };

static const char *const names[LAYERS] = {"query", "key", "value"};
static float weights[LAYERS][OUTPUTS * INPUTS];
static float activations[SHARDS][SAMPLES * INPUTS];

/* Stops the first call that works for long enough to report, and no other. */
static int32_t interrupt_once(const bsq_progress_t *progress, void *opaque)
{
    int *interrupts = opaque;
    (void)progress;
    return (*interrupts)++ == 0;
}

static bsq_layer_t *create(int layer, int *interrupts)
{
    bsq_layer_desc_t desc;
    bsq_layer_desc_init(&desc, sizeof desc);
    desc.in_channels = INPUTS;
    desc.out_channels = OUTPUTS;
    bsq_options_t options;
    bsq_options_init(&options, sizeof options);
    options.weight_bits = 3;
    if (interrupts != NULL) {
        options.progress = interrupt_once;
        options.progress_opaque = interrupts;
    }
    bsq_layer_t *created = NULL;
    const bsq_status_t status = bsq_layer_create(&desc, &options, weights[layer], NULL, &created, NULL);
    if (status != BSQ_OK) {
        fprintf(stderr, "attention: %s\n", bsq_status_string(status));
    }
    return created;
}

static bsq_status_t calibrate(bsq_layer_t *layer, int shard)
{
    bsq_batch_t batch;
    bsq_batch_init(&batch, sizeof batch);
    batch.input = activations[shard];
    batch.size = SAMPLES;
    return bsq_layer_calibrate(layer, &batch);
}

/* The statistics of a shard. An interrupted call leaves the layer as it was: the same batch is simply given again. */
static bsq_stats_t *run_shard(int shard)
{
    int interrupts = 0;
    bsq_layer_t *layer = create(0, &interrupts);
    bsq_stats_t *stats = NULL;
    bsq_status_t status = calibrate(layer, shard);
    if (status == BSQ_E_CANCELLED) {
        printf("  shard %d                interrupted, and again\n", shard);
        status = calibrate(layer, shard);
    }
    status = status ? status : bsq_layer_acquire_stats(layer, 0, &stats);
    if (status != BSQ_OK) {
        fprintf(stderr, "attention: %s\n", bsq_layer_error_message(layer));
    }
    bsq_layer_free(layer);
    return stats;
}

/* Solves; and compares with the same layer after one pass over all samples. */
static int finish(int index, bsq_layer_t *layer)
{
    bsq_report_t report;
    bsq_report_t whole;
    bsq_report_init(&report, sizeof report);
    bsq_report_init(&whole, sizeof whole);
    bsq_layer_t *one_pass = create(index, NULL);
    bsq_status_t status = bsq_optimize(layer, &report);
    for (int s = 0; s < SHARDS; s++) {
        status = status ? status : calibrate(one_pass, s);
    }
    status = status ? status : bsq_optimize(one_pass, &whole);
    bsq_layer_free(one_pass);
    if (status != BSQ_OK) {
        fprintf(stderr, "attention: %s\n", bsq_layer_error_message(layer));
        return 1;
    }
    printf("  %-22s %.5f relative output error, %.5f after one pass, %.0f rows\n", names[index], report.error,
           whole.error, report.rows);
    return !(fabs(report.error - whole.error) <= 0.02 * whole.error) || report.rows < SHARDS * SAMPLES;
}

int main(void)
{
    bsq_stats_t *stats[SHARDS] = {NULL};
    bsq_layer_t *layers[LAYERS] = {NULL};
    bsq_status_t status = BSQ_OK;
    int failed = 0;

    for (int k = 0; k < LAYERS; k++) {
        synthetic_weights((uint64_t)k + 1, OUTPUTS * INPUTS, weights[k]);
    }
    for (int s = 0; s < SHARDS; s++) {
        synthetic_activations((uint64_t)s + 10, SAMPLES, INPUTS, activations[s]);
    }
    printf("query, key and value, %d -> %d each, %d shards of %d samples\n", INPUTS, OUTPUTS, SHARDS, SAMPLES);
    for (int k = 0; k < LAYERS; k++) {
        layers[k] = create(k, NULL);
    }
    for (int s = 0; s < SHARDS; s++) {
        stats[s] = run_shard(s);
        status = status ? status : bsq_layer_merge_stats(layers[0], 0, stats[s]);
        bsq_stats_release(stats[s]);
    }
    for (int k = 1; k < LAYERS; k++) {
        status = status ? status : bsq_layer_share_input(layers[k], layers[0]);
    }
    if (status != BSQ_OK) {
        fprintf(stderr, "attention: %s\n", bsq_status_string(status));
        failed = 1;
    }
    for (int k = 0; k < LAYERS && !failed; k++) {
        failed = finish(k, layers[k]);
    }
    for (int k = 0; k < LAYERS; k++) {
        bsq_layer_free(layers[k]);
    }
    return failed;
}
