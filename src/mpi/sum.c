/* Sums over shards on one rank: complete parts of the tree are added up as soon as they are there. */
#include "mpi/private.h"

#include <string.h>

/* ---- nodes ------------------------------------------------------------------------------------------------ */

void bsq_mpi_add(double *to, const double *left, const double *right, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        to[i] = (left ? left[i] : 0.0) + (right ? right[i] : 0.0);
}

/* Makes one node of two halves. A half without rows counts as zeros, as between ranks. */
static void join(bsq_mpi_sum_t *sum, struct bsq_mpi_node *left, struct bsq_mpi_node *right)
{
    if (!left->values) {
        left->values = right->values;
        right->values = NULL;
    }
    if (left->values)
        bsq_mpi_add(left->values, left->values, right->values, sum->count);
    bsq_mpi_put(&sum->memory, right->values);
    sum->node_count--;
}

/* Adds the last two nodes where they are the halves of one. Where there are no shards for the right half of a node it
 * is its left one. */
static void add_up(bsq_mpi_sum_t *sum)
{
    while (sum->node_count > 0) {
        struct bsq_mpi_node *last = &sum->nodes[sum->node_count - 1], *left = last;
        bool is_end = (last->index + 1) << last->level >= sum->shards;

        if (last->index % 2 == 0 && (!is_end || last->index == 0))
            return;
        if (last->index % 2 != 0) {
            left = last - 1;
            if (sum->node_count == 1 || left->level != last->level || left->index != last->index - 1)
                return;
            join(sum, left, last);
        }
        left->level++;
        left->index /= 2;
    }
}

void bsq_mpi_sum_clear(bsq_mpi_sum_t *sum)
{
    for (int i = 0; i < sum->node_count; i++)
        bsq_mpi_put(&sum->memory, sum->nodes[i].values);
    sum->node_count = 0;
    sum->next = sum->first;
    sum->count = 0;
}

/* ---- life ------------------------------------------------------------------------------------------------- */

bsq_status_t bsq_mpi_sum_create(bsq_mpi_t *mpi, int64_t shards, bsq_mpi_sum_t **sum)
{
    const int64_t most = INT64_C(1) << 40;
    bsq_mpi_sum_t *made;

    if (sum)
        *sum = NULL;
    if (!mpi)
        return BSQ_E_ARGUMENT;
    if (!sum)
        return bsq_mpi_fail(&mpi->text, BSQ_E_ARGUMENT, "'sum' is NULL");
    if (shards < 1 || shards > most)
        return bsq_mpi_fail(&mpi->text, BSQ_E_RANGE, "shards is %lld, must be 1..2^40", (long long)shards);
    made = bsq_mpi_get(&mpi->memory, 1, sizeof *made);
    if (!made)
        return bsq_mpi_fail_memory(&mpi->text);
    made->memory = mpi->memory;
    made->mpi = mpi;
    made->shards = shards;
    bsq_mpi_share_of(shards, mpi->line.rank, mpi->line.size, &made->first, &made->end);
    made->next = made->first;
    *sum = made;
    return BSQ_OK;
}

void bsq_mpi_sum_free(bsq_mpi_sum_t *sum)
{
    struct bsq_mpi_memory memory;

    if (!sum || sum->exchange || sum->lent)
        return; /* under way, or MPI may still read it */
    memory = sum->memory;
    bsq_mpi_sum_clear(sum);
    bsq_mpi_put(&memory, sum);
}

/* ---- adding ----------------------------------------------------------------------------------------------- */

