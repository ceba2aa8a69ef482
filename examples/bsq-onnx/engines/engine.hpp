// What runs networks: OpenCV, or ONNX Runtime where its library is.
#ifndef BSQ_ONNX_ENGINES_ENGINE_HPP
#define BSQ_ONNX_ENGINES_ENGINE_HPP

#include <memory>
#include <string>
#include <vector>

#include "model/model.hpp"

namespace bsq_onnx {

// A network that is loaded. It works on the thread that calls it, one call at a time.
class Program {
public:
    virtual ~Program() = default;

    // Where a tensor lies, and its extents where they are other than at loading.
    template <typename Pointer> struct Place {
        Pointer values;
        const Shape *shape = nullptr;
    };

    // Inputs and outputs as they were named at loading, of the types that they had there; an output may have been named
    // several times. Throws Error.
    virtual void run(const std::vector<Place<const void *>> &inputs, const std::vector<Place<void *>> &outputs) = 0;
};

// May be used by several threads.
class Engine {
public:
    virtual ~Engine() = default;

    virtual std::string name() const = 0; // with its version
    virtual NodeForm form() const = 0;    // of the nodes that it reads

    // 'bytes' are a serialized ONNX network. Throws Error, with the engine's name, when it refuses it.
    virtual std::unique_ptr<Program> load(const std::string &bytes, const std::vector<Value> &inputs,
                                          const std::vector<Value> &outputs) const = 0;

    // Whether it runs networks of any types, extents and operators, so that they can be traced; trace() loads one.
    virtual bool runs_all() const { return false; }
    // Fusions of nodes are left out where every tensor is asked for: they may lose one.
    virtual std::unique_ptr<Trace> trace(const std::string &bytes, const std::vector<std::string> &inputs,
                                         const std::vector<std::string> &outputs, bool fused) const;
};

enum class EngineChoice {
    automatic,   // ONNX Runtime where its library is found and works, else OpenCV
    onnxruntime, // Error where it is not
    opencv
};

std::unique_ptr<Engine> make_opencv_engine();

// 'path' is the library or a folder with it; "": BSQ_ONNXRUNTIME, then the loader's path, then what `make deps-engines`
// fetched into the source tree. Throws Error, which says where it was looked for, or why it is not taken.
std::unique_ptr<Engine> make_onnxruntime_engine(const std::string &path);

// Decides what engine() gives, before anything is loaded. Throws Error.
void choose_engine(EngineChoice choice, const std::string &onnxruntime_path);

// The one that was chosen; OpenCV when none was.
const Engine &engine();

// What networks are read with, by the engine that was chosen; 'sample' as of Tracing.
Tracing tracing(const std::function<std::vector<Array>(const std::vector<Tracing::Declared> &)> &sample);

} // namespace bsq_onnx

#endif
