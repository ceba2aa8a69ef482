// Which class every sample belongs to.
#include "samples/labels.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "samples/arrays.hpp"

namespace bsq_onnx {

namespace fs = std::filesystem;

namespace {

struct Line {
    std::string where; // "line 3"
    int64_t label;
    fs::path file;
    std::string picture; // the one that it belongs to, "" before one was found
};

using Lines = std::multimap<std::string, Line>; // by the name of the file without its folders

Lines read_lines(const std::string &path, Labels &labels)
{
    std::ifstream file(path);
    if (!file)
        throw Error(path + ": " + std::strerror(errno));
    Lines lines;
    std::string text;
    for (int64_t number = 1; std::getline(file, text); number++) {
        if (text.find_first_not_of(" \t\r") == std::string::npos)
            continue;
        const std::string where = "line " + std::to_string(number);
        std::istringstream words(text);
        int64_t label;
        std::string name, class_name;
        if (!(words >> label >> name) || label < 0)
            throw Error(path + ": " + where + " is not \"class file\"");
        std::getline(words >> std::ws, class_name);
        class_name.erase(class_name.find_last_not_of(" \t\r") + 1);
        if (!class_name.empty())
            labels.names.emplace(label, class_name);
        const fs::path normal = fs::path(name).lexically_normal();
        lines.emplace(normal.filename().string(), Line{where, label, normal, ""});
    }
    if (file.bad())
        throw Error(path + ": " + std::strerror(errno));
    return lines;
}

// How well a line's file fits a picture of the same name: by the number of parts from the end that are the same, and
// better when there are no others.
int64_t fit(const fs::path &line, const fs::path &picture)
{
    auto a = line.end(), b = picture.end();
    int64_t same = 0;
    while (a != line.begin() && b != picture.begin() && *std::prev(a) == *std::prev(b)) {
        --a, --b;
        same++;
    }
    return 2 * same + (a == line.begin() ? 1 : 0);
}

int64_t label_of(const std::string &picture, Lines &lines, const std::string &path)
{
    const fs::path normal = fs::path(picture).lexically_normal();
    Line *best = nullptr, *rival = nullptr;
    const auto [first, last] = lines.equal_range(normal.filename().string());
    for (auto at = first; at != last; ++at) {
        Line &line = at->second;
        const int64_t better = best == nullptr ? 1 : fit(line.file, normal) - fit(best->file, normal);
        if (better > 0) {
            best = &line;
            rival = nullptr;
        } else if (better == 0 && line.label != best->label) {
            rival = &line;
        }
    }
    if (best == nullptr)
        throw Error(path + ": no line for " + picture);
    if (rival != nullptr)
        throw Error(path + ": " + best->where + " and " + rival->where + " have other classes for " + picture);
    if (!best->picture.empty() && best->picture != picture)
        throw Error(path + ": " + best->where + " may be of " + best->picture + " or of " + picture +
                    ": write the folder, too");
    best->picture = picture;
    return best->label;
}

Labels label_array(const std::string &path, int64_t samples, const std::vector<int64_t> &indices)
{
    const Npy array = load_npy(path);
    static const npy_type allowed[] = {NPY_INT8, NPY_UINT8, NPY_INT16, NPY_UINT16, NPY_INT32, NPY_INT64};
    if (array->dims < 1 || std::find(std::begin(allowed), std::end(allowed), array->type) == std::end(allowed))
        throw Error(path + ": labels are integers, one for each sample, or one for each position of each sample");
    if (array->shape[0] != samples)
        throw Error(path + ": " + std::to_string(array->shape[0]) + " labels for " + std::to_string(samples) +
                    " samples");
    Labels labels;
    labels.positions.assign(array->shape + 1, array->shape + array->dims);
    const int64_t each = count(labels.positions);
    if (each < 1)
        throw Error(path + ": labels of no positions");
    for (const int64_t index : indices) {
        const std::vector<int64_t> own = to_integers(slice(*array, labels.positions, index * each));
        labels.classes.insert(labels.classes.end(), own.begin(), own.end());
    }
    return labels;
}

} // namespace

Labels read_labels(const std::string &path, const Samples &samples, const std::vector<int64_t> &indices)
{
    if (is_array(path))
        return label_array(path, samples.count(), indices);
    Labels labels;
    Lines lines = read_lines(path, labels);
    for (const int64_t i : indices) {
        const std::string picture = samples.file_path(i);
        if (picture.empty())
            throw Error(path + ": " + samples.name(i) + " needs its label in a .npy file");
        labels.classes.push_back(label_of(picture, lines, path));
    }
    return labels;
}

} // namespace bsq_onnx
