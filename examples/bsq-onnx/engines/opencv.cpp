// Runs networks with OpenCV.
#include "engines/engine.hpp"

#include <algorithm>
#include <cstring>

#include <opencv2/dnn.hpp>
#include <opencv2/dnn/layer.details.hpp>

#include "engines/rounding.hpp"
#include "shared.hpp"

namespace bsq_onnx {

namespace {

// round_operator for OpenCV.
class RoundLayer : public cv::dnn::Layer {
public:
    static cv::Ptr<cv::dnn::Layer> create(cv::dnn::LayerParams &params) { return cv::makePtr<RoundLayer>(params); }

    explicit RoundLayer(const cv::dnn::LayerParams &params)
        : Layer(params), step_(params.get<double>("scale")), lowest_(params.get<double>("lowest")),
          highest_(params.get<double>("highest"))
    {
    }

    void forward(cv::InputArrayOfArrays inputs, cv::OutputArrayOfArrays outputs, cv::OutputArrayOfArrays) override
    {
        std::vector<cv::Mat> from, to;
        inputs.getMatVector(from);
        outputs.getMatVector(to);
        const float *in = from[0].ptr<float>();
        float *out = to[0].ptr<float>();
        for (size_t i = 0; i < from[0].total(); i++)
            out[i] = rounded(in[i], step_, lowest_, highest_);
    }

private:
    double step_, lowest_, highest_;
};

Error refused(const cv::Exception &error)
{
    std::string text = error.err.empty() ? error.what() : error.err;
    std::replace(text.begin(), text.end(), '\n', ' ');
    return Error("OpenCV cannot run this network: " + text);
}

class OpencvProgram : public Program {
public:
    OpencvProgram(const std::string &bytes, const std::vector<Value> &inputs, const std::vector<Value> &outputs)
        : inputs_(inputs)
    {
        for (const Value &output : outputs) {
            outputs_.push_back(output.name);
            counts_.push_back(count(output.shape));
        }
        try {
            net_ = cv::dnn::readNetFromONNX(bytes.data(), bytes.size());
        } catch (const cv::Exception &error) {
            throw refused(error);
        }
    }

    void run(const std::vector<Place<const void *>> &inputs, const std::vector<Place<void *>> &outputs) override
    {
        std::vector<cv::Mat> results;
        try {
            for (size_t i = 0; i < inputs_.size(); i++) {
                const std::vector<int> shape(inputs_[i].shape.begin(), inputs_[i].shape.end());
                net_.setInput(cv::Mat(shape, CV_32F, const_cast<void *>(inputs[i].values)), inputs_[i].name);
            }
            net_.forward(results, outputs_);
        } catch (const cv::Exception &error) {
            throw refused(error);
        }
        for (size_t i = 0; i < outputs.size(); i++) {
            const cv::Mat result = results[i].isContinuous() ? results[i] : results[i].clone();
            if (static_cast<int64_t>(result.total()) != counts_[i])
                throw Error("OpenCV gives tensor '" + outputs_[i] + "' another size than the network says");
            std::memcpy(outputs[i].values, result.data, result.total() * sizeof(float));
        }
    }

private:
    cv::dnn::Net net_;
    std::vector<Value> inputs_;
    std::vector<std::string> outputs_;
    std::vector<int64_t> counts_; // of outputs
};

class OpencvEngine : public Engine {
public:
    OpencvEngine()
    {
        static const bool known = (cv::dnn::LayerFactory::registerLayer(round_operator, RoundLayer::create), true);
        static_cast<void>(known);
    }

    std::string name() const override { return "OpenCV " CV_VERSION; }
    NodeForm form() const override { return NodeForm::opencv; }
    std::unique_ptr<Program> load(const std::string &bytes, const std::vector<Value> &inputs,
                                  const std::vector<Value> &outputs) const override
    {
        return std::make_unique<OpencvProgram>(bytes, inputs, outputs);
    }
};

} // namespace

std::unique_ptr<Engine> make_opencv_engine()
{
    return std::make_unique<OpencvEngine>();
}

} // namespace bsq_onnx
