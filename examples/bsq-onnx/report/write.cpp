#include "report/write.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>

#include "model/external.hpp"
#include "model/graph.hpp"
#include "model/halves.hpp"
#include "model/layers.hpp"
#include "model/opset.hpp"
#include "quantize/engine.hpp"
#include "report/blocks.hpp"

namespace bsq_onnx {

namespace {

onnx::TensorProto make_tensor(const Shape &shape, const std::vector<uint8_t> &values)
{
    onnx::TensorProto tensor = bsq_onnx::make_tensor(shape, std::vector<int8_t>(values.begin(), values.end()));
    tensor.set_data_type(onnx::TensorProto::UINT8);
    return tensor;
}

onnx::TensorProto make_tensor(const std::vector<int32_t> &values)
{
    onnx::TensorProto tensor;
    tensor.set_data_type(onnx::TensorProto::INT32);
    tensor.add_dims(static_cast<int64_t>(values.size()));
    tensor.set_raw_data(values.data(), values.size() * sizeof(int32_t));
    return tensor;
}

constexpr const char *microsoft = "com.microsoft"; // domain of ONNX Runtime's own operators

// Two codes a byte, the first one in the lower half.
onnx::TensorProto int4_tensor(const Shape &shape, const std::vector<int8_t> &codes)
{
    std::string bytes((codes.size() + 1) / 2, '\0');
    for (size_t i = 0; i < codes.size(); i++)
        bytes[i / 2] = static_cast<char>(bytes[i / 2] | ((codes[i] & 15) << (i % 2 * 4)));
    onnx::TensorProto tensor = bsq_onnx::make_tensor(shape, std::vector<int8_t>());
    tensor.set_data_type(int4_type);
    tensor.set_raw_data(bytes);
    return tensor;
}

// Codes that a quantizer of activations may give.
void code_limits(const InputResult &input, int &lowest, int &highest)
{
    const bool is_signed = input.type == BSQ_INPUT_TYPE_SIGNED;
    lowest = is_signed ? -(1 << (input.bits - 1)) : 0;
    highest = is_signed ? (1 << (input.bits - 1)) - 1 : (1 << input.bits) - 1;
}

class Writer {
public:
    Writer(const Model &model, const RunResult &result, Format format)
        : model_(model), result_(result), format_(format),
          graph_(format == Format::qdq_float || format == Format::matmulnbits ? model.original_graph() : model.graph())
    {
        const bool wide = format != Format::qdq_float &&
                          std::any_of(result.inputs.begin(), result.inputs.end(),
                                      [](const InputResult &input) { return input.bits > most_library_bits; });
        if (format == Format::int4 || wide)
            raise_opset(graph_, int4_opset);
    }

    onnx::ModelProto network()
    {
        std::map<int, size_t> layer_at;
        for (size_t i = 0; i < model_.layers().size(); i++)
            if (result_.layers.at(i).bits > 0)
                layer_at[first_node(model_.layers()[i], graph_)] = i;
        std::map<std::string, size_t> composite_at; // by node
        std::vector<size_t> left;                   // nodes to come
        for (const Composite &composite : model_.composites()) {
            for (const std::string &node : composite.nodes)
                composite_at[node] = left.size();
            left.push_back(composite.nodes.size());
        }
        for (const std::string &input : graph_.inputs)
            add_point(input);
        for (int i = 0; i < static_cast<int>(graph_.nodes.size()); i++) {
            if (const auto part = composite_at.find(graph_.nodes[static_cast<size_t>(i)].name());
                part != composite_at.end()) {
                if (--left[part->second] == 0)
                    add_composite(model_.composites()[part->second]);
                continue;
            }
            const auto found = layer_at.find(i);
            if (found == layer_at.end()) {
                add_other(graph_.nodes[static_cast<size_t>(i)]);
                continue;
            }
            const Layer &layer = model_.layers()[found->second];
            add_layer(layer, result_.layers[found->second]);
            add_point(layer.output);
            i += layer.last_node - layer.node;
        }
        graph_.nodes = nodes_;
        for (auto shape = graph_.shapes.begin(); shape != graph_.shapes.end();)
            shape = model_.is_inner(shape->first) ? graph_.shapes.erase(shape) : std::next(shape);
        graph_.observed.clear();
        graph_.sweep();
        onnx::ModelProto proto = graph_.proto();
        const auto &imports = proto.opset_import();
        const bool known = std::any_of(imports.begin(), imports.end(),
                                       [](const auto &import) { return import.domain() == microsoft; });
        if (format_ == Format::matmulnbits && !known) {
            onnx::OperatorSetIdProto &import = *proto.add_opset_import();
            import.set_domain(microsoft);
            import.set_version(1);
        }
        proto.set_producer_name("bsq-onnx");
        proto.set_producer_version(result_.version);
        narrow(model_.halves(), proto);
        return proto;
    }

private:
    std::string constant(const std::string &name, const onnx::TensorProto &tensor)
    {
        return graph_.add_constant(name, tensor);
    }

