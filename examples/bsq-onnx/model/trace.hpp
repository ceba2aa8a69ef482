// What the tensors of a network are, by an engine that runs it on a sample.
#ifndef BSQ_ONNX_TRACE_HPP
#define BSQ_ONNX_TRACE_HPP

#include "model/graph.hpp"

namespace bsq_onnx {

class Tracer {
public:
    // Loads the network with all of its tensors as outputs.
    Tracer(const Graph &graph, const Tracing &tracing);

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
