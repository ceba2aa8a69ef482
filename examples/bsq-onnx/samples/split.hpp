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
    int64_t left_out = 0;               // they do not fill a batch
    int64_t enough = 0;                 // so many would give each layer 64 rows for each input
    Labels labels;                      // of the evaluated ones

    std::vector<SampleRef> for_layers() const; // calibration, held out
    // With every second of the evaluated samples, from the first or second on.
    Split half(size_t first) const;
    // At most so many that no layer is fitted to, evenly spread over those that are evaluated, else over held-out ones.
    std::vector<SampleRef> unseen(int64_t most) const;
};

// Of 'images' some calibrate, evenly spread over their order (a folder may be sorted by class), drawn or the first; the first
// of the others are held out, the rest judges; those of 'test', where it is not NULL, judge instead. When it is not said
// how many calibrate, 'enough' do, if there are so many: half of 'images' at most, or all with 'test'. Throws Error when
// there are too few.
Split split_samples(const Settings &settings, const Samples &images, const Samples *test, int64_t enough);

// So many samples that each layer has 64 rows for each input of its channels.
// The model's extents are those of 'batch' samples.
int64_t enough_samples(const Model &model, int64_t batch = 1);

SampleUse describe_use(const Split &split);

} // namespace bsq_onnx

#endif
