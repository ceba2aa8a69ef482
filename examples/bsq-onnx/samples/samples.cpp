// Samples: pictures or tensors, and what is done to them before a network sees them.
#include "samples/samples.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>

#include <onnx/onnx_pb.h>
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

// Pictures and .npz files, sorted.
std::vector<std::string> files_of(const std::string &folder)
{
    std::vector<std::string> paths;
    std::error_code code;
    for (fs::directory_iterator at(folder, code), end; !code && at != end; at.increment(code))
        if (at->is_regular_file(code) && (is_picture(at->path()) || is_archive(at->path().string())))
            paths.push_back(at->path().string());
    if (code)
        throw Error(folder + ": " + code.message());
    std::sort(paths.begin(), paths.end());
    return paths;
}

bool fits(const Shape &shape, const Shape &declared)
{
    if (shape.size() != declared.size())
        return false;
    for (size_t i = 0; i < shape.size(); i++)
        if (shape[i] < 1 || (declared[i] >= 0 && declared[i] != shape[i]))
            return false;
    return true;
}

bool is_picture_shape(const Value &input)
{
    return input.type == float_type && input.shape.size() == 4 &&
           (input.shape[1] == 1 || input.shape[1] == 3 || input.shape[1] < 0);
}

} // namespace

// One sample's file, or an element of an array.
struct Entry {
    std::string path;
    Npy array;
    int64_t index = 0;
    bool archive = false;
};

// An array that has one input of all samples.
struct Column {
    size_t input; // index
    std::string path;
    Npy array;
};

struct Samples::Impl {
    Preprocessing preprocessing;
    std::vector<Value> inputs;
    int main = -1;                           // the input that pictures and plain arrays are for; -1: there is none
    std::string no_main;                     // why
    int channels = 0, height = 0, width = 0; // of pictures; 0: as they are
    bool pictures = false;                   // the main input can be made of a picture
    std::vector<Entry> entries;
    std::vector<Column> given;
    int64_t batch = 1;
    bool batch_fixed = false;
    std::vector<bool> stacks; // of each input: samples lie behind each other along its first axis

    const Value &input() const { return inputs[static_cast<size_t>(main)]; }
    void set_batch(int64_t asked);
    void check_batch(const Sample &sample);
    void add_columns(const Sources &sources);
    void set_main();
    void set_input(const Value &input);
    void add(const std::string &source);
    void add_array(const std::string &path);
    void match_columns();
    Array array_of(const npy_array &from, const Shape &shape, int64_t first, const Value &value,
                   const std::string &label) const;
    Array element(const npy_array &array, int64_t index, const Value &value, const std::string &label) const;
    Sample archived(const Entry &entry) const;
    cv::Mat picture(const Entry &entry) const;
    cv::Mat fit(const cv::Mat &picture, Placement &placement) const;
    Array place(const cv::Mat &fitted) const;
};

void Samples::Impl::set_batch(int64_t asked)
{
    int64_t fixed = inputs.empty() || inputs[0].shape.empty() ? 1 : inputs[0].shape[0];
    for (const Value &input : inputs)
        if (input.shape.empty() || input.shape[0] != fixed)
            fixed = -1;
    batch_fixed = fixed > 1;
    batch = asked > 0 ? asked : batch_fixed ? fixed : 1;
    for (Value &input : inputs) {
        const int64_t first = input.shape.empty() ? 0 : input.shape[0];
        if (asked > 0 && first == fixed && fixed > 0 && fixed != asked)
            throw Error("--batch is " + std::to_string(asked) + ", but the network's input '" + input.name +
                        "' has a batch of " + std::to_string(fixed));
        stacks.push_back(first < 0 || first == 1 || batch_fixed);
        if (stacks.back() && !input.shape.empty())
            input.shape[0] = -1; // which a sample has 1 of
    }
}

// Samples that have as many along the first axis as the network says are whole: that axis is no batch of theirs.
void Samples::Impl::check_batch(const Sample &sample)
{
    if (std::all_of(sample.inputs.begin(), sample.inputs.end(),
                    [&](const Array &array) { return array.shape[0] == batch; })) {
        batch = 1;
        batch_fixed = false;
    }
}

