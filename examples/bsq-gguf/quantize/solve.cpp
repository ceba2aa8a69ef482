#include "quantize/solve.hpp"

#include <algorithm>
#include <cmath>
#include <new>

namespace bsq_gguf {

namespace {

// Rows that one call of bsq_layer_calibrate gets.
constexpr int64_t rows_at_once = 512;

struct LayerDelete {
    void operator()(bsq_layer_t *layer) const { bsq_layer_free(layer); }
};
using LayerHandle = std::unique_ptr<bsq_layer_t, LayerDelete>;

void check(bsq_status_t status, const std::string &name, const char *message)
{
    if (status == BSQ_E_CANCELLED && interrupted())
        throw Interrupted();
    if (status == BSQ_E_MEMORY)
        throw std::bad_alloc();
    if (status != BSQ_OK)
        throw Error(name + ": " + (*message != '\0' ? message : bsq_status_string(status)));
}

// Text of a failure without a layer.
struct Failure {
    char text[300] = "";
    bsq_error_t error;
    Failure()
    {
        bsq_error_init(&error, sizeof error);
        error.message = text;
        error.capacity = sizeof text;
    }
};

bsq_layer_desc_t description(int64_t rows, int64_t columns)
{
    bsq_layer_desc_t desc;
    bsq_layer_desc_init(&desc, sizeof desc);
    desc.in_channels = columns;
    desc.out_channels = rows;
    return desc;
}

LayerHandle make_layer(const Matrix &weights, int64_t first, int64_t count, const std::vector<float> &bias,
                       const bsq_options_t &options, const std::string &name)
{
    std::vector<float> values(static_cast<size_t>(count * weights.columns));
    dequantize(weights, first, count, values.data());
    const bsq_layer_desc_t desc = description(count, weights.columns);
    Failure failure;
    bsq_layer_t *layer = nullptr;
    const float *own_bias = bias.empty() ? nullptr : bias.data() + first;
    check(bsq_layer_create(&desc, &options, values.data(), own_bias, &layer, &failure.error), name, failure.text);
    return LayerHandle(layer);
}

void calibrate(bsq_layer_t *layer, const Activations &activations, int64_t columns, int64_t channels,
               const std::string &name)
{
    for (int64_t row = 0; row < activations.rows; row += rows_at_once) {
        bsq_batch_t batch;
        bsq_batch_init(&batch, sizeof batch);
        batch.size = std::min(rows_at_once, activations.rows - row);
        batch.input = activations.input + row * columns;
        if (activations.target != nullptr)
            batch.target = activations.target + row * channels;
        check(bsq_layer_calibrate(layer, &batch), name, bsq_layer_error_message(layer));
    }
}

void append_blocks(bsq_layer_t *layer, const Type &type, const std::string &name, std::vector<unsigned char> &blocks)
{
    bsq_tensor_t tensor;
    bsq_tensor_init(&tensor, sizeof tensor);
    check(bsq_layer_get_tensor(layer, &tensor), name, bsq_layer_error_message(layer));
    std::vector<int8_t> codes(static_cast<size_t>(tensor.code_count));
    std::vector<float> scales(static_cast<size_t>(tensor.scale_count)),
        offsets(static_cast<size_t>(tensor.offset_count));
    tensor.codes = codes.data();
    tensor.scales = scales.data();
    if (!offsets.empty())
        tensor.offsets = offsets.data();
    check(bsq_layer_get_tensor(layer, &tensor), name, bsq_layer_error_message(layer));
    Failure failure;
    size_t size = 0;
    check(bsq_tensor_packed_size(&tensor, type.format, &size, &failure.error), name, failure.text);
    const size_t before = blocks.size();
    blocks.resize(before + size);
    check(bsq_tensor_pack(&tensor, type.format, blocks.data() + before, size, &failure.error), name, failure.text);
}

// Errors of slices are shares of their energies.
struct Totals {
    double energy = 0, error = 0, rounding = 0, floor = 0, seconds = 0, rows_per_input = 0;
    int32_t warnings = 0;
    void add(const bsq_report_t &report)
    {
        energy += report.energy;
        error += report.error * report.energy;
        rounding += report.error_start * report.energy;
        floor += report.error_floor * report.energy;
        seconds += report.seconds;
        rows_per_input = report.rows_per_input;
        warnings |= report.warnings;
    }
    double share(double value) const { return energy > 0 ? value / energy : 0; }
};

} // namespace

bsq_options_t options_for(const Type &type, const Settings &settings)
{
    bsq_options_t options;
    bsq_options_init(&options, sizeof options);
    Failure failure;
    check(bsq_options_for_format(type.format, &options, &failure.error), type.name, failure.text);
    options.effort = settings.effort;
    options.threads = settings.threads;
    options.damping = settings.damping;
    options.asymmetry = settings.mu;
    return options;
}

size_t solve_memory(const Type &type, int64_t rows, int64_t columns, const Settings &settings)
{
    const int64_t slice = std::min(rows, slice_rows);
    const bsq_layer_desc_t desc = description(slice, columns);
    const bsq_options_t options = options_for(type, settings);
    Failure failure;
    size_t bytes = 0;
    check(bsq_layer_memory(&desc, &options, &bytes, &failure.error), type.name, failure.text);
    // Beside the layer: its weights before it has them, or codes, scales and blocks of the result.
    return bytes + static_cast<size_t>(slice * columns) * sizeof(float) +
           static_cast<size_t>(rows * (columns / type.block) * type.bytes);
}

std::vector<unsigned char> Solver::solve(const Matrix &weights, const std::vector<float> &bias, const Type &type,
                                         const Feed &feed, bool share, StatsHandle &shared, TensorResult &result)
{
    const std::string &name = result.name;
    std::vector<unsigned char> blocks;
    Totals totals;
    const int64_t slices = (weights.rows + slice_rows - 1) / slice_rows;
    for (int64_t slice = 0; slice < slices; slice++) {
        const int64_t first = slice * slice_rows, count = std::min(slice_rows, weights.rows - first);
        bsq_options_t options = options_for(type, settings_);
        if (!feed)
            options.solver = BSQ_SOLVER_ROUND;
        Clock clock;
        const LayerHandle layer = make_layer(weights, first, count, bias, options, name);
        if (feed) {
            if (shared)
                check(bsq_layer_share_stats(layer.get(), 0, shared.get()), name, bsq_layer_error_message(layer.get()));
            // Targets come with inputs; without any, inputs are seen once.
            if (!shared || settings_.mu > 0)
                feed(first, count, [&](const Activations &activations) {
                    clock.charge(seconds_.forward);
                    calibrate(layer.get(), activations, weights.columns, count, name);
                    clock.charge(seconds_.statistics);
                });
            clock.charge(seconds_.forward);
            if (!shared && (share || slice + 1 < slices)) {
                bsq_stats_t *stats = nullptr;
                check(bsq_layer_acquire_stats(layer.get(), 0, &stats), name, bsq_layer_error_message(layer.get()));
                shared.reset(stats);
            }
        }
        // Only now: with a callback, batches of rows would be added to a copy of the statistics.
        options.progress = Progress::callback;
        options.progress_opaque = &progress_;
        check(bsq_layer_set_options(layer.get(), &options), name, bsq_layer_error_message(layer.get()));
        bsq_report_t report;
        bsq_report_init(&report, sizeof report);
        check(bsq_optimize(layer.get(), &report), name, bsq_layer_error_message(layer.get()));
        totals.add(report);
        append_blocks(layer.get(), type, name, blocks);
        clock.charge(seconds_.solve);
    }
    result.solved = true;
    result.by_weights = !feed;
    result.error = totals.share(totals.error);
    result.error_rounding = totals.share(totals.rounding);
    result.error_floor = totals.share(totals.floor);
    result.rows_per_input = totals.rows_per_input;
    result.seconds = totals.seconds;
    result.warnings = totals.warnings;
    return blocks;
}

std::vector<unsigned char> Solver::round(const Matrix &weights, const Type &type) const
{
    std::vector<unsigned char> bytes;
    constexpr int64_t at_once = 256;
    std::vector<float> values(static_cast<size_t>(std::min(at_once, weights.rows) * weights.columns));
    for (int64_t first = 0; first < weights.rows; first += at_once) {
        const int64_t count = std::min(at_once, weights.rows - first);
        dequantize(weights, first, count, values.data());
        const std::vector<unsigned char> part =
            to_floats(type, values.data(), static_cast<size_t>(count * weights.columns));
        bytes.insert(bytes.end(), part.begin(), part.end());
    }
    return bytes;
}

StatsHandle gather(const Matrix &weights, const Feed &feed, const Settings &settings, const std::string &name)
{
    bsq_options_t options;
    bsq_options_init(&options, sizeof options);
    options.threads = settings.threads;
    const LayerHandle layer = make_layer(weights, 0, 1, {}, options, name); // one channel stands for all
    feed(0, 1, [&](const Activations &activations) { calibrate(layer.get(), activations, weights.columns, 1, name); });
    bsq_stats_t *stats = nullptr;
    check(bsq_layer_acquire_stats(layer.get(), 0, &stats), name, bsq_layer_error_message(layer.get()));
    return StatsHandle(stats);
}

std::vector<double> error_table(const Matrix &weights, const std::vector<const Type *> &types, const bsq_stats_t *stats,
                                const Settings &settings, const std::string &name, Progress &progress)
{
    std::vector<double> errors;
    for (const Type *type : types) {
        Totals totals;
        for (int64_t first = 0; first < weights.rows; first += slice_rows) {
            bsq_options_t options = options_for(*type, settings);
            options.effort = std::min(options.effort, int32_t{1});
            options.asymmetry = 0;
            options.progress = Progress::callback;
            options.progress_opaque = &progress;
            const LayerHandle layer =
                make_layer(weights, first, std::min(slice_rows, weights.rows - first), {}, options, name);
            check(bsq_layer_share_stats(layer.get(), 0, stats), name, bsq_layer_error_message(layer.get()));
            bsq_report_t report;
            bsq_report_init(&report, sizeof report);
            check(bsq_optimize(layer.get(), &report), name, bsq_layer_error_message(layer.get()));
            totals.add(report);
        }
        errors.push_back(totals.share(totals.error));
    }
    return errors;
}

} // namespace bsq_gguf
