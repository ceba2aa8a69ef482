// Whether a layer that was kept for --resume is one that this run could have made: its file may be forged.
#ifndef BSQ_ONNX_RESUMED_HPP
#define BSQ_ONNX_RESUMED_HPP

#include <string>

#include "quantize/checkpoint.hpp"

namespace bsq_onnx {

// What this run knows of a layer before it is done.
struct Expected {
    const Layer &layer;
    const LayerResult &result;    // with what does not depend on the solve
    const bsq_options_t &options; // of the run
    int bits, input_bits;         // input_bits 0: the input stays float
    int64_t group_size;           // 0: a scale serves all of a channel
    bool held_out;                // there are samples that only judge layers
    bool chooses_scales;          // the channels of the input may have scales of their own
    std::string note;             // InputResult::note
    const Quantizer *quantizer;   // the input's, where it is known already; else NULL
    const LayerResult *first;     // the one whose weights it takes; NULL: it has its own
};

// The first field of 'done' that cannot be, or "".
std::string misfit(const DoneLayer &done, const Expected &expected);

} // namespace bsq_onnx

#endif
