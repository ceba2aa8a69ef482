// Which samples serve what.
#ifndef BSQ_ONNX_SPLIT_HPP
#define BSQ_ONNX_SPLIT_HPP

#include <vector>

#include "quantize/quantize.hpp"
#include "quantize/result.hpp"
#include "samples/labels.hpp"
#include "samples/samples.hpp"
#include "settings.hpp"

namespace bsq_onnx {

struct Split {
    std::vector<SampleRef> calibration; // layers are fitted to them
    std::vector<SampleRef> held_out;    // each layer's error is measured on them, too
    std::vector<SampleRef> evaluation;  // the network is judged on them; none of them calibrates
    bool shared = false;                // too few for both: some of the held-out samples are among them
    Labels labels;                      // of the evaluated ones

    std::vector<SampleRef> for_layers() const; // calibration, held out
};

// The first samples of 'images' calibrate, the next ones are held out, all others judge; those of 'test', where it is
// not NULL, judge instead. Throws Error when there are too few.
Split split_samples(const Settings &settings, const Samples &images, const Samples *test);

SampleUse describe_use(const Split &split);

} // namespace bsq_onnx

#endif
