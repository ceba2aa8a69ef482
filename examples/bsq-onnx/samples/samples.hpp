// Samples: pictures or tensors, and what is done to them before a network sees them.
#ifndef BSQ_ONNX_SAMPLES_HPP
#define BSQ_ONNX_SAMPLES_HPP

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <opencv2/core.hpp>

#include "judge/tasks/tasks.hpp"
#include "model/model.hpp"

namespace bsq_onnx {

enum class Fit { stretch, crop, letterbox };

struct Preprocessing {
    int height = 0, width = 0; // 0: those of the network's input, or of each picture where it leaves them open
    Fit fit = Fit::stretch;
    int shorter = 256; // crop: the shorter side is scaled to this first, or to the size when that is larger
    double pad = 0;    // letterbox: the border's value, before mean and std
    bool bgr = false;
    std::vector<double> mean, deviation; // none, one for all channels, or one for each in the network's order
};

struct Sample {
    std::vector<Array> inputs; // in the order of the network's
    cv::Mat picture;           // 8-bit BGR as it was read; empty for other tensors
    Placement placement;       // of the picture in the input
};

// Where samples come from.
struct Sources {
    // Folders of pictures or of .npz files, single ones, and .npy files. Pictures and .npy files are for the network's
    // only input, or for the only one that can be a picture and has no array of its own; an .npz file has an array for
    // each input. What a folder holds is sorted by name.
    std::vector<std::string> files;
    std::vector<std::pair<std::string, std::string>> arrays; // input and .npy file, whose first axis is samples

    bool empty() const { return files.empty() && arrays.empty(); }
};

class Samples {
public:
    // 'inputs' are those of the network, with -1 for extents that it leaves open. 'batch' samples are put together for the
    // network; 0: as many as its inputs say, or 1. Throws Error when a source cannot be read, does not fit, or nothing is
    // found.
    Samples(const Sources &sources, const Preprocessing &preprocessing, const std::vector<Value> &inputs,
            int64_t batch = 0);
    Samples(const std::vector<std::string> &files, const Preprocessing &preprocessing, const Value &input)
        : Samples(Sources{files, {}}, preprocessing, std::vector<Value>{input})
    {
    }
    Samples(Samples &&) noexcept;
    ~Samples();

    int64_t count() const;
    std::string name(int64_t index) const;      // its path, and which one in an array
    std::string file_path(int64_t index) const; // "" for one of an array
    Sample load(int64_t index) const;           // throws Error for what cannot be read or does not fit

    // How many are put together, and whether it has to be so many.
    int64_t batch() const;
    bool batch_is_fixed() const;

    // Several along the first axis. Throws Error when they have other extents, or differ in an input without such an axis.
    // Without a picture when there are several.
    Sample load(const std::vector<int64_t> &indices) const;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

} // namespace bsq_onnx

#endif
