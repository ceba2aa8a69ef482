#include "support.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <stdexcept>

#include <check.h>
#include <opencv2/dnn.hpp>
#include <sys/stat.h>

namespace test {

namespace {

uint64_t next(uint64_t &state)
{
    state += 0x9e3779b97f4a7c15U;
    uint64_t z = state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

float normal(uint64_t &state)
{
    double sum = -6;
    for (int i = 0; i < 12; i++)
        sum += static_cast<double>(next(state) >> 11) * 0x1p-53;
    return static_cast<float>(sum);
}

cv::Mat blob(const bsq_onnx::Shape &shape, const std::vector<float> &values)
{
    const std::vector<int> extents(shape.begin(), shape.end());
    return cv::Mat(static_cast<int>(extents.size()), extents.data(), CV_32F, const_cast<float *>(values.data()))
        .clone();
}

std::vector<float> values_of(const cv::Mat &mat)
{
    if (mat.type() != CV_32F)
        throw std::runtime_error("an output is not float32");
    const cv::Mat whole = mat.isContinuous() ? mat : mat.clone();
    return {whole.ptr<float>(), whole.ptr<float>() + whole.total()};
}

Tensors forward(cv::dnn::Net &net, const std::map<std::string, cv::Mat> &inputs, const std::vector<std::string> &names)
{
    net.setPreferableBackend(cv::dnn::DNN_BACKEND_OPENCV);
    for (const auto &[name, mat] : inputs)
        net.setInput(mat, name);
    std::vector<cv::Mat> mats;
    net.forward(mats, names);
    Tensors tensors;
    for (size_t i = 0; i < names.size(); i++)
        tensors[names[i]] = values_of(mats[i]);
    return tensors;
}

} // namespace

Network::Network(const bsq_onnx::Shape &input, int64_t opset)
{
    model.set_ir_version(7);
    model.add_opset_import()->set_version(opset);
    model.mutable_graph()->set_name("test");
    onnx::ValueInfoProto &value = *model.mutable_graph()->add_input();
    value.set_name("input");
    auto &type = *value.mutable_type()->mutable_tensor_type();
    type.set_elem_type(onnx::TensorProto::FLOAT);
    for (int64_t extent : input) {
        auto &dim = *type.mutable_shape()->add_dim();
        if (extent > 0)
            dim.set_dim_value(extent);
        else
            dim.set_dim_param("any");
    }
}

std::string Network::node(const std::string &op, const std::vector<std::string> &inputs, const std::string &name)
{
    onnx::NodeProto &added = *model.mutable_graph()->add_node();
    added.set_op_type(op);
    added.set_name(name.empty() ? op + std::to_string(model.graph().node_size()) : name);
    for (const std::string &input : inputs)
        added.add_input(input);
    added.add_output(added.name());
    return added.name();
}

std::string Network::initializer(onnx::TensorProto &tensor)
{
    tensor.set_name("constant" + std::to_string(model.graph().initializer_size()));
    *model.mutable_graph()->add_initializer() = tensor;
    return tensor.name();
}

std::string Network::constant(const bsq_onnx::Shape &shape, const std::vector<float> &values)
{
    onnx::TensorProto tensor;
    tensor.set_data_type(onnx::TensorProto::FLOAT);
    for (int64_t extent : shape)
        tensor.add_dims(extent);
    for (float value : values)
        tensor.add_float_data(value);
    return initializer(tensor);
}

std::string Network::integers(const std::vector<int64_t> &values)
{
    onnx::TensorProto tensor;
    tensor.set_data_type(onnx::TensorProto::INT64);
    tensor.add_dims(static_cast<int64_t>(values.size()));
    tensor.set_raw_data(values.data(), values.size() * sizeof values[0]);
    return initializer(tensor);
}

std::string Network::random(const bsq_onnx::Shape &shape, float mean, float deviation)
{
    std::vector<float> values(static_cast<size_t>(bsq_onnx::count(shape)));
    for (float &value : values)
        value = mean + deviation * normal(state_);
    return constant(shape, values);
}

static onnx::AttributeProto &add_attribute(onnx::ModelProto &model, const std::string &name,
                                           onnx::AttributeProto::AttributeType type)
{
    onnx::GraphProto &graph = *model.mutable_graph();
    onnx::AttributeProto &attribute = *graph.mutable_node(graph.node_size() - 1)->add_attribute();
    attribute.set_name(name);
    attribute.set_type(type);
    return attribute;
}

Network &Network::with(const std::string &attribute, int64_t value)
{
    add_attribute(model, attribute, onnx::AttributeProto::INT).set_i(value);
    return *this;
}

Network &Network::with(const std::string &attribute, float value)
{
    add_attribute(model, attribute, onnx::AttributeProto::FLOAT).set_f(value);
    return *this;
}

Network &Network::with(const std::string &attribute, const std::string &value)
{
    add_attribute(model, attribute, onnx::AttributeProto::STRING).set_s(value);
    return *this;
}

Network &Network::with(const std::string &attribute, const std::vector<int64_t> &values)
{
    auto &added = add_attribute(model, attribute, onnx::AttributeProto::INTS);
    for (int64_t value : values)
        added.add_ints(value);
    return *this;
}

void Network::output(const std::string &tensor, const bsq_onnx::Shape &shape)
{
    onnx::ValueInfoProto &value = *model.mutable_graph()->add_output();
    value.set_name(tensor);
    auto &type = *value.mutable_type()->mutable_tensor_type();
    type.set_elem_type(onnx::TensorProto::FLOAT);
    for (int64_t extent : shape)
        type.mutable_shape()->add_dim()->set_dim_value(extent);
}

std::string Network::save(const std::string &name) const
{
    write_bytes(file(name), bytes());
    return file(name);
}

std::string file(const std::string &name)
{
    const char *build = std::getenv("BUILD");
    const std::string folder = std::string(build ? build : "build") + "/test/bsq-onnx/files";
    mkdir(folder.c_str(), 0777);
    return folder + "/" + name;
}

void write_bytes(const std::string &path, const std::string &bytes)
{
    std::ofstream(path, std::ios::binary) << bytes;
}

std::vector<float> random_values(int64_t count, uint64_t seed)
{
    std::vector<float> values(static_cast<size_t>(count));
    for (float &value : values)
        value = normal(seed);
    return values;
}

Tensors run_file(const std::string &path, const bsq_onnx::Model &model, const std::vector<float> &input)
{
    cv::dnn::Net net = cv::dnn::readNetFromONNX(path);
    std::vector<std::string> names;
    for (const auto &output : model.outputs())
        names.push_back(output.name);
    return forward(net, {{model.input().name, blob(model.input().shape, input)}}, names);
}

Tensors run_segments(const bsq_onnx::Model &model, const std::vector<float> &input, const Changes &changes)
{
    Tensors known = {{model.input().name, input}};
    for (const bsq_onnx::Segment &segment : model.segments()) {
        std::vector<std::string> outputs = segment.outputs;
        std::map<std::string, cv::Mat> inputs;
        for (const std::string &name : segment.inputs)
            inputs[name] = blob(model.shape(name), known.at(name));
        std::vector<float> weights, bias;
        if (segment.layer >= 0) {
            const bsq_onnx::Layer &layer = model.layers()[static_cast<size_t>(segment.layer)];
            const std::vector<float> &x = known.at(layer.input);
            inputs[segment.layer_input] =
                blob(layer.input_shape, changes.layer_input ? changes.layer_input(layer, x) : x);
            outputs.push_back(layer.output);
            if (changes.result) {
                weights = changes.result->layers[static_cast<size_t>(segment.layer)].dequantized;
                bias = changes.result->layers[static_cast<size_t>(segment.layer)].bias;
            }
        }
        const std::string bytes = model.segment_model(segment, weights, bias);
        cv::dnn::Net net = cv::dnn::readNetFromONNX(bytes.data(), bytes.size());
        for (const auto &[name, values] : forward(net, inputs, outputs))
            known[name] = values;
    }
    return known;
}

double difference(const std::vector<float> &values, const std::vector<float> &expected)
{
    ck_assert_uint_eq(values.size(), expected.size());
    double worst = 0, largest = 0;
    for (size_t i = 0; i < values.size(); i++) {
        ck_assert(std::isfinite(values[i]));
        worst = std::max(worst, std::fabs(static_cast<double>(values[i]) - expected[i]));
        largest = std::max(largest, std::fabs(static_cast<double>(expected[i])));
    }
    return largest > 0 ? worst / largest : worst;
}

} // namespace test
