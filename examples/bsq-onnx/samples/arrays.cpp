#include "samples/arrays.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include <onnx/onnx_pb.h>
#include <zip.h>

namespace bsq_onnx {

namespace {

constexpr zip_uint64_t most_bytes = zip_uint64_t{1}
                                    << 32; // of one array: an archive of some KB can hold any number of zeros

constexpr size_t most_at_a_time = size_t{1} << 20; // bytes

// Names in a damaged archive may be anything.
std::string one_line(std::string text)
{
    for (char &letter : text)
        if (static_cast<unsigned char>(letter) < ' ' || letter == 127)
            letter = '?';
    return text;
}

int32_t onnx_type(npy_type type)
{
    switch (type) {
    case NPY_INT8: return onnx::TensorProto::INT8;
    case NPY_INT16: return onnx::TensorProto::INT16;
    case NPY_INT32: return onnx::TensorProto::INT32;
    case NPY_INT64: return onnx::TensorProto::INT64;
    case NPY_UINT8: return onnx::TensorProto::UINT8;
    case NPY_UINT16: return onnx::TensorProto::UINT16;
    case NPY_UINT32: return onnx::TensorProto::UINT32;
    case NPY_UINT64: return onnx::TensorProto::UINT64;
    case NPY_FLOAT16: return onnx::TensorProto::FLOAT16;
    case NPY_FLOAT32: return onnx::TensorProto::FLOAT;
    case NPY_FLOAT64: return onnx::TensorProto::DOUBLE;
    case NPY_BOOL: break;
    }
    return onnx::TensorProto::BOOL;
}

bool ends_with(const std::string &path, const std::string &extension)
{
    return path.size() >= extension.size() &&
           std::equal(extension.rbegin(), extension.rend(), path.rbegin(),
                      [](char a, char b) { return a == std::tolower(static_cast<unsigned char>(b)); });
}

std::string text_of(int code)
{
    zip_error_t error;
    zip_error_init_with_code(&error, code);
    std::string text = zip_error_strerror(&error);
    zip_error_fini(&error);
    return text;
}

std::vector<char> read_member(zip_t *archive, zip_uint64_t index, const std::string &label)
{
    zip_stat_t stat;
    if (zip_stat_index(archive, index, 0, &stat) != 0 || (stat.valid & ZIP_STAT_SIZE) == 0)
        throw Error(label + ": " + zip_strerror(archive));
    if (stat.size > most_bytes)
        throw Error(label + ": is too large");
    const std::unique_ptr<zip_file_t, int (*)(zip_file_t *)> file(zip_fopen_index(archive, index, 0), zip_fclose);
    if (!file)
        throw Error(label + ": " + zip_strerror(archive));
    // Room is made as bytes come: the size that is said may be damaged. One byte more is asked for, so that the checksum is
    // looked at.
    const auto all = static_cast<size_t>(stat.size);
    std::vector<char> bytes;
    size_t got = 0;
    zip_int64_t part = 0;
    do {
        bytes.resize(got + std::min(all + 1 - got, most_at_a_time));
        part = zip_fread(file.get(), bytes.data() + got, bytes.size() - got);
        got += part > 0 ? static_cast<size_t>(part) : 0;
    } while (part > 0 && got <= all);
    bytes.resize(got);
    if (part != 0 || got != all)
        throw Error(label + ": is damaged: " + zip_file_strerror(file.get()));
    return bytes;
}

} // namespace

Npy load_npy(const std::string &path)
{
    auto *array = new npy_array{};
    Npy owner(array, NpyDeleter());
    char message[NPY_MESSAGE_SIZE];
    if (!npy_load(path.c_str(), array, message))
        throw Error(path + ": " + message);
    return owner;
}

std::map<std::string, Npy> load_npz(const std::string &path)
{
    int code = 0;
    const std::unique_ptr<zip_t, void (*)(zip_t *)> archive(zip_open(path.c_str(), ZIP_RDONLY, &code), zip_discard);
    if (!archive)
        throw Error(path + ": " + text_of(code));
    std::map<std::string, Npy> arrays;
    const zip_int64_t all = zip_get_num_entries(archive.get(), 0);
    for (zip_int64_t i = 0; i < all; i++) {
        const char *name = zip_get_name(archive.get(), static_cast<zip_uint64_t>(i), 0);
        const std::string member = name != nullptr ? name : "?";
        if (!is_array(member))
            throw Error(path + ": '" + one_line(member) + "' in it is no .npy file");
        const std::string tensor = member.substr(0, member.size() - 4), label = path + ": '" + one_line(tensor) + "'";
        const std::vector<char> bytes = read_member(archive.get(), static_cast<zip_uint64_t>(i), label);
        auto *array = new npy_array{};
        Npy owner(array, NpyDeleter());
        char message[NPY_MESSAGE_SIZE];
        if (!npy_parse(bytes.data(), bytes.size(), array, message))
            throw Error(label + ": " + message);
        arrays[tensor] = owner;
    }
    return arrays;
}

Array slice(const npy_array &from, const Shape &shape, int64_t first)
{
    Array array;
    array.type = onnx_type(from.type);
    array.shape = shape;
    const size_t size = npy_type_size(from.type);
    const auto *bytes = static_cast<const unsigned char *>(from.data) + static_cast<size_t>(first) * size;
    array.bytes.assign(bytes, bytes + static_cast<size_t>(count(shape)) * size);
    return array;
}

bool is_array(const std::string &path)
{
    return ends_with(path, ".npy");
}

bool is_archive(const std::string &path)
{
    return ends_with(path, ".npz");
}

} // namespace bsq_onnx
