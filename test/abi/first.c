/* A host that was built against the first version of the header, a copy of which is in test/abi/first. It runs against
 * the library of today and, in test/grown.sh, against one whose structs and functions have grown: nothing behind its
 * structs may be touched, and everything works as it did. */
#include "bsq.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { M = 4, N = 6, ROWS = 50, GUARD = 0xA5, GUARDED = 64 };

/* A struct of the host with bytes behind it that belong to the host. */
#define GUARDED_STRUCT(type)                                                                                           \
    struct {                                                                                                           \
        type it;                                                                                                       \
        unsigned char behind[GUARDED];                                                                                 \
    }

static int guards_broken;

static void arm(unsigned char *behind)
{
    memset(behind, GUARD, GUARDED);
}

static void look(const unsigned char *behind, const char *name)
{
    for (int i = 0; i < GUARDED; i++)
        if (behind[i] != GUARD) {
            printf("%s: byte %d behind the struct was written\n", name, i);
            guards_broken = 1;
            return;
        }
}

static void must(bsq_status_t status, const char *call, const bsq_layer_t *layer)
{
    if (status == BSQ_OK)
        return;
    printf("%s: %s, %s\n", call, bsq_status_string(status), layer ? bsq_layer_error_message(layer) : "");
    exit(1);
}

#define MUST(call) must(call, #call, layer)

int main(void)
{
    GUARDED_STRUCT(bsq_options_t) options;
    GUARDED_STRUCT(bsq_layer_desc_t) desc;
    GUARDED_STRUCT(bsq_batch_t) batch;
    GUARDED_STRUCT(bsq_layer_info_t) info;
    GUARDED_STRUCT(bsq_input_quantizer_t) quantizer;
    GUARDED_STRUCT(bsq_report_t) report;
    GUARDED_STRUCT(bsq_stage_t) stage;
    GUARDED_STRUCT(bsq_channel_t) channel;
    GUARDED_STRUCT(bsq_tensor_t) tensor;
    GUARDED_STRUCT(bsq_norm_t) norm;
    GUARDED_STRUCT(bsq_allocation_t) allocation;
    GUARDED_STRUCT(bsq_error_t) error;
    float weights[M * N], input[ROWS * N], scales[M];
    int8_t codes[M * N];
    unsigned char packed[M * N / 2];
    double errors[3];
    const int64_t costs[3] = {2, 3, 4};
    int32_t chosen;
    size_t bytes;
    bsq_layer_t *layer = NULL;

#define START(name, init) (arm(name.behind), init(&name.it, sizeof name.it))
    START(options, bsq_options_init);
    START(desc, bsq_layer_desc_init);
    START(batch, bsq_batch_init);
    START(info, bsq_layer_info_init);
    START(quantizer, bsq_input_quantizer_init);
    START(report, bsq_report_init);
    START(stage, bsq_stage_init);
    START(channel, bsq_channel_init);
    START(tensor, bsq_tensor_init);
    START(norm, bsq_norm_init);
    START(allocation, bsq_allocation_init);
    START(error, bsq_error_init);
    for (int i = 0; i < M * N; i++)
        weights[i] = (float)(i * 7 % 11) - 5.0f;
    for (int i = 0; i < ROWS * N; i++)
        input[i] = (float)(i * 13 % 17) - 8.0f;
    desc.it.in_channels = N;
    desc.it.out_channels = M;
    options.it.input_bits = 8;
    batch.it.input = input;
    batch.it.size = ROWS;
    MUST(bsq_layer_memory(&desc.it, &options.it, &bytes, &error.it));
    MUST(bsq_layer_create(&desc.it, &options.it, weights, NULL, &layer, &error.it));
    MUST(bsq_layer_get_options(layer, &options.it));
    MUST(bsq_layer_set_options(layer, &options.it));
    MUST(bsq_layer_observe(layer, &batch.it));
    MUST(bsq_layer_get_input_quantizer(layer, &quantizer.it));
    MUST(bsq_layer_set_input_quantizer(layer, &quantizer.it));
    MUST(bsq_layer_calibrate(layer, &batch.it));
    MUST(bsq_layer_info(layer, &info.it));
    MUST(bsq_optimize(layer, &report.it));
    MUST(bsq_layer_get_stage_report(layer, 0, &stage.it));
    MUST(bsq_layer_get_channel_report(layer, 0, &channel.it));
    MUST(bsq_layer_get_tensor(layer, &tensor.it));
    tensor.it.codes = codes;
    tensor.it.scales = scales;
    MUST(bsq_layer_get_tensor(layer, &tensor.it));
    MUST(bsq_layer_evaluate(layer, &tensor.it, &report.it));
    MUST(bsq_layer_set_tensor(layer, &tensor.it));
    MUST(bsq_tensor_packed_size(&tensor.it, BSQ_FORMAT_ONNX_INT4, &bytes, &error.it));
    MUST(bsq_tensor_pack(&tensor.it, BSQ_FORMAT_ONNX_INT4, packed, bytes, &error.it));
    MUST(bsq_tensor_unpack(BSQ_FORMAT_ONNX_INT4, packed, bytes, &tensor.it, &error.it));
    MUST(bsq_operator_norm(&desc.it, NULL, weights, 0.1, &norm.it, &error.it));
    MUST(bsq_layer_error_table(layer, 2, 4, errors, 3));
    MUST(bsq_allocate_bits(errors, costs, NULL, 1, 3, 3, NULL, &chosen, &allocation.it, &error.it));
    bsq_layer_free(layer);
    look(options.behind, "bsq_options_t");
    look(desc.behind, "bsq_layer_desc_t");
    look(batch.behind, "bsq_batch_t");
    look(info.behind, "bsq_layer_info_t");
    look(quantizer.behind, "bsq_input_quantizer_t");
    look(report.behind, "bsq_report_t");
    look(stage.behind, "bsq_stage_t");
    look(channel.behind, "bsq_channel_t");
    look(tensor.behind, "bsq_tensor_t");
    look(norm.behind, "bsq_norm_t");
    look(allocation.behind, "bsq_allocation_t");
    look(error.behind, "bsq_error_t");
    printf("%d weights, error %.6g, norm %.4g, chosen %d\n", (int)info.it.fan_in * M, report.it.error, norm.it.upper,
           (int)chosen);
    return guards_broken;
}