void Samples::Impl::add_columns(const Sources &sources)
{
    for (const auto &[name, path] : sources.arrays) {
        const auto found = std::find_if(inputs.begin(), inputs.end(), [&](const Value &v) { return v.name == name; });
        if (found == inputs.end())
            throw Error("the network has no input '" + name + "'");
        const auto index = static_cast<size_t>(found - inputs.begin());
        for (const Column &column : given)
            if (column.input == index)
                throw Error("input '" + name + "' is given twice: " + column.path + " and " + path);
        Column column = {index, path, load_npy(path)};
        if (column.array->dims < 1)
            throw Error(path + ": a single number, not samples");
        given.push_back(column);
    }
}

// The input that has no array, or the only one of them that a picture fits.
void Samples::Impl::set_main()
{
    std::vector<int> free, fitting;
    for (size_t i = 0; i < inputs.size(); i++) {
        if (std::any_of(given.begin(), given.end(), [&](const Column &column) { return column.input == i; }))
            continue;
        free.push_back(static_cast<int>(i));
        if (is_picture_shape(inputs[i]))
            fitting.push_back(static_cast<int>(i));
    }
    const std::vector<int> &some = free.size() == 1 ? free : fitting;
    if (some.size() == 1) {
        main = some[0];
        set_input(input());
    } else {
        no_main = free.empty() ? "every input of the network has an array of its own"
                               : "the network has " + std::to_string(free.size()) +
                                     " inputs besides those with arrays of their own: --input NAME=FILE.npy for each, "
                                     "or a folder of .npz files";
    }
}

void Samples::Impl::set_input(const Value &input)
{
    pictures = is_picture_shape(input);
    if (!pictures)
        return;
    channels = input.shape[1] < 0 ? 3 : static_cast<int>(input.shape[1]);
    height = static_cast<int>(std::max<int64_t>(input.shape[2], 0));
    width = static_cast<int>(std::max<int64_t>(input.shape[3], 0));
    const int wanted_height = preprocessing.height, wanted_width = preprocessing.width;
    if (wanted_height > 0 && ((height > 0 && wanted_height != height) || (width > 0 && wanted_width != width)))
        throw Error("--size is " + std::to_string(wanted_height) + "x" + std::to_string(wanted_width) +
                    ", but the network's input '" + input.name + "' is " +
                    (height > 0 ? std::to_string(height) : "any") + "x" + (width > 0 ? std::to_string(width) : "any"));
    if (wanted_height > 0) {
        height = wanted_height;
        width = wanted_width;
    }
    for (const auto *list : {&preprocessing.mean, &preprocessing.deviation})
        if (list->size() > 1 && list->size() != static_cast<size_t>(channels))
            throw Error("--mean and --std need one number or " + std::to_string(channels) +
                        ", as the network has channels");
}

void Samples::Impl::add_array(const std::string &path)
{
    if (main < 0)
        throw Error(path + ": " + no_main);
    Npy array = load_npy(path);
    if (array->dims < 1)
        throw Error(path + ": a single number, not samples");
    if (array->type == NPY_UINT8 && input().type == float_type) {
        if (!pictures || array->dims != 4 || array->shape[3] != channels)
            throw Error(path + ": uint8 arrays are pictures of shape (samples, height, width, " +
                        std::to_string(channels) + ") for a network that takes pictures");
    } else if (input().type == float_type && array->type != NPY_FLOAT32) {
        throw Error(path + ": samples are uint8 pictures or float32 tensors, not " + npy_type_name(array->type));
    } else if (array->shape[0] > 0) {
        element(*array, 0, input(), path);
    }
    for (int64_t i = 0; i < array->shape[0]; i++)
        entries.push_back({path, array, i, false});
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
    bool with_pictures = false;
    for (const std::string &path : fs::is_directory(status) ? files_of(source) : std::vector<std::string>{source}) {
        entries.push_back({path, nullptr, 0, is_archive(path)});
        with_pictures = with_pictures || !is_archive(path);
    }
    if (with_pictures && main < 0)
        throw Error(source + ": " + no_main);
    if (with_pictures && !pictures)
        throw Error(source + ": the network's input is no picture of 1 or 3 channels; give .npy tensors");
    if (with_pictures && preprocessing.fit != Fit::stretch && (height == 0 || width == 0))
        throw Error(source + ": --crop and --letterbox need --size, since the network's input has any");
    if (entries.size() == before)
        throw Error(source + ": no pictures in this folder");
}