    // A constant of a layer's weights, which layers that share them have in common.
    std::string weight_constant(const LayerResult &result, const std::string &suffix, const onnx::TensorProto &tensor)
    {
        const std::string base = (result.shared_with.empty() ? result.name : result.shared_with) + suffix;
        std::string &name = shared_constants_[base];
        if (name.empty())
            name = constant(base, tensor);
        return name;
    }

    std::string add_node(const std::string &op, const std::vector<std::string> &inputs, const std::string &name)
    {
        nodes_.push_back(make_node(op, name, inputs, name));
        return name;
    }

    // A node that is no quantized layer; in integer form it reads what is quantized after quantization, too.
    void add_other(onnx::NodeProto node)
    {
        for (std::string &name : *node.mutable_input())
            if (const auto found = dequantized_.find(name); format_ == Format::qdq && found != dequantized_.end())
                name = found->second;
        nodes_.push_back(node);
        for (const std::string &name : node.output())
            add_point(name);
    }

    // In integer form: quantizes a tensor where it comes from.
    void add_point(const std::string &tensor)
    {
        if (format_ == Format::qdq)
            quantized(tensor, 1);
    }

    // The tensor after QuantizeLinear and DequantizeLinear, which its readers share; itself when it has no quantizer.
    std::string quantized(const std::string &tensor, int64_t channel_axis)
    {
        for (const InputResult &input : result_.inputs) {
            if (input.tensor != tensor || input.bits == 0)
                continue;
            std::string &name = dequantized_[tensor];
            if (name.empty())
                name = quantize_dequantize(channel_axis, input);
            return name;
        }
        return tensor;
    }

    size_t index_of(const std::string &name) const
    {
        size_t i = 0;
        while (model_.layers().at(i).name != name)
            i++;
        return i;
    }

    // The weights (M, n) of layers, one below the other, as the input of the node that they are parts of.
    std::string composite_input(const Composite &composite, const Composite::Matrices &matrices)
    {
        std::vector<std::string> parts;
        std::vector<float> reals;
        std::string owners; // layers whose weights these are
        int64_t columns = 0, rows = 0;
        for (const std::string &name : matrices.layers) {
            const size_t i = index_of(name);
            const Layer &layer = model_.layers()[i];
            const LayerResult &result = result_.layers[i];
            const bool as_float = result.bits == 0 || format_ == Format::qdq_float;
            const std::vector<float> &values = result.bits == 0 ? layer.weights : result.dequantized;
            owners += (result.shared_with.empty() ? name : result.shared_with) + "\n";
            rows += result.channels;
            columns = result.fan_in;
            if (as_float)
                reals.insert(reals.end(), values.begin(), values.end());
            if (as_float && matrices.layers.size() > 1)
                parts.push_back(weight_constant(result, ".weight_float",
                                                bsq_onnx::make_tensor({result.channels, result.fan_in}, values)));
            else if (!as_float)
                parts.push_back(has_blocks(result) ? dequantized_blocks(layer, result)
                                                   : dequantized_rows(layer, result));
        }
        const std::string base = composite.node.name() + ".input" + std::to_string(matrices.input);
        if (static_cast<int64_t>(reals.size()) == rows * columns) {
            if (matrices.transposed)
                reals = transpose(reals, rows, columns);
            std::string &known =
                shared_constants_[owners + (matrices.transposed ? "'" : " ") + extents_text(matrices.shape)];
            if (known.empty())
                known = constant(base, bsq_onnx::make_tensor(matrices.shape, reals));
            return known;
        }
        std::string name = parts[0];
        if (parts.size() > 1) {
            name = add_node("Concat", parts, graph_.unused(base + "_joined"));
            set_integer(nodes_.back(), "axis", 0);
        }
        if (matrices.transposed) {
            name = add_node("Transpose", {name}, graph_.unused(base + "_transposed"));
            set_integers(nodes_.back(), "perm", {1, 0});
        }
        if (matrices.shape.size() == 2)
            return name;
        const std::string extents = constant(
            base + "_shape", bsq_onnx::make_tensor({static_cast<int64_t>(matrices.shape.size())}, matrices.shape));
        return add_node("Reshape", {name, extents}, graph_.unused(base));
    }