/* Checks that a shard's layer is of the kind of those before. */
static bsq_status_t check_layer(bsq_mpi_sum_t *sum, bsq_layer_t *layer, int64_t *description, int64_t *inputs)
{
    struct bsq_mpi_text *text = &sum->mpi->text;
    bsq_status_t status;

    if ((status = bsq_layer_fingerprint(layer, BSQ_FINGERPRINT_DESCRIPTION, description)) != BSQ_OK ||
        (status = bsq_layer_fingerprint(layer, BSQ_FINGERPRINT_INPUTS, inputs)) != BSQ_OK)
        return bsq_mpi_fail_layer(text, status, layer);
    if (sum->count && *description != sum->description)
        return bsq_mpi_fail(text, BSQ_E_MISMATCH, "the layer of this shard has another description");
    if (sum->count && *inputs != sum->inputs)
        return bsq_mpi_fail(text, BSQ_E_MISMATCH,
                            "the inputs of this shard are quantized in another way: call bsq_mpi_share_quantizer");
    return BSQ_OK;
}

/* Reads the numbers of a layer's statistics; none where it has none. */
static bsq_status_t read_numbers(bsq_mpi_sum_t *sum, bsq_layer_t *layer, int32_t held_out, double **values,
                                 int64_t *count)
{
    struct bsq_mpi_text *text = &sum->mpi->text;
    bsq_error_t error = {sizeof error, text->text, sizeof text->text, 0, 0};
    bsq_options_t options;
    bsq_stats_t *stats = NULL;
    size_t numbers = 0;
    bsq_status_t status;

    bsq_options_init(&options, sizeof options);
    if ((status = bsq_layer_get_options(layer, &options)) != BSQ_OK ||
        (status = bsq_layer_acquire_stats(layer, held_out, &stats)) != BSQ_OK)
        return bsq_mpi_fail_layer(text, status, layer);
    if ((status = bsq_stats_sum_count(stats, &numbers, &error)) == BSQ_OK) {
        *count = (int64_t)numbers;
        if (sum->count && *count != sum->count)
            status = bsq_mpi_fail(text, BSQ_E_MISMATCH, "statistics with and without a target");
        else if (!(*values = bsq_mpi_get_numbers(&sum->memory, *count)))
            status = bsq_mpi_fail_memory(text);
        else
            status = bsq_stats_get_sums(stats, &options, *values, numbers, &error);
    }
    bsq_stats_release(stats);
    if (status != BSQ_OK) {
        bsq_mpi_put(&sum->memory, *values);
        *values = NULL;
    }
    return status;
}

static bool has_statistics(bsq_layer_t *layer, int32_t held_out)
{
    bsq_layer_info_t info;

    bsq_layer_info_init(&info, sizeof info);
    return bsq_layer_info(layer, &info) == BSQ_OK &&
           info.state & (held_out ? BSQ_STATE_HELD_OUT : BSQ_STATE_STATISTICS);
}

bsq_status_t bsq_mpi_sum_add(bsq_mpi_sum_t *sum, int64_t shard, bsq_layer_t *layer, int32_t held_out)
{
    struct bsq_mpi_node *node;
    double *values = NULL;
    int64_t count = 0, description = 0, inputs = 0;
    bsq_status_t status;

    if (!sum)
        return BSQ_E_ARGUMENT;
    if (sum->exchange)
        return bsq_mpi_fail(&sum->mpi->text, BSQ_E_STATE, "the sum is under way");
    if (shard != sum->next || shard >= sum->end)
        return bsq_mpi_fail(&sum->mpi->text, BSQ_E_STATE,
                            "shard %lld: the next one of this rank's share %lld..%lld is %lld", (long long)shard,
                            (long long)sum->first, (long long)sum->end - 1, (long long)sum->next);
    if (!layer)
        return bsq_mpi_fail(&sum->mpi->text, BSQ_E_ARGUMENT, "'layer' is NULL");
    if (has_statistics(layer, held_out)) {
        if ((status = check_layer(sum, layer, &description, &inputs)) != BSQ_OK ||
            (status = read_numbers(sum, layer, held_out, &values, &count)) != BSQ_OK)
            return status;
        sum->count = count;
        sum->description = description;
        sum->inputs = inputs;
    }
    node = &sum->nodes[sum->node_count++];
    *node = (struct bsq_mpi_node){0, shard, values};
    sum->next++;
    add_up(sum);
    return BSQ_OK;
}
