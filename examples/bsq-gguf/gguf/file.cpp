#include "gguf/file.hpp"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <limits>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared.hpp"

namespace bsq_gguf {

namespace {

// What no sound file goes beyond; arrays of tokens have some hundred thousand.
constexpr uint64_t most_entries = 1u << 16, most_tensors = 1u << 20, longest_name = 65535;

// Bytes of a value of fixed size, 0 for texts and arrays.
size_t size_of(ValueType type)
{
    switch (type) {
    case ValueType::uint8:
    case ValueType::int8:
    case ValueType::boolean: return 1;
    case ValueType::uint16:
    case ValueType::int16: return 2;
    case ValueType::uint32:
    case ValueType::int32:
    case ValueType::float32: return 4;
    case ValueType::uint64:
    case ValueType::int64:
    case ValueType::float64: return 8;
    default: return 0;
    }
}

// Goes through bytes; what is not there is Truncated.
struct Truncated {};

class Cursor {
public:
    explicit Cursor(std::string_view bytes) : bytes_(bytes) {}
    size_t place() const { return at_; }
    size_t left() const { return bytes_.size() - at_; }
    std::string_view take(uint64_t size)
    {
        if (size > left())
            throw Truncated();
        at_ += size;
        return bytes_.substr(at_ - size, size);
    }
    template <typename T> T get()
    {
        T value;
        std::memcpy(&value, take(sizeof value).data(), sizeof value);
        return value;
    }
    std::string_view text() { return take(get<uint64_t>()); }

private:
    std::string_view bytes_;
    size_t at_ = 0;
};

struct ArrayHead {
    ValueType type;
    uint64_t count;
};

ArrayHead array_head(Cursor &cursor)
{
    const auto type = static_cast<ValueType>(cursor.get<uint32_t>());
    return {type, cursor.get<uint64_t>()};
}

double as_number(ValueType type, Cursor &cursor)
{
    switch (type) {
    case ValueType::uint8:
    case ValueType::boolean: return cursor.get<uint8_t>();
    case ValueType::int8: return cursor.get<int8_t>();
    case ValueType::uint16: return cursor.get<uint16_t>();
    case ValueType::int16: return cursor.get<int16_t>();
    case ValueType::uint32: return cursor.get<uint32_t>();
    case ValueType::int32: return cursor.get<int32_t>();
    case ValueType::float32: return static_cast<double>(cursor.get<float>());
    case ValueType::uint64: return static_cast<double>(cursor.get<uint64_t>());
    case ValueType::int64: return static_cast<double>(cursor.get<int64_t>());
    default: return cursor.get<double>();
    }
}

bool is_float(ValueType type)
{
    return type == ValueType::float32 || type == ValueType::float64;
}

bool is_whole(ValueType type)
{
    return size_of(type) > 0 && !is_float(type) && type != ValueType::boolean;
}

// Values beyond 2^53 are of no use here, and told from smaller ones by this alone.
int64_t as_integer(ValueType type, Cursor &cursor)
{
    const double value = as_number(type, cursor);
    return static_cast<int64_t>(std::clamp(value, -9007199254740992.0, 9007199254740992.0));
}

std::string printable(std::string_view text)
{
    std::string out;
    for (const char c : text.substr(0, 80))
        out += c >= ' ' && c < '\x7f' ? c : '?';
    return out;
}

} // namespace

int64_t Tensor::rows() const
{
    int64_t product = 1;
    for (size_t i = 1; i < extents.size(); i++)
        product *= extents[i];
    return product;
}

void Gguf::wrong(const std::string &what) const
{
    throw Error(name_ + ": " + what);
}

Gguf::Gguf(const unsigned char *bytes, size_t size, const std::string &name) : name_(name)
{
    Cursor cursor({reinterpret_cast<const char *>(bytes), size});
    std::string where = "the header";
    try {
        if (cursor.take(4) != "GGUF")
            wrong("is not a GGUF file");
        version_ = cursor.get<uint32_t>();
        if (version_ != 0 && (version_ & 0xffff) == 0)
            wrong("is a GGUF file of big-endian numbers, which are not read");
        if (version_ != 2 && version_ != 3)
            wrong("has version " + std::to_string(version_) + " of GGUF; 2 and 3 are read");
        const auto tensor_count = cursor.get<uint64_t>(), entry_count = cursor.get<uint64_t>();
        if (entry_count > most_entries || tensor_count > most_tensors)
            wrong("says that it has " + std::to_string(entry_count) + " entries of metadata and " +
                  std::to_string(tensor_count) + " tensors, which cannot be");

        for (uint64_t i = 0; i < entry_count; i++) {
            where = "entry " + std::to_string(i) + " of the metadata";
            const std::string_view key = cursor.text();
            if (key.empty() || key.size() > longest_name)
                wrong(where + " has a name of " + std::to_string(key.size()) + " bytes");
            where += ", " + printable(key);
            const auto type = static_cast<ValueType>(cursor.get<uint32_t>());
            const size_t begin = cursor.place();
            if (type == ValueType::text) {
                cursor.text();
            } else if (type == ValueType::array) {
                const ArrayHead head = array_head(cursor);
                if (head.type == ValueType::text) {
                    for (uint64_t k = 0; k < head.count; k++)
                        cursor.text();
                } else if (size_of(head.type) == 0) {
                    wrong(where + ", is an array of type " + std::to_string(static_cast<uint32_t>(head.type)) +
                          ", which is not known");
                } else if (head.count > cursor.left() / size_of(head.type)) {
                    throw Truncated();
                } else {
                    cursor.take(head.count * size_of(head.type));
                }
            } else if (size_of(type) == 0) {
                wrong(where + ", has type " + std::to_string(static_cast<uint32_t>(type)) + ", which is not known");
            } else {
                cursor.take(size_of(type));
            }
            const std::string_view value(reinterpret_cast<const char *>(bytes) + begin, cursor.place() - begin);
            if (!entry_places_.emplace(std::string(key), entries_.size()).second)
                wrong(where + ", is there twice");
            entries_.push_back({std::string(key), type, value});
        }

        const int64_t alignment = integer("general.alignment", 32);
        if (alignment < 1 || alignment > (1 << 20) || (alignment & (alignment - 1)) != 0 || alignment % 4 != 0)
            wrong("general.alignment is " + std::to_string(alignment) + ", not a power of two from 4 on");
        alignment_ = static_cast<uint64_t>(alignment);

        std::vector<uint64_t> offsets;
        for (uint64_t i = 0; i < tensor_count; i++) {
            where = "the description of tensor " + std::to_string(i);
            const std::string_view text = cursor.text();
            if (text.empty() || text.size() > longest_name)
                wrong(where + " has a name of " + std::to_string(text.size()) + " bytes");
            where = "the description of tensor " + printable(text);
            const auto rank = cursor.get<uint32_t>();
            if (rank > 4)
                wrong(where + " has " + std::to_string(rank) + " extents; there are at most 4");
            Tensor tensor{std::string(text), {}, nullptr, nullptr, 0};
            int64_t count = 1;
            for (uint32_t k = 0; k < rank; k++) {
                const auto extent = cursor.get<uint64_t>();
                if (extent == 0 || extent > static_cast<uint64_t>(std::numeric_limits<int64_t>::max() / 64 / count))
                    wrong(where + " has extents that are 0 or too large");
                tensor.extents.push_back(static_cast<int64_t>(extent));
                count *= tensor.extents.back();
            }
            const auto number = cursor.get<uint32_t>();
            tensor.type = type_of_number(number);
            if (tensor.type == nullptr)
                wrong("tensor " + printable(text) + " has type " + std::to_string(number) +
                      ", which is not known; known are " + type_names());
            if (tensor.columns() % tensor.type->block != 0)
                wrong("tensor " + printable(text) + " has rows of " + std::to_string(tensor.columns()) + ", which " +
                      tensor.type->name + " cannot hold");
            tensor.size = static_cast<size_t>(count / tensor.type->block * tensor.type->bytes);
            offsets.push_back(cursor.get<uint64_t>());
            if (!tensor_places_.emplace(tensor.name, tensors_.size()).second)
                wrong("tensor " + printable(text) + " is there twice");
            tensors_.push_back(tensor);
        }

        const size_t end = cursor.place(), start = std::min(size, (end + alignment_ - 1) / alignment_ * alignment_);
        for (size_t i = 0; i < tensors_.size(); i++) {
            Tensor &tensor = tensors_[i];
            if (offsets[i] % alignment_ != 0)
                wrong("the data of tensor " + printable(tensor.name) + " does not begin at a multiple of " +
                      std::to_string(alignment_) + " bytes");
            if (offsets[i] > size - start || tensor.size > size - start - offsets[i])
                wrong("is truncated: the data of tensor " + printable(tensor.name) + " goes beyond its end");
            tensor.data = bytes + start + offsets[i];
        }
    } catch (const Truncated &) {
        wrong("is truncated: it ends in " + where);
    }
}

const Tensor *Gguf::find(const std::string &tensor) const
{
    const auto place = tensor_places_.find(tensor);
    return place == tensor_places_.end() ? nullptr : &tensors_[place->second];
}

const Entry *Gguf::entry(const std::string &key) const
{
    const auto place = entry_places_.find(key);
    return place == entry_places_.end() ? nullptr : &entries_[place->second];
}

std::string Gguf::text(const std::string &key, const std::string &otherwise) const
{
    const Entry *found = entry(key);
    if (found == nullptr)
        return otherwise;
    if (found->type != ValueType::text)
        wrong(printable(key) + " is not a text");
    return std::string(Cursor(found->bytes).text());
}

int64_t Gguf::integer(const std::string &key, int64_t otherwise) const
{
    const Entry *found = entry(key);
    if (found == nullptr)
        return otherwise;
    if (!is_whole(found->type))
        wrong(printable(key) + " is not a whole number");
    Cursor cursor(found->bytes);
    return as_integer(found->type, cursor);
}

double Gguf::number(const std::string &key, double otherwise) const
{
    const Entry *found = entry(key);
    if (found == nullptr)
        return otherwise;
    if (!is_whole(found->type) && !is_float(found->type))
        wrong(printable(key) + " is not a number");
    Cursor cursor(found->bytes);
    const double value = as_number(found->type, cursor);
    if (!std::isfinite(value))
        wrong(printable(key) + " is not finite");
    return value;
}

bool Gguf::boolean(const std::string &key, bool otherwise) const
{
    const Entry *found = entry(key);
    if (found == nullptr)
        return otherwise;
    if (found->type != ValueType::boolean)
        wrong(printable(key) + " is neither true nor false");
    return found->bytes[0] != 0;
}

const Entry *Gguf::array(const std::string &key) const
{
    const Entry *found = entry(key);
    if (found != nullptr && found->type != ValueType::array)
        wrong(printable(key) + " is not an array");
    return found;
}

std::vector<std::string> Gguf::texts(const std::string &key) const
{
    std::vector<std::string> list;
    const Entry *found = array(key);
    if (found == nullptr)
        return list;
    Cursor cursor(found->bytes);
    const ArrayHead head = array_head(cursor);
    if (head.type != ValueType::text)
        wrong(printable(key) + " is not an array of texts");
    for (uint64_t i = 0; i < head.count; i++)
        list.emplace_back(cursor.text());
    return list;
}

std::vector<double> Gguf::numbers(const std::string &key) const
{
    std::vector<double> list;
    const Entry *found = array(key);
    if (found == nullptr)
        return list;
    Cursor cursor(found->bytes);
    const ArrayHead head = array_head(cursor);
    if (!is_whole(head.type) && !is_float(head.type))
        wrong(printable(key) + " is not an array of numbers");
    for (uint64_t i = 0; i < head.count; i++)
        list.push_back(as_number(head.type, cursor));
    return list;
}

std::vector<int64_t> Gguf::integers(const std::string &key) const
{
    std::vector<int64_t> list;
    const Entry *found = array(key);
    if (found == nullptr)
        return list;
    Cursor cursor(found->bytes);
    const ArrayHead head = array_head(cursor);
    if (!is_whole(head.type))
        wrong(printable(key) + " is not an array of whole numbers");
    for (uint64_t i = 0; i < head.count; i++)
        list.push_back(as_integer(head.type, cursor));
    return list;
}

MappedFile::MappedFile(const std::string &path)
{
    const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat info;
    if (file < 0 || fstat(file, &info) != 0) {
        const std::string cause = std::strerror(errno);
        if (file >= 0)
            close(file);
        throw Error(path + ": " + cause);
    }
    if (!S_ISREG(info.st_mode) || info.st_size == 0) {
        close(file);
        throw Error(path + ": is " + (S_ISREG(info.st_mode) ? "empty" : "not a regular file"));
    }
    size_ = static_cast<size_t>(info.st_size);
    void *mapping = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file, 0);
    const int error = errno;
    close(file);
    if (mapping == MAP_FAILED)
        throw Error(path + ": cannot be mapped: " + std::strerror(error));
    data_ = static_cast<unsigned char *>(mapping);
}

void MappedFile::release() const
{
    madvise(data_, size_, MADV_DONTNEED);
}

MappedFile::~MappedFile()
{
    munmap(data_, size_);
}

} // namespace bsq_gguf
