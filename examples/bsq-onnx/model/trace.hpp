// What the tensors of a network are, by an engine that runs it on a sample.
#ifndef BSQ_ONNX_TRACE_HPP
#define BSQ_ONNX_TRACE_HPP

#include <limits>

#include "model/graph.hpp"

namespace bsq_onnx {

class Tracer {
public:
    // Loads the network with all of its tensors as outputs. Of more than 'most' bytes, which an engine does not take in one
    // piece, its large float32 constants are left out: zeros of their extents stand for them, which tell as much of shapes
    // and types.
    Tracer(const Graph &graph, const Tracing &tracing, size_t most = std::numeric_limits<int32_t>::max());

    struct Result {
        Shapes shapes;
        std::map<std::string, int32_t> types; // of those that are not float32
    };
    Result run(const std::vector<Array> &inputs);

private:
    std::vector<std::string> inputs_, tensors_;
    std::unique_ptr<Trace> trace_;
};

// Fills shapes and types of the graph with those that it has for the sample.
void trace(Graph &graph, const Tracing &tracing, const std::vector<Array> &sample);

} // namespace bsq_onnx

#endif
