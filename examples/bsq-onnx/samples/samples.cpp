// Samples: pictures or tensors, and what is done to them before a network sees them.
#include "samples/samples.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>

#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "samples/arrays.hpp"

namespace bsq_onnx {

namespace fs = std::filesystem;

namespace {

std::string lower_extension(const fs::path &path)
{
    std::string extension = path.extension().string();
    std::transform(extension.begin(), extension.end(), extension.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return extension;
}

bool is_picture(const fs::path &path)
{
    static const std::set<std::string> known = {".jpg", ".jpeg", ".png", ".bmp", ".webp",
                                                ".tif", ".tiff", ".ppm", ".pgm"};
    return known.count(lower_extension(path)) > 0;
}

std::vector<std::string> pictures_of(const std::string &folder)
{
    std::vector<std::string> paths;
    std::error_code code;
    for (fs::directory_iterator at(folder, code), end; !code && at != end; at.increment(code))
        if (at->is_regular_file(code) && is_picture(at->path()))
            paths.push_back(at->path().string());
    if (code)
        throw Error(folder + ": " + code.message());
    std::sort(paths.begin(), paths.end());
    return paths;
}

} // namespace

bool is_array(const std::string &path)
{
    return lower_extension(path) == ".npy";
}

// One sample: a picture's file, or an element of an array.
struct Entry {
    std::string path;
    Npy array;
    int64_t index = 0;
};

struct Samples::Impl {
    Preprocessing preprocessing;
    int channels = 0, height = 0, width = 0;
    int64_t count = 0;     // values of one sample
    bool pictures = false; // the network's input can be made of a picture
    std::vector<Entry> entries;

