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
    int height = 0, width = 0; // 0: those of the network's input
    Fit fit = Fit::stretch;
    int shorter = 256; // crop: the shorter side is scaled to this first, or to the size when that is larger
    double pad = 0;    // letterbox: the border's value, before mean and std
    bool bgr = false;
    std::vector<double> mean, deviation; // none, one for all channels, or one for each in the network's order
};

struct Sample {
    std::vector<float> input; // (channels, height, width)
    cv::Mat picture;          // 8-bit BGR as it was read; empty for float tensors
    Placement placement;      // of the picture in the input
};

bool is_array(const std::string &path); // a .npy file, by its name

class Samples {
public:
    // 'sources' are folders of pictures, pictures, and .npy files; a folder's pictures are sorted by name. Throws Error
    // when one cannot be read, does not fit 'input', or nothing is found.
    Samples(const std::vector<std::string> &sources, const Preprocessing &preprocessing, const Value &input);
    Samples(Samples &&) noexcept;
    ~Samples();

    int64_t count() const;
    std::string name(int64_t index) const;         // its path, and which one in an array
    std::string picture_path(int64_t index) const; // "" for one of an array
    Sample load(int64_t index) const;              // throws Error for an unreadable picture

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

} // namespace bsq_onnx

#endif