    // A node that was opened up, with the weights that its layers have now.
    void add_composite(const Composite &composite)
    {
        onnx::NodeProto node = composite.node;
        bool changed = false;
        for (const Composite::Matrices &matrices : composite.matrices)
            for (const std::string &name : matrices.layers) {
                const size_t i = index_of(name);
                const Layer &layer = model_.layers()[i];
                if (result_.layers[i].bits == 0)
                    continue;
                changed = true;
                for (std::string &input : *node.mutable_input())
                    if (input == layer.input && format_ != Format::qdq_float && format_ != Format::matmulnbits)
                        input = quantized(layer.input, static_cast<int64_t>(layer.input_shape.size()) - 1);
            }
        if (changed) {
            for (const Composite::Matrices &matrices : composite.matrices)
                node.set_input(matrices.input, composite_input(composite, matrices));
            std::vector<float> bias;
            for (const std::string &name : composite.bias) {
                const size_t i = index_of(name);
                const std::vector<float> &own =
                    result_.layers[i].bias.empty() ? model_.layers()[i].bias : result_.layers[i].bias;
                bias.insert(bias.end(), own.begin(), own.end());
            }
            while (node.input_size() <= composite.bias_input)
                node.add_input("");
            if (composite.bias_input >= 0)
                node.set_input(composite.bias_input, constant(composite.node.name() + ".bias_corrected",
                                                              bsq_onnx::make_tensor(composite.bias_shape, bias)));
        }
        add_other(node);
    }

    // Rows of codes are picked and made real, where each row has one scale: the table stays small. In blocks it is made
    // real as a whole.
    void add_table(const Layer &layer, const LayerResult &result)
    {
        if (format_ == Format::qdq_float || has_blocks(result) || (format_ == Format::int4 && result.bits <= 4)) {
            const std::string table = format_ == Format::qdq_float ? float_weights(layer, result)
                                      : has_blocks(result)         ? dequantized_blocks(layer, result)
                                                                   : dequantized_rows(layer, result);
            for (const auto &node : layer_nodes(layer, graph_, layer.input, table, ""))
                nodes_.push_back(node);
            return;
        }
        const Shape rows = {result.channels, 1};
        const std::string codes = weight_constant(result, ".weight_quantized",
                                                  bsq_onnx::make_tensor(weight_shape(layer, graph_), result.codes));
        const std::string scales = weight_constant(result, ".weight_scale", bsq_onnx::make_tensor(rows, result.scales));
        const std::string picked = add_node("Gather", {codes, layer.input}, graph_.unused(layer.name + "/codes"));
        const std::string scale = add_node("Gather", {scales, layer.input}, graph_.unused(layer.name + "/scale"));
        const std::string real = add_node("Cast", {picked}, graph_.unused(layer.name + "/real"));
        set_integer(nodes_.back(), "to", float_type);
        nodes_.push_back(make_node("Mul", layer.name, {real, scale}, layer.output));
    }

    void add_layer(const Layer &layer, const LayerResult &result)
    {
        if (layer.kind == Kind::table) {
            add_table(layer, result);
            return;
        }
        if (format_ == Format::matmulnbits) {
            add_matmul(layer, result);
            return;
        }
        const bool as_float = format_ == Format::qdq_float;
        const int64_t axis = is_convolution(layer) ? 1 : static_cast<int64_t>(layer.input_shape.size()) - 1;
        const std::string input = as_float ? layer.input : quantized(layer.input, axis);
        const std::string weights = as_float ? float_weights(layer, result) : quantized_weights(layer, result);
        std::string bias;
        if (format_ == Format::qdq && !result.bias_codes.empty())
            bias = quantized_bias(layer, result);
        else if (!result.bias.empty())
            bias =
                constant(layer.name + ".bias_corrected", bsq_onnx::make_tensor({layer.desc.out_channels}, result.bias));
        for (const auto &node : layer_nodes(layer, graph_, input, weights, bias))
            nodes_.push_back(node);
    }

