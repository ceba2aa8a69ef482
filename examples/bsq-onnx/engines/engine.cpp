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

} // namespace bsq_onnx
