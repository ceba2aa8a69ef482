// How much memory and work a network may ask for: extents in a small file can be of any size.
#include "plan/limits.hpp"

#include <algorithm>
#include <cmath>

#include <onnx/onnx_pb.h>

#include "shared.hpp"
#include "model/graph.hpp"

namespace bsq_onnx {

namespace {

constexpr int64_t always = int64_t{256} << 20; // bytes that any network may take
// All tensors of one sample take 2 to 31 times the file in the networks of docs/results.md.
constexpr int64_t times_file = 1024;
// VGG-16, among the costliest networks for pictures, takes 2^37 multiplications with its statistics, and 0.5 GB of
// file.
constexpr int64_t multiplications_per_byte = 256;

std::string megabytes(double bytes)
{
    return std::to_string(static_cast<int64_t>(std::ceil(bytes / (1 << 20)))) + " MB";
}

std::string allowed(const Limits &limits)
{
    return "; --memory " + std::to_string(limits.memory >> 20) + " (MB) is the limit";
}

double size(const Model &model, const std::string &tensor)
{
    return static_cast<double>(count(model.shape(tensor)));
}

// Products that one value of the node's output is the sum of; 1 for what is no product.
double depth(const Model &model, const onnx::NodeProto &node)
{
    const std::string &op = node.op_type();
    double window = 1;
    for (const int64_t extent : get_integers(node, "kernel_shape"))
        window *= static_cast<double>(extent);
    if (op == "Gemm" || op == "MatMul") {
        const Shape &input = model.shape(node.input(0));
        return static_cast<double>(input.empty() ? 1 : input.back());
    }
    const bool convolution = op == "Conv" || op == "ConvTranspose";
    if (!convolution)
        return window;
    return window * static_cast<double>(model.shape(node.input(0)).at(1)) /
           static_cast<double>(get_integer(node, "group", 1));
}

} // namespace

Limits limits_of(const Model &model, const Settings &settings)
{
    int64_t memory = std::max(settings.memory, always);
    if (settings.memory == 0) {
        const int64_t bytes = std::min(model.bytes(), default_memory());
        memory = std::max(always, std::min(default_memory(), always + times_file * bytes));
    }
    return {memory, memory * multiplications_per_byte};
}

void check_network(const Model &model, const Settings &settings, const Limits &limits)
{
    std::string largest, where, slowest;
    double all = 0, most = -1, work = 0, hardest = 0;
    for (const Value &input : model.inputs()) {
        const double values = size(model, input.name);
        all += values;
        if (values > most) {
            most = values;
            largest = input.name;
            where = "input " + largest;
        }
    }
    for (const onnx::NodeProto &node : model.proto().graph().node()) {
        double own = 0;
        for (const std::string &output : node.output()) {
            if (output.empty())
                continue;
            const double values = size(model, output);
            all += values;
            own += values * depth(model, node);
            if (values > most) {
                most = values;
                largest = output;
                where = "node " + node.name();
            }
        }
        work += own;
        if (own > hardest) {
            hardest = own;
            slowest = "node " + node.name() + ": tensor " + node.output(0) + " of " +
                      extents_text(model.shape(node.output(0)));
        }
    }
    if (all * sizeof(float) > static_cast<double>(limits.memory))
        throw Error(settings.model + ": " + where + ": tensor " + largest + " of " +
                    extents_text(model.shape(largest)) + " takes " + megabytes(most * sizeof(float)) +
                    " for one sample, all tensors " + megabytes(all * sizeof(float)) + allowed(limits));
    if (work > static_cast<double>(limits.multiplications))
        throw Error(settings.model + ": " + slowest + " takes " + std::to_string(static_cast<int64_t>(hardest / 1e6)) +
                    " million multiplications for one sample" + allowed(limits) + ", for " +
                    std::to_string(limits.multiplications / 1000000) + " million");
}

void check_layers(const Model &model, const Settings &settings, const Plan &plan, const Limits &limits)
{
    for (size_t i = 0; i < model.layers().size(); i++) {
        const Layer &layer = model.layers()[i];
        if (plan.bits[i] == 0 || layer.kind == Kind::table)
            continue;
        const double fan_in = static_cast<double>(layer.weights.size()) / static_cast<double>(layer.desc.out_channels);
        const double groups = static_cast<double>(layer.desc.groups);
        const double rows = size(model, layer.output) / static_cast<double>(layer.desc.out_channels);
        const std::string where = settings.model + ": node " + layer.name + ": tensor " + layer.input + " of " +
                                  extents_text(layer.input_shape);
        size_t bytes = 0;
        bsq_options_t options = settings.options;
        options.weight_bits = plan.bits[i];
        if (bsq_layer_memory(&layer.desc, &options, &bytes, nullptr) != BSQ_OK ||
            static_cast<double>(bytes) > static_cast<double>(limits.memory))
            throw Error(where + " has statistics of " + megabytes(static_cast<double>(bytes)) + allowed(limits) +
                        ", or --skip it");
        const double work = rows * groups * fan_in * fan_in;
        if (work > static_cast<double>(limits.multiplications))
            throw Error(where + " takes " + std::to_string(static_cast<int64_t>(work / 1e6)) +
                        " million multiplications for the statistics of one sample" + allowed(limits) + ", for " +
                        std::to_string(limits.multiplications / 1000000) + " million");
    }
}

} // namespace bsq_onnx