    std::string quantized_bias(const Layer &layer, const LayerResult &result)
    {
        const auto input = std::find_if(result_.inputs.begin(), result_.inputs.end(),
                                        [&](const InputResult &one) { return one.tensor == layer.input; });
        const auto input_step = static_cast<float>(input->scales[0]);
        std::vector<float> steps;
        for (const float scale : result.scales)
            steps.push_back(input_step * scale);
        const std::string codes = constant(layer.name + ".bias_quantized", make_tensor(result.bias_codes));
        const std::string scale =
            constant(layer.name + ".bias_scale", bsq_onnx::make_tensor({layer.desc.out_channels}, steps));
        const std::string name = graph_.unused(layer.name + ".bias_dequantized");
        add_node("DequantizeLinear", {codes, scale}, name);
        set_integer(nodes_.back(), "axis", 0);
        return name;
    }

    std::string float_weights(const Layer &layer, const LayerResult &result)
    {
        return weight_constant(
            result, ".weight_dequantized",
            bsq_onnx::make_tensor(weight_shape(layer, graph_), node_order(layer, result.dequantized)));
    }

    // Gemm is x B' + c, and MatMulNBits has its bias behind it, as old versions need it.
    void add_matmul(const Layer &layer, const LayerResult &result)
    {
        const auto parts = packed_parts(result, BSQ_FORMAT_ONNX_MATMUL_NBITS);
        std::vector<std::string> inputs = {layer.input};
        for (const char *part : {"B", "scales", "zero_points"})
            if (const auto found = parts.find(part); found != parts.end())
                inputs.push_back(weight_constant(result, "." + std::string(part), flat(found->second)));
        const std::string product = result.bias.empty() ? layer.output : graph_.unused(layer.output + "/product");
        onnx::NodeProto node = make_node("MatMulNBits", layer.name, inputs, product);
        node.set_domain(microsoft);
        set_integer(node, "K", layer.desc.in_channels);
        set_integer(node, "N", layer.desc.out_channels);
        set_integer(node, "bits", result.bits);
        set_integer(node, "block_size", result.group_size);
        if (result_.accuracy_level > 0)
            set_integer(node, "accuracy_level", result_.accuracy_level);
        nodes_.push_back(node);
        if (result.bias.empty())
            return;
        const std::string bias =
            constant(layer.name + ".bias_corrected", bsq_onnx::make_tensor({layer.desc.out_channels}, result.bias));
        nodes_.push_back(make_node("Add", graph_.unused(layer.name + "/bias"), {product, bias}, layer.output));
    }

    // Scales and zero points in one row, which every version of ONNX Runtime takes.
    static onnx::TensorProto flat(onnx::TensorProto tensor)
    {
        if (tensor.dims_size() == 2) {
            const int64_t all = tensor.dims(0) * tensor.dims(1);
            tensor.clear_dims();
            tensor.add_dims(all);
        }
        return tensor;
    }

    // Codes of one scale a channel as (M, n).
    std::string dequantized_rows(const Layer &layer, const LayerResult &result)
    {
        const bool packed = format_ == Format::int4 && result.bits <= 4;
        const Shape shape = {result.channels, result.fan_in};
        const std::string codes =
            weight_constant(result, ".weight_quantized",
                            packed ? int4_tensor(shape, result.codes) : bsq_onnx::make_tensor(shape, result.codes));
        const std::string scale =
            weight_constant(result, ".weight_scale", bsq_onnx::make_tensor({result.channels}, result.scales));
        const std::string name =
            add_node("DequantizeLinear", {codes, scale}, graph_.unused(layer.name + ".weight_dequantized"));
        set_integer(nodes_.back(), "axis", 0);
        return name;
    }

    // Codes of several scales a channel stay (M, n) for DequantizeLinear, since groups run across the kernel.
    std::string blocked_weights(const Layer &layer, const LayerResult &result)
    {
        return in_node_order(layer, dequantized_blocks(layer, result));
    }

    std::string dequantized_blocks(const Layer &layer, const LayerResult &result)
    {
        const auto parts =
            packed_parts(result, result.bits <= 4 ? BSQ_FORMAT_ONNX_INT4_BLOCKS : BSQ_FORMAT_ONNX_INT8_BLOCKS);
        std::vector<std::string> inputs = {weight_constant(result, ".weight_quantized", parts.at("x")),
                                           weight_constant(result, ".weight_scale", parts.at("x_scale"))};
        if (const auto zero = parts.find("x_zero_point"); zero != parts.end())
            inputs.push_back(weight_constant(result, ".weight_zero_point", zero->second));
        const std::string name =
            add_node("DequantizeLinear", inputs, graph_.unused(layer.name + ".weight_dequantized"));
        set_integer(nodes_.back(), "axis", result.group_size > 0 ? 1 : 0);
        if (result.group_size > 0)
            set_integer(nodes_.back(), "block_size", result.group_size);
        return name;
    }

