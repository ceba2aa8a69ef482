// How far a tensor's channels get scales of their own, with the weights that take the scales over in mind.
#ifndef BSQ_ONNX_STRENGTH_HPP
#define BSQ_ONNX_STRENGTH_HPP

#include <functional>
#include <vector>

#include "shared.hpp"
#include "quantize/engine.hpp"
#include "quantize/rows.hpp"

namespace bsq_onnx {

// A quantizer whose scales are scale * (scale_c / scale)^strength: 0 is one scale for the tensor, 1 one for each
// channel.
struct Candidate {
    double strength;
    Quantizer quantizer;
};
std::vector<Candidate> candidates(const Quantizer &tensor, const Quantizer &channels);

// A layer that reads the tensor, and how it is going to be solved.
struct Reader {
    const Layer *layer;
    const Segment *segment;
    bsq_options_t options;
};

// The tensor's values on calibration samples.
struct Activations {
    int64_t samples;
    std::function<const float *(int64_t)> real, now; // of the float network, and of what is quantized already
    std::function<const Shapes &(int64_t)> shapes;   // of all tensors
    std::function<const RowMask &(int64_t)> mask;    // which rows count
};

struct Strength {
    size_t chosen;  // index of the candidate
    double seconds; // of solves
};

// The candidate with which the readers' outputs, behind their activation functions, come closest to the float
// network's: relative squared errors on every second sample, summed over readers, of weights solved on the other
// samples. The smaller strength of equals.
Strength choose_strength(const Model &model, const std::vector<Candidate> &candidates,
                         const std::vector<Reader> &readers, const Activations &activations, Progress &progress);

} // namespace bsq_onnx

#endif
