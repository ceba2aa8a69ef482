// The quantized network as it is written, whole, in the engine that will run it: with integer kernels, which round near ties
// otherwise than the segments do between which it was quantized.
#ifndef BSQ_ONNX_JUDGE_WRITTEN_HPP
#define BSQ_ONNX_JUDGE_WRITTEN_HPP

#include <memory>
#include <string>
#include <vector>

#include "engines/engine.hpp"
#include "quantize/engine.hpp"
#include "samples/samples.hpp"

namespace bsq_onnx {

class Written {
public:
    // Of a written network's bytes; 'tensors' of the model are what it is to give. NULL where it has other types than the
    // model, or lacks a tensor.
    static std::unique_ptr<Written> load(const Model &model, const std::string &bytes,
                                         const std::vector<std::string> &tensors);

    // Of a sample with such extents.
    void run(const Sample &sample, const Shapes &shapes);
    std::vector<float> tensor(const std::string &name) const { return to_floats(arrays_.at(name)); }

private:
    Written(const Model &model, std::vector<std::string> tensors) : model_(model), tensors_(std::move(tensors)) {}

    const Model &model_;
    std::vector<std::string> tensors_;
    std::unique_ptr<Program> program_;
    Arrays arrays_;
};

} // namespace bsq_onnx

#endif