    // Weights (M, n) as the layer's node reads them.
    std::string in_node_order(const Layer &layer, std::string name)
    {
        const Shape shape = weight_shape(layer, graph_);
        if (layer.kind == Kind::matmul) {
            name = add_node("Transpose", {name}, graph_.unused(layer.name + ".weight_transposed"));
            set_integers(nodes_.back(), "perm", {1, 0});
        } else if (layer.kind == Kind::conv_transpose) {
            const int64_t groups = layer.desc.groups, inputs = layer.desc.in_channels / groups;
            name = reshape(layer, name, {groups, layer.desc.out_channels / groups, inputs, -1}, "grouped");
            name = add_node("Transpose", {name}, graph_.unused(layer.name + ".weight_transposed"));
            set_integers(nodes_.back(), "perm", {0, 2, 1, 3});
            name = reshape(layer, name, shape, "reshaped");
        } else if (shape.size() != 2) {
            name = reshape(layer, name, shape, "reshaped");
        }
        return name;
    }

    std::string reshape(const Layer &layer, const std::string &tensor, const Shape &shape, const std::string &word)
    {
        const std::string extents =
            constant(layer.name + ".weight_shape", bsq_onnx::make_tensor({static_cast<int64_t>(shape.size())}, shape));
        return add_node("Reshape", {tensor, extents}, graph_.unused(layer.name + ".weight_" + word));
    }

    std::string quantized_weights(const Layer &layer, const LayerResult &result)
    {
        if (has_blocks(result))
            return blocked_weights(layer, result);
        // A transposed convolution has output channels of different groups in one place.
        const bool apart = layer.kind == Kind::conv_transpose && layer.desc.groups > 1;
        const Shape shape = apart ? Shape{result.channels, result.fan_in} : weight_shape(layer, graph_);
        const std::vector<int8_t> codes = apart ? result.codes : node_order(layer, result.codes);
        const bool packed = format_ == Format::int4 && result.bits <= 4;
        const std::string quantized = weight_constant(
            result, ".weight_quantized", packed ? int4_tensor(shape, codes) : bsq_onnx::make_tensor(shape, codes));
        const std::string scale =
            weight_constant(result, ".weight_scale", bsq_onnx::make_tensor({layer.desc.out_channels}, result.scales));
        const std::string name = graph_.unused(layer.name + ".weight_dequantized");
        std::vector<std::string> inputs = {quantized, scale};
        // ONNX Runtime's QGemm wants as many zero points as there are scales, though all are 0.
        if (format_ == Format::qdq)
            inputs.push_back(weight_constant(
                result, ".weight_zero_point",
                bsq_onnx::make_tensor({layer.desc.out_channels}, std::vector<int8_t>(result.scales.size(), 0))));
        add_node("DequantizeLinear", inputs, name);
        const bool second = layer.kind == Kind::matmul || (layer.kind == Kind::conv_transpose && !apart);
        set_integer(nodes_.back(), "axis", second ? 1 : 0);
        return apart ? in_node_order(layer, name) : name;
    }

    // With a scale for each channel, weights take over what differs between them: all channels are dequantized with one
    // scale, the largest.
    std::string quantize_dequantize(int64_t channel_axis, const InputResult &input)
    {
        const std::string &tensor = input.tensor;
        const int64_t channels = static_cast<int64_t>(input.scales.size());
        const bool folded = channels > 1;
        const Shape shape = folded ? Shape{channels} : Shape{};
        const std::vector<float> scales(input.scales.begin(), input.scales.end());
        const std::string scale = constant(tensor + "/scale", bsq_onnx::make_tensor(shape, scales));
        const std::string zero_points = constant(tensor + "/zero_point", zero_point(input, shape));
        const std::string clipped = input.bits < 8 ? clip(channel_axis, input) : tensor;
        const std::string quantized =
            add_node("QuantizeLinear", {clipped, scale, zero_points}, graph_.unused(tensor + "/quantized"));
        if (folded)
            set_integer(nodes_.back(), "axis", channel_axis);
        std::vector<std::string> inputs = {quantized, scale, zero_points};
        const bool one = folded && std::all_of(input.zero_points.begin(), input.zero_points.end(),
                                               [&](int32_t zero) { return zero == input.zero_points[0]; });
        if (folded) {
            const float largest = *std::max_element(scales.begin(), scales.end());
            const Shape common = one ? Shape{} : shape;
            inputs[1] = constant(tensor + "/folded_scale",
                                 bsq_onnx::make_tensor(common, std::vector<float>(one ? 1 : scales.size(), largest)));
            inputs[2] = one ? constant(tensor + "/code_of_zero", zero_point(input, {})) : zero_points;
        }
        const std::string name = add_node("DequantizeLinear", inputs, graph_.unused(tensor + "/dequantized"));
        if (folded && !one)
            set_integer(nodes_.back(), "axis", channel_axis);
        return name;
    }

