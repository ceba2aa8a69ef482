/* Exported statistics from anywhere: refused, or good enough to be read, written and added to. */
#include "base/options.h"
#include "stats/private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { AT_SIZE = 16, CHECKSUM = 8, LEAST = 64 };

static void require(bool true_always)
{
    if (!true_always)
        abort();
}

/* What was accepted is what would have been written. */
static void check_export(const bsq_stats_t *stats, const uint8_t *data, size_t size)
{
    size_t needed;
    uint8_t *again = malloc(size);

    require(bsq_stats_export_size(stats, &needed, NULL) == BSQ_OK && needed == size);
    require(again && bsq_stats_export(stats, again, size, NULL) == BSQ_OK);
    require(memcmp(again, data, size) == 0);
    free(again);
}

/* The first group's H is read without touching memory that is not ours. Its values may be anything. */
static void check_read(const bsq_stats_t *stats)
{
    int64_t n = stats->geometry.fan_in;
    struct bsq_memory memory = bsq_memory_hooks(NULL);
    void *scratch = bsq_memory_get(&memory, 1, bsq_stats_scratch(&stats->geometry));
    double *h = bsq_memory_get(&memory, n * n, sizeof(double));
    struct bsq_group_moments moments = {.h = h};

    require(scratch && h);
    bsq_stats_read(stats, stats->geometry.groups - 1, &moments, scratch);
    for (int64_t i = 0; i < n; i++)
        require(h[i] == h[i * n] || isnan(h[i]));
    bsq_memory_put(&memory, scratch);
    bsq_memory_put(&memory, h);
}

static void try_import(const uint8_t *data, size_t size)
{
    bsq_stats_t *stats = NULL;
    char text[256] = "";
    bsq_error_t error;
    bsq_status_t status;

    bsq_error_init(&error, sizeof error);
    error.message = text;
    error.capacity = sizeof text;
    status = bsq_stats_import(data, size, NULL, &stats, &error);
    require((status == BSQ_OK) == (stats != NULL) && (status == BSQ_OK) == (text[0] == '\0'));
    require(status == BSQ_OK || status == BSQ_E_FORMAT || status == BSQ_E_CORRUPT || status == BSQ_E_VERSION);
    if (!stats)
        return;
    check_export(stats, data, size);
    check_read(stats);
    bsq_stats_release(stats);
}

/* As it is, and with size and checksum put right, so that what is behind them is reached. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *forged;
    uint64_t checksum;

    try_import(data, size);
    if (size < LEAST)
        return 0;
    forged = malloc(size);
    require(forged != NULL);
    memcpy(forged, data, size);
    for (size_t i = 0; i < 8; i++)
        forged[AT_SIZE + i] = (uint8_t)((uint64_t)size >> (8 * i));
    checksum = bsq_stats_checksum(forged, size - CHECKSUM);
    for (size_t i = 0; i < CHECKSUM; i++)
        forged[size - CHECKSUM + i] = (uint8_t)(checksum >> (8 * i));
    try_import(forged, size);
    free(forged);
    return 0;
}
