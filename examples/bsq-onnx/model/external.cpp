#include "model/external.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>

namespace bsq_onnx {

namespace fs = std::filesystem;

namespace {

constexpr size_t alignment = 64; // of tensors in the file: those that map it into memory want some

// What the entries of a tensor say.
struct Place {
    std::string location;
    uint64_t offset = 0, length = 0;
    bool has_length = false;
};

uint64_t number(const std::string &text, const std::string &label, const std::string &key)
{
    uint64_t value = 0;
    bool good = !text.empty();
    for (const char digit : text)
        good = good && digit >= '0' && digit <= '9' && !__builtin_mul_overflow(value, uint64_t{10}, &value) &&
               !__builtin_add_overflow(value, static_cast<uint64_t>(digit - '0'), &value);
    if (!good)
        throw Error(label + " has an impossible " + key + " in another file");
    return value;
}

Place place_of(const onnx::TensorProto &tensor, const std::string &label)
{
    Place place;
    for (const auto &entry : tensor.external_data()) {
        if (entry.key() == "location")
            place.location = entry.value();
        else if (entry.key() == "offset")
            place.offset = number(entry.value(), label, "offset");
        else if (entry.key() == "length")
            place.length = number(entry.value(), label, "length"), place.has_length = true;
    }
    if (place.location.empty() || place.location.find('\0') != std::string::npos)
        throw Error(label + " is in another file, and does not say in which");
    return place;
}

// A network may come from anywhere: it must not make this program read what lies elsewhere.
fs::path path_within(const fs::path &folder, const std::string &location, const std::string &label)
{
    const fs::path relative(location);
    bool inside = relative.is_relative();
    for (const fs::path &part : relative)
        inside = inside && part != "..";
    std::error_code code;
    const fs::path root = fs::canonical(folder, code), file = fs::canonical(folder / relative, code);
    if (inside && code)
        throw Error(label + " is in the file " + location + ", which is not beside the network");
    if (inside && std::mismatch(root.begin(), root.end(), file.begin(), file.end()).first != root.end())
        inside = false;
    if (!inside)
        throw Error(label + " is in the file " + location + ", which is outside of the network's folder");
    return file;
}

void load_tensor(onnx::TensorProto &tensor, const fs::path &folder, uint64_t &hash)
{
    if (tensor.data_location() != onnx::TensorProto::EXTERNAL) {
        if (tensor.external_data_size() > 0)
            throw Error("tensor " + tensor.name() + " is in another file, and is not");
        return;
    }
    const std::string label = "tensor " + tensor.name();
    const Place place = place_of(tensor, label);
    const size_t element = element_size(tensor.data_type());
    if (element == 0)
        throw Error(label + " has a type that is not supported");
    const uint64_t size = static_cast<uint64_t>(count(shape_of(tensor))) * element;
    if (place.has_length && place.length != size)
        throw Error(label + " has not as many values in " + place.location + " as its shape says");
    const fs::path file = path_within(folder, place.location, label);
    std::error_code code;
    const uint64_t there = fs::is_regular_file(file, code) ? fs::file_size(file, code) : 0;
    if (code || place.offset > there || size > there - place.offset)
        throw Error(label + " lies beyond the end of " + place.location);
    if (size > static_cast<uint64_t>(std::numeric_limits<int>::max()))
        throw Error(label + " is larger than 2 GiB, which ONNX cannot hold");
    std::string bytes(static_cast<size_t>(size), '\0');
    std::ifstream stream(file, std::ios::binary);
    stream.seekg(static_cast<std::streamoff>(place.offset));
    if (!stream.read(bytes.data(), static_cast<std::streamsize>(size)))
        throw Error(label + " cannot be read from " + place.location);
    hash = fnv1a(bytes, hash);
    tensor.set_raw_data(std::move(bytes));
    tensor.clear_external_data();
    tensor.clear_data_location();
}

} // namespace

uint64_t fnv1a(const std::string &bytes, uint64_t hash)
{
    for (const char byte : bytes)
        hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3U;
    return hash;
}

uint64_t load_external(onnx::ModelProto &model, const std::string &path, uint64_t hash)
{
    const fs::path parent = fs::path(path).parent_path(), folder = parent.empty() ? fs::path(".") : parent;
    for (auto &tensor : *model.mutable_graph()->mutable_initializer())
        load_tensor(tensor, folder, hash);
    for (auto &node : *model.mutable_graph()->mutable_node())
        for (auto &attribute : *node.mutable_attribute())
            if (attribute.has_t())
                load_tensor(*attribute.mutable_t(), folder, hash);
    return hash;
}

std::string move_external(onnx::ModelProto &model, const std::string &name, size_t least)
{
    std::string bytes;
    for (auto &tensor : *model.mutable_graph()->mutable_initializer()) {
        if (!tensor.has_raw_data() || tensor.raw_data().size() < least)
            continue;
        bytes.resize((bytes.size() + alignment - 1) / alignment * alignment, '\0');
        const std::pair<const char *, std::string> entries[] = {{"location", name},
                                                                {"offset", std::to_string(bytes.size())},
                                                                {"length", std::to_string(tensor.raw_data().size())}};
        for (const auto &[key, value] : entries) {
            auto &entry = *tensor.add_external_data();
            entry.set_key(key);
            entry.set_value(value);
        }
        bytes += tensor.raw_data();
        tensor.clear_raw_data();
        tensor.set_data_location(onnx::TensorProto::EXTERNAL);
    }
    return bytes;
}

} // namespace bsq_onnx
