// A model block by block, all sequences through one block before the next.
#ifndef BSQ_GGUF_QUANTIZE_HPP
#define BSQ_GGUF_QUANTIZE_HPP

#include <functional>
#include <vector>

#include "quantize/kept.hpp"
#include "quantize/plan.hpp"
#include "quantize/result.hpp"

namespace bsq_gguf {

// What is to be done with a tensor that is ready: its place in the file and its bytes.
using Sink = std::function<void(size_t index, const void *bytes, size_t size)>;

// Bytes that the work takes at most, but for activations between blocks, and the tensor that takes them.
struct Need {
    size_t bytes = 0;
    std::string tensor;
};
Need memory_need(const Model &model, const Settings &settings, const Plan &plan, int64_t context);

// What of settings.memory is left for activations between blocks.
Room room_beside(const Model &model, const Settings &settings, const Plan &plan, int64_t context);

// Gives every tensor to 'sink' as it gets ready, and returns what is known of the matrices, in the order of the work. Each
// layer is solved with the inputs that the quantized part so far gives it. 'kept' may be NULL. Throws Error, Interrupted.
std::vector<TensorResult> quantize(const Model &model, const Settings &settings, const Plan &plan,
                                   const Samples &samples, const Sink &sink, const Kept *kept, Progress &progress,
                                   Seconds &seconds);

} // namespace bsq_gguf

#endif