    void set_input(const Value &input);
    void add(const std::string &source);
    void add_array(const std::string &path);
    cv::Mat picture(const Entry &entry) const;
    cv::Mat fit(const cv::Mat &picture, Placement &placement) const;
    void place(const cv::Mat &fitted, std::vector<float> &input) const;
};

void Samples::Impl::set_input(const Value &input)
{
    count = bsq_onnx::count(input.shape);
    pictures = input.shape.size() == 4 && (input.shape[1] == 1 || input.shape[1] == 3);
    if (!pictures)
        return;
    channels = static_cast<int>(input.shape[1]);
    height = static_cast<int>(input.shape[2]);
    width = static_cast<int>(input.shape[3]);
    if (preprocessing.height > 0 && (preprocessing.height != height || preprocessing.width != width))
        throw Error("--size is " + std::to_string(preprocessing.height) + "x" + std::to_string(preprocessing.width) +
                    ", but the network's input '" + input.name + "' is " + std::to_string(height) + "x" +
                    std::to_string(width));
    for (const auto *list : {&preprocessing.mean, &preprocessing.deviation})
        if (list->size() > 1 && static_cast<int64_t>(list->size()) != input.shape[1])
            throw Error("--mean and --std need one number or " + std::to_string(channels) +
                        ", as the network has channels");
}

void Samples::Impl::add_array(const std::string &path)
{
    Npy array = load_npy(path);
    const std::string type = npy_type_name(array->type);
    if (array->dims < 1)
        throw Error(path + ": a single number, not samples");
    if (array->type == NPY_UINT8) {
        if (!pictures || array->dims != 4 || array->shape[3] != channels)
            throw Error(path + ": uint8 arrays are pictures of shape (samples, height, width, " +
                        std::to_string(channels) + ") for a network that takes pictures");
    } else if (array->type == NPY_FLOAT32) {
        if (array->shape[0] > 0 && array->count / array->shape[0] != count)
            throw Error(path + ": a sample has " + std::to_string(array->count / array->shape[0]) +
                        " values, the network's input has " + std::to_string(count));
    } else {
        throw Error(path + ": samples are uint8 pictures or float32 tensors, not " + type);
    }
    for (int64_t i = 0; i < array->shape[0]; i++)
        entries.push_back({path, array, i});
}

void Samples::Impl::add(const std::string &source)
{
    std::error_code code;
    const fs::file_status status = fs::status(source, code);
    if (!fs::exists(status))
        throw Error(source + ": " + (code ? code.message() : std::string("No such file or directory")));
    if (is_array(source)) {
        add_array(source);
        return;
    }
    const size_t before = entries.size();
    if (fs::is_directory(status))
        for (const std::string &path : pictures_of(source))
            entries.push_back({path, nullptr, 0});
    else
        entries.push_back({source, nullptr, 0});
    if (entries.size() > before && !pictures)
        throw Error(source + ": the network's input is no picture of 1 or 3 channels; give .npy tensors");
    if (entries.size() == before)
        throw Error(source + ": no pictures in this folder");
}

cv::Mat Samples::Impl::picture(const Entry &entry) const
{
    if (!entry.array) {
        cv::Mat read;
        try {
            read = cv::imread(entry.path, cv::IMREAD_COLOR);
        } catch (const cv::Exception &) {
        }
        if (read.empty())
            throw Error(entry.path + ": cannot be read as a picture");
        return read;
    }
    const npy_array &array = *entry.array;
    const int rows = static_cast<int>(array.shape[1]), columns = static_cast<int>(array.shape[2]);
    const int type = channels == 3 ? CV_8UC3 : CV_8UC1;
    auto *bytes = static_cast<unsigned char *>(array.data) + entry.index * (array.count / array.shape[0]);
    cv::Mat bgr;
    cv::cvtColor(cv::Mat(rows, columns, type, bytes), bgr, channels == 3 ? cv::COLOR_RGB2BGR : cv::COLOR_GRAY2BGR);
    return bgr;
}

cv::Mat Samples::Impl::fit(const cv::Mat &picture, Placement &placement) const
{
    placement.picture_width = picture.cols;
    placement.picture_height = picture.rows;
    cv::Mat fitted;
    if (preprocessing.fit == Fit::stretch) {
        placement.scale_x = static_cast<double>(width) / picture.cols;
        placement.scale_y = static_cast<double>(height) / picture.rows;
        if (picture.cols == width && picture.rows == height)
            return picture;
        cv::resize(picture, fitted, cv::Size(width, height));
        return fitted;
    }

    // The scale that is wanted; sides are then whole pixels.
    const bool crop = preprocessing.fit == Fit::crop;
    const double across = static_cast<double>(width) / picture.cols, down = static_cast<double>(height) / picture.rows;
    const double shorter = static_cast<double>(preprocessing.shorter) / std::min(picture.cols, picture.rows);
    const double scale = crop ? std::max({across, down, shorter}) : std::min(across, down);
    const int columns = std::max(1, static_cast<int>(std::lround(picture.cols * scale)));
    const int rows = std::max(1, static_cast<int>(std::lround(picture.rows * scale)));
    cv::Mat scaled = picture;
    if (columns != picture.cols || rows != picture.rows)
        cv::resize(picture, scaled, cv::Size(columns, rows));

    const int left = (width - columns) / 2, top = (height - rows) / 2;
    placement.scale_x = static_cast<double>(columns) / picture.cols;
    placement.scale_y = static_cast<double>(rows) / picture.rows;
    placement.left = left;
    placement.top = top;
    if (crop)
        return scaled(cv::Rect(-left, -top, width, height));
    cv::copyMakeBorder(scaled, fitted, top, height - rows - top, left, width - columns - left, cv::BORDER_CONSTANT,
                       cv::Scalar::all(preprocessing.pad));
    return fitted;
}

static double pick(const std::vector<double> &list, int channel, double otherwise)
{
    if (list.empty())
        return otherwise;
    return list.size() == 1 ? list[0] : list[static_cast<size_t>(channel)];
}

void Samples::Impl::place(const cv::Mat &fitted, std::vector<float> &input) const
{
    cv::Mat ordered = fitted;
    if (channels == 1)
        cv::cvtColor(fitted, ordered, cv::COLOR_BGR2GRAY);
    else if (!preprocessing.bgr)
        cv::cvtColor(fitted, ordered, cv::COLOR_BGR2RGB);
    input.resize(static_cast<size_t>(count));
    float *out = input.data();
    for (int c = 0; c < channels; c++) {
        const double mean = pick(preprocessing.mean, c, 0), deviation = pick(preprocessing.deviation, c, 1);
        for (int y = 0; y < height; y++) {
            const unsigned char *row = ordered.ptr(y) + c;
            for (int x = 0; x < width; x++, row += channels)
                *out++ = static_cast<float>((*row - mean) / deviation);
        }
    }
}

Samples::Samples(const std::vector<std::string> &sources, const Preprocessing &preprocessing, const Value &input)
    : impl_(new Impl)
{
    impl_->preprocessing = preprocessing;
    impl_->set_input(input);
    for (const std::string &source : sources)
        impl_->add(source);
    if (impl_->entries.empty())
        throw Error(sources.empty() ? "no samples" : sources[0] + ": no samples");
}

Samples::Samples(Samples &&) noexcept = default;
Samples::~Samples() = default;

int64_t Samples::count() const
{
    return static_cast<int64_t>(impl_->entries.size());
}

std::string Samples::name(int64_t index) const
{
    const Entry &entry = impl_->entries[static_cast<size_t>(index)];
    return entry.array ? entry.path + " [" + std::to_string(entry.index) + "]" : entry.path;
}

std::string Samples::picture_path(int64_t index) const
{
    const Entry &entry = impl_->entries[static_cast<size_t>(index)];
    return entry.array ? "" : entry.path;
}

Sample Samples::load(int64_t index) const
{
    const Entry &entry = impl_->entries[static_cast<size_t>(index)];
    Sample sample;
    if (entry.array && entry.array->type == NPY_FLOAT32) {
        const float *values = static_cast<const float *>(entry.array->data) + entry.index * impl_->count;
        sample.input.assign(values, values + impl_->count);
        for (size_t i = 0; i < sample.input.size(); i++)
            if (!std::isfinite(sample.input[i]))
                throw Error(name(index) + ": value " + std::to_string(i) + " is not finite");
        return sample;
    }
    sample.picture = impl_->picture(entry);
    impl_->place(impl_->fit(sample.picture, sample.placement), sample.input);
    return sample;
}

} // namespace bsq_onnx