// Arrays of single inputs have as many samples as there are.
void Samples::Impl::match_columns()
{
    if (given.empty())
        return;
    const bool alone = entries.empty();
    for (const Column &column : given) {
        const int64_t count = column.array->shape[0];
        if (alone && entries.empty())
            for (int64_t i = 0; i < count; i++)
                entries.push_back({column.path, column.array, i, false});
        if (count != static_cast<int64_t>(entries.size()))
            throw Error(column.path + ": " + std::to_string(count) + " samples of input '" + inputs[column.input].name +
                        "', and " + std::to_string(entries.size()) + " of others");
        if (count > 0)
            element(*column.array, 0, inputs[column.input], column.path);
    }
    if (alone && given.size() < inputs.size())
        for (const Value &value : inputs)
            if (std::none_of(given.begin(), given.end(),
                             [&](const Column &column) { return &inputs[column.input] == &value; }))
                throw Error("input '" + value.name + "' has no values: --input " + value.name + "=FILE.npy is missing");
    if (!alone)
        for (const Entry &entry : entries)
            if (entry.archive)
                throw Error(entry.path + ": an .npz file has all inputs, and --input gives some");
}

Array Samples::Impl::array_of(const npy_array &from, const Shape &shape, int64_t first, const Value &value,
                              const std::string &label) const
{
    Array array;
    if (!convert(slice(from, shape, first), value.type, array))
        throw Error(label + ": values of " + npy_type_name(from.type) + " are no " + element_type_name(value.type) +
                    ", which input '" + value.name + "' is");
    if (!holds_integers(array.type)) {
        const std::vector<float> values = to_floats(array);
        for (size_t i = 0; i < values.size(); i++)
            if (!std::isfinite(values[i]))
                throw Error(label + ": value " + std::to_string(i) + " is not finite");
    }
    return array;
}

// One of an array's samples: with a batch of 1 where the input has a batch.
Array Samples::Impl::element(const npy_array &array, int64_t index, const Value &value, const std::string &label) const
{
    const int64_t each = array.count / array.shape[0];
    Shape inner(array.shape + 1, array.shape + array.dims), outer = inner, open = value.shape;
    outer.insert(outer.begin(), 1);
    if (!open.empty() && open[0] < 0)
        open[0] = 1;
    const bool known = std::all_of(open.begin(), open.end(), [](int64_t extent) { return extent >= 0; });
    if (fits(outer, open))
        return array_of(array, outer, index * each, value, label);
    if (fits(inner, open))
        return array_of(array, inner, index * each, value, label);
    if (known && bsq_onnx::count(open) == each)
        return array_of(array, open, index * each, value, label);
    if (known)
        throw Error(label + ": a sample has " + std::to_string(each) + " values, the network's input " +
                    (inputs.size() > 1 ? "'" + value.name + "' " : "") + "has " +
                    std::to_string(bsq_onnx::count(open)));
    throw Error(label + ": a sample is " + extents_text(outer) + ", the network's input '" + value.name + "' is " +
                extents_text(value.shape));
}

Sample Samples::Impl::archived(const Entry &entry) const
{
    const std::map<std::string, Npy> arrays = load_npz(entry.path);
    Sample sample;
    for (const Value &value : inputs) {
        const auto found = arrays.find(value.name);
        if (found == arrays.end())
            throw Error(entry.path + ": has no array for input '" + value.name + "'");
        const npy_array &array = *found->second;
        const Shape shape(array.shape, array.shape + array.dims);
        if (!fits(shape, value.shape))
            throw Error(entry.path + ": '" + value.name + "' is " + extents_text(shape) + ", the network's input is " +
                        extents_text(value.shape));
        sample.inputs.push_back(array_of(array, shape, 0, value, entry.path + ": '" + value.name + "'"));
    }
    for (const auto &[name, array] : arrays)
        if (std::none_of(inputs.begin(), inputs.end(), [&, &key = name](const Value &v) { return v.name == key; }))
            throw Error(entry.path + ": the network has no input '" + name + "'");
    return sample;
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
    const int rows = static_cast<int>(array.shape[1]), across = static_cast<int>(array.shape[2]);
    const int type = channels == 3 ? CV_8UC3 : CV_8UC1;
    auto *bytes = static_cast<unsigned char *>(array.data) + entry.index * (array.count / array.shape[0]);
    cv::Mat bgr;
    cv::cvtColor(cv::Mat(rows, across, type, bytes), bgr, channels == 3 ? cv::COLOR_RGB2BGR : cv::COLOR_GRAY2BGR);
    return bgr;
}