    static int32_t zero_of(const InputResult &input, size_t channel)
    {
        return input.zero_points.empty() ? input.zero_point : input.zero_points[channel];
    }

    static onnx::TensorProto zero_point(const InputResult &input, const Shape &shape)
    {
        const size_t size = static_cast<size_t>(count(shape));
        if (input.type == BSQ_INPUT_TYPE_SIGNED)
            return bsq_onnx::make_tensor(shape, std::vector<int8_t>(size, 0));
        if (input.bits > most_library_bits) {
            const auto zero = static_cast<uint16_t>(input.zero_point);
            onnx::TensorProto tensor = bsq_onnx::make_tensor(shape, std::vector<int8_t>());
            tensor.set_data_type(onnx::TensorProto::UINT16);
            tensor.set_raw_data(&zero, sizeof zero);
            return tensor;
        }
        std::vector<uint8_t> zeros;
        for (size_t i = 0; i < size; i++)
            zeros.push_back(static_cast<uint8_t>(zero_of(input, i)));
        return make_tensor(shape, zeros);
    }

    // QuantizeLinear has codes of 8 bits: values are clipped to what codes of fewer bits reach.
    std::string clip(int64_t channel_axis, const InputResult &input)
    {
        int lowest, highest;
        code_limits(input, lowest, highest);
        const std::string low = limit(channel_axis, input, lowest, "/lowest"),
                          high = limit(channel_axis, input, highest, "/highest");
        const std::string name = graph_.unused(input.tensor + "/clipped");
        if (input.scales.size() == 1)
            return add_node("Clip", {input.tensor, low, high}, name);
        const std::string below = add_node("Min", {input.tensor, high}, graph_.unused(input.tensor + "/limited"));
        return add_node("Max", {below, low}, name);
    }

    std::string limit(int64_t channel_axis, const InputResult &input, int code, const std::string &suffix)
    {
        std::vector<float> values;
        for (size_t i = 0; i < input.scales.size(); i++)
            values.push_back(static_cast<float>(input.scales[i] * (code - zero_of(input, i))));
        Shape shape;
        if (values.size() > 1) {
            shape.assign(model_.shape(input.tensor).size() - static_cast<size_t>(channel_axis), 1);
            shape[0] = static_cast<int64_t>(values.size());
        }
        return constant(input.tensor + suffix, bsq_onnx::make_tensor(shape, values));
    }

    const Model &model_;
    const RunResult &result_;
    Format format_;
    Graph graph_;
    std::vector<onnx::NodeProto> nodes_;
    std::map<std::string, std::string> dequantized_;      // by tensor
    std::map<std::string, std::string> shared_constants_; // of weights, by name of the layer and suffix
};

std::string one_file(const onnx::ModelProto &network)
{
    if (network.ByteSizeLong() > static_cast<size_t>(std::numeric_limits<int>::max()))
        throw Error("the network takes more than 2 GiB, which is too much for one file");
    return network.SerializeAsString();
}

} // namespace

std::string write_model(const Model &model, const RunResult &result, Format format)
{
    return one_file(Writer(model, result, format).network());
}

std::vector<std::pair<std::string, std::string>> network_files(const Model &model, const RunResult &result,
                                                               Format format, const std::string &path, int64_t limit)
{
    onnx::ModelProto network = Writer(model, result, format).network();
    std::vector<std::pair<std::string, std::string>> files;
    if (network.ByteSizeLong() > static_cast<size_t>(limit)) {
        const std::string data = path + ".data";
        files.emplace_back(data, move_external(network, std::filesystem::path(data).filename().string()));
    }
    files.emplace_back(path, one_file(network));
    return files;
}

} // namespace bsq_onnx
