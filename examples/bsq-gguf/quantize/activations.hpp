// What flows between blocks, of the float model and of the quantized part, for all sequences.
#ifndef BSQ_GGUF_ACTIVATIONS_HPP
#define BSQ_GGUF_ACTIVATIONS_HPP

#include <cstdint>

#include "model/forward.hpp"
#include "quantize/solve.hpp"
#include "shared.hpp"
#include "text/samples.hpp"

namespace bsq_gguf {

class ActivationStore {
public:
    // 'targets': the float model runs, too.
    ActivationStore(const Model &model, const Samples &samples, int threads, bool targets, Room room);

    // Bytes that the forward pass takes beside what is stored.
    static size_t scratch(const Shape &shape, int64_t context, int threads);

    void embed(const Matrix &own, const Matrix &quantized);

    // Inputs of a layer of stage 'stage' in the quantized part, and the float model's outputs of 'count' of its channels.
    void feed(const BlockWeights &own, const BlockWeights &quantized, size_t stage, Linear linear, int64_t first,
              int64_t count, const std::function<void(const Activations &)> &take, Progress &progress);
    // The same for the output of the model, behind its norm.
    void feed_output(const std::vector<float> &norm, const Matrix &output, int64_t first, int64_t count,
                     const std::function<void(const Activations &)> &take, Progress &progress);

    // Adds the output of a half block, whose last layer is that of 'stage', to what is stored.
    void advance(const BlockWeights &own, const BlockWeights &quantized, size_t stage, Progress &progress);

private:
    int64_t batches() const { return (samples_.sequences() + at_once_ - 1) / at_once_; }
    Run run_of(int64_t batch) const;
    void share_of_work(int64_t batch, Progress &progress) const;

    const Shape &shape_;
    const Samples &samples_;
    int threads_;
    bool targets_;
    bool own_moved_on_ = false; // what is stored of the float model is behind the half block already
    int64_t at_once_;
    Room room_;
    Store store_;
};

} // namespace bsq_gguf

#endif
