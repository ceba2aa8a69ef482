/* What must be the same on all ranks: each compares its own with rank 0's and names the first difference. */
#include "mpi/private.h"

#include <stdio.h>
#include <string.h>

/* Where rank 0 says that it could not find all of its values. */
enum { INCOMPLETE = BSQ_MPI_VALUES - 1 };

static const char *name_of_call(int64_t call)
{
    static const char *const names[BSQ_MPI_CALLS] = {
        [BSQ_MPI_CALL_CREATE] = "bsq_mpi_create",
        [BSQ_MPI_CALL_AGREE] = "bsq_mpi_agree",
        [BSQ_MPI_CALL_QUANTIZER] = "bsq_mpi_share_quantizer",
        [BSQ_MPI_CALL_REDUCE] = "bsq_mpi_reduce",
        [BSQ_MPI_CALL_BEGIN] = "bsq_mpi_reduce_begin",
        [BSQ_MPI_CALL_END] = "bsq_mpi_reduce_end",
        [BSQ_MPI_CALL_OPTIMIZE] = "bsq_mpi_optimize",
        [BSQ_MPI_CALL_NETWORK] = "bsq_mpi_network",
    };

    return call > 0 && call < BSQ_MPI_CALLS ? names[call] : "another call";
}

static void add(struct bsq_mpi_same *same, const char *name, int64_t value)
{
    same->names[same->count] = name;
    same->values[same->count++] = value;
}

void bsq_mpi_same_begin(struct bsq_mpi_same *same, int call)
{
    memset(same, 0, sizeof *same);
    add(same, "the call", call);
}

void bsq_mpi_same_integer(struct bsq_mpi_same *same, const char *name, int64_t value)
{
    add(same, name, value);
}

void bsq_mpi_same_real(struct bsq_mpi_same *same, const char *name, double value)
{
    int64_t bits;

    memcpy(&bits, &value, sizeof bits);
    same->real[same->count] = true;
    add(same, name, bits);
}

void bsq_mpi_same_hidden(struct bsq_mpi_same *same, const char *name, int64_t value)
{
    same->hidden[same->count] = true;
    add(same, name, value);
}

bsq_status_t bsq_mpi_same_layer(struct bsq_mpi_same *same, bsq_layer_t *layer, struct bsq_mpi_text *text)
{
    bsq_layer_info_t info;
    int64_t description = 0, inputs = 0;
    bsq_status_t status;

    bsq_layer_info_init(&info, sizeof info);
    if ((status = bsq_layer_info(layer, &info)) != BSQ_OK ||
        (status = bsq_layer_fingerprint(layer, BSQ_FINGERPRINT_DESCRIPTION, &description)) != BSQ_OK ||
        (status = bsq_layer_fingerprint(layer, BSQ_FINGERPRINT_INPUTS, &inputs)) != BSQ_OK)
        return bsq_mpi_fail_layer(text, status, layer);
    bsq_mpi_same_integer(same, "in_channels", info.in_channels);
    bsq_mpi_same_integer(same, "out_channels", info.out_channels);
    bsq_mpi_same_integer(same, "groups", info.groups);
    bsq_mpi_same_integer(same, "fan-in", info.fan_in);
    bsq_mpi_same_hidden(same, "kernel, stride, padding, dilation or layouts", description);
    bsq_mpi_same_hidden(same, "the input quantizer", inputs);
    return BSQ_OK;
}

void bsq_mpi_same_options(struct bsq_mpi_same *same, const bsq_options_t *options)
{
    int64_t levels = 0;

    for (int32_t i = 0; options->levels && i < options->level_count; i++)
        levels = levels * 31 + options->levels[i] + 128;
    bsq_mpi_same_integer(same, "weight_bits", options->weight_bits);
    bsq_mpi_same_integer(same, "weight_grid", options->weight_grid);
    bsq_mpi_same_integer(same, "scale_kind", options->scale_kind);
    bsq_mpi_same_integer(same, "scale_format", options->scale_format);
    bsq_mpi_same_integer(same, "group_size", options->group_size);
    bsq_mpi_same_integer(same, "solver", options->solver);
    bsq_mpi_same_integer(same, "effort", options->effort);
    bsq_mpi_same_integer(same, "bias_correction", options->bias_correction);
    bsq_mpi_same_integer(same, "select_on_held_out", options->select_on_held_out);
    bsq_mpi_same_integer(same, "lower_bound", options->lower_bound);
    bsq_mpi_same_integer(same, "super_group", options->super_group);
    bsq_mpi_same_integer(same, "level_count", options->level_count);
    bsq_mpi_same_hidden(same, "the table of levels", levels);
    bsq_mpi_same_integer(same, "scale_bits", options->scale_bits);
    bsq_mpi_same_integer(same, "scale_signed", options->scale_signed);
    bsq_mpi_same_integer(same, "zero_point_least", options->zero_point_least);
    bsq_mpi_same_integer(same, "keep_scales", options->keep_scales);
    bsq_mpi_same_real(same, "scale_unit", (double)options->scale_unit);
    bsq_mpi_same_real(same, "damping", options->damping);
    bsq_mpi_same_real(same, "asymmetry", options->asymmetry);
}

static double real_of(int64_t bits)
{
    double value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

static bsq_status_t name_difference(const struct bsq_mpi_same *same, int i, int64_t other, struct bsq_mpi_text *text)
{
    const char *name = same->names[i];

    if (i == 0)
        return bsq_mpi_fail(text, BSQ_MPI_E_DIFFERENT, "the call is %s, that of rank 0 is %s",
                            name_of_call(same->values[0]), name_of_call(other));
    if (same->hidden[i])
        return bsq_mpi_fail(text, BSQ_MPI_E_DIFFERENT, "%s: not the same as on rank 0", name);
    if (same->real[i])
        return bsq_mpi_fail(text, BSQ_MPI_E_DIFFERENT, "%s is %.9g, on rank 0 it is %.9g", name,
                            real_of(same->values[i]), real_of(other));
    return bsq_mpi_fail(text, BSQ_MPI_E_DIFFERENT, "%s is %lld, on rank 0 it is %lld", name, (long long)same->values[i],
                        (long long)other);
}

bsq_status_t bsq_mpi_compare(struct bsq_mpi_line *line, const struct bsq_mpi_same *same, bsq_status_t status,
                             const struct bsq_mpi_text *text)
{
    struct bsq_mpi_text own = {""};
    bool complete = status == BSQ_OK;
    bsq_status_t failed;

    memcpy(line->sent, same->values, sizeof line->sent);
    line->sent[INCOMPLETE] = !complete;
    if ((failed = bsq_mpi_from(line, BSQ_MPI_VALUES, 0, "for the others to make the same call")) != BSQ_OK)
        return failed;
    complete = complete && !line->got[INCOMPLETE];
    for (int i = 0; i < (complete ? same->count : 1); i++) {
        if (same->values[i] == line->got[i])
            continue;
        status = name_difference(same, i, line->got[i], &own);
        break;
    }
    return bsq_mpi_settle(line, status, false, *own.text ? own.text : text->text);
}