cv::Mat Samples::Impl::fit(const cv::Mat &picture, Placement &placement) const
{
    placement.picture_width = picture.cols;
    placement.picture_height = picture.rows;
    cv::Mat fitted;
    if (preprocessing.fit == Fit::stretch) {
        const int columns = width > 0 ? width : picture.cols, rows = height > 0 ? height : picture.rows;
        placement.scale_x = static_cast<double>(columns) / picture.cols;
        placement.scale_y = static_cast<double>(rows) / picture.rows;
        if (picture.cols == columns && picture.rows == rows)
            return picture;
        cv::resize(picture, fitted, cv::Size(columns, rows));
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

Array Samples::Impl::place(const cv::Mat &fitted) const
{
    cv::Mat ordered = fitted;
    if (channels == 1)
        cv::cvtColor(fitted, ordered, cv::COLOR_BGR2GRAY);
    else if (!preprocessing.bgr)
        cv::cvtColor(fitted, ordered, cv::COLOR_BGR2RGB);
    Array array = make_array(float_type, {1, channels, ordered.rows, ordered.cols});
    float *out = array.floats();
    for (int c = 0; c < channels; c++) {
        const double mean = pick(preprocessing.mean, c, 0), deviation = pick(preprocessing.deviation, c, 1);
        for (int y = 0; y < ordered.rows; y++) {
            const unsigned char *row = ordered.ptr(y) + c;
            for (int x = 0; x < ordered.cols; x++, row += channels)
                *out++ = static_cast<float>((*row - mean) / deviation);
        }
    }
    return array;
}

Samples::Samples(const Sources &sources, const Preprocessing &preprocessing, const std::vector<Value> &inputs,
                 int64_t batch)
    : impl_(new Impl)
{
    impl_->preprocessing = preprocessing;
    impl_->inputs = inputs;
    impl_->set_batch(batch);
    impl_->add_columns(sources);
    impl_->set_main();
    for (const std::string &source : sources.files)
        impl_->add(source);
    impl_->match_columns();
    if (impl_->entries.empty())
        throw Error(sources.files.empty() ? "no samples" : sources.files[0] + ": no samples");
    if (impl_->batch_fixed)
        impl_->check_batch(load(int64_t{0}));
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

std::string Samples::file_path(int64_t index) const
{
    const Entry &entry = impl_->entries[static_cast<size_t>(index)];
    return entry.array ? "" : entry.path;
}

Sample Samples::load(int64_t index) const
{
    const Entry &entry = impl_->entries[static_cast<size_t>(index)];
    if (entry.archive)
        return impl_->archived(entry);
    Sample sample;
    sample.inputs.resize(impl_->inputs.size());
    for (const Column &column : impl_->given)
        sample.inputs[column.input] = impl_->element(*column.array, index, impl_->inputs[column.input],
                                                     column.path + " [" + std::to_string(index) + "]");
    if (impl_->given.size() == impl_->inputs.size())
        return sample;
    Array &input = sample.inputs[static_cast<size_t>(impl_->main)];
    if (entry.array && !(impl_->pictures && entry.array->type == NPY_UINT8)) {
        input = impl_->element(*entry.array, entry.index, impl_->input(), name(index));
        return sample;
    }
    sample.picture = impl_->picture(entry);
    input = impl_->place(impl_->fit(sample.picture, sample.placement));
    return sample;
}

int64_t Samples::batch() const
{
    return impl_->batch;
}

bool Samples::batch_is_fixed() const
{
    return impl_->batch_fixed;
}

Sample Samples::load(const std::vector<int64_t> &indices) const
{
    Sample all = load(indices.at(0));
    if (indices.size() == 1)
        return all;
    all.picture = cv::Mat();
    for (size_t i = 1; i < indices.size(); i++) {
        const Sample one = load(indices[i]);
        for (size_t k = 0; k < one.inputs.size(); k++) {
            Array &to = all.inputs[k];
            const Array &from = one.inputs[k];
            const bool fits = impl_->stacks[k] ? !from.shape.empty() && from.shape[0] == 1 &&
                                                     std::equal(to.shape.begin() + 1, to.shape.end(),
                                                                from.shape.begin() + 1, from.shape.end())
                                               : from.shape == to.shape && from.bytes == to.bytes;
            if (!fits)
                throw Error(name(indices[i]) + ": input '" + impl_->inputs[k].name + "' of " +
                            extents_text(from.shape) + " cannot be put together with that of " + name(indices[0]) +
                            (impl_->batch_fixed ? "; the network takes " : "; --batch is ") +
                            std::to_string(impl_->batch));
            if (!impl_->stacks[k])
                continue;
            to.bytes.insert(to.bytes.end(), from.bytes.begin(), from.bytes.end());
            to.shape[0]++;
        }
    }
    return all;
}

} // namespace bsq_onnx
