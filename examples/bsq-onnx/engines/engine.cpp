#include "engines/engine.hpp"

#include <cstdlib>

#include "shared.hpp"

namespace bsq_onnx {

// Stays until the process ends: what an engine's library needs at its end may be gone earlier.
static std::unique_ptr<Engine> &chosen()
{
    static auto *const one = new std::unique_ptr<Engine>;
    return *one;
}

void choose_engine(EngineChoice choice, const std::string &onnxruntime_path)
{
    if (choice != EngineChoice::opencv) {
        // What was named must work; what is only looked for need not be there.
        const char *variable = std::getenv("BSQ_ONNXRUNTIME");
        const bool named = !onnxruntime_path.empty() || (variable != nullptr && *variable != '\0');
        try {
            chosen() = make_onnxruntime_engine(onnxruntime_path);
            return;
        } catch (const Error &) {
            if (choice == EngineChoice::onnxruntime || named)
                throw;
        }
    }
    chosen() = make_opencv_engine();
}

const Engine &engine()
{
    if (!chosen())
        chosen() = make_opencv_engine();
    return *chosen();
}

std::unique_ptr<Trace> Engine::trace(const std::string &, const std::vector<std::string> &,
                                     const std::vector<std::string> &, bool) const
{
    throw Error(name() + " cannot run this network");
}

Tracing tracing(const std::function<std::vector<Array>(const std::vector<Tracing::Declared> &)> &sample)
{
    if (!engine().runs_all())
        return {};
    return {[](const std::string &network, const std::vector<std::string> &inputs,
               const std::vector<std::string> &outputs) { return engine().trace(network, inputs, outputs, false); },
            sample};
}

} // namespace bsq_onnx
