// A GGUF file: metadata and tensors, read where they lie.
#ifndef BSQ_GGUF_FILE_HPP
#define BSQ_GGUF_FILE_HPP

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "gguf/types.hpp"

namespace bsq_gguf {

// Types of metadata, by their numbers in the file.
enum class ValueType : uint32_t {
    uint8 = 0,
    int8 = 1,
    uint16 = 2,
    int16 = 3,
    uint32 = 4,
    int32 = 5,
    float32 = 6,
    boolean = 7,
    text = 8,
    array = 9,
    uint64 = 10,
    int64 = 11,
    float64 = 12
};

// A key and its value: the bytes of the file behind the number of the type.
struct Entry {
    std::string key;
    ValueType type;
    std::string_view bytes;
};

struct Tensor {
    std::string name;
    std::vector<int64_t> extents; // innermost first
    const Type *type;
    const unsigned char *data;
    size_t size; // bytes
    int64_t columns() const { return extents.empty() ? 1 : extents[0]; }
    int64_t rows() const; // product of the others
};

// Reads the bytes of a file, versions 2 and 3. What they hold is checked: every extent, offset and length lies inside,
// names occur once. Throws Error, with the name of the file and what is wrong.
class Gguf {
public:
    // The bytes stay the caller's, and must live as long.
    Gguf(const unsigned char *bytes, size_t size, const std::string &name);

    const std::string &name() const { return name_; }
    uint32_t version() const { return version_; }
    uint64_t alignment() const { return alignment_; }
    const std::vector<Entry> &entries() const { return entries_; }
    const std::vector<Tensor> &tensors() const { return tensors_; }
    const Tensor *find(const std::string &tensor) const; // NULL when it is not there
    const Entry *entry(const std::string &key) const;

    // Values; 'otherwise' when the key is not there. Throws Error when the value is of another kind, or out of range.
    std::string text(const std::string &key, const std::string &otherwise) const;
    int64_t integer(const std::string &key, int64_t otherwise) const;
    double number(const std::string &key, double otherwise) const;
    bool boolean(const std::string &key, bool otherwise) const;
    // Arrays; empty when the key is not there.
    std::vector<std::string> texts(const std::string &key) const;
    std::vector<double> numbers(const std::string &key) const;
    std::vector<int64_t> integers(const std::string &key) const;

private:
    [[noreturn]] void wrong(const std::string &what) const;
    const Entry *array(const std::string &key) const; // NULL when it is not there; throws Error when it is no array

    std::string name_;
    uint32_t version_ = 0;
    uint64_t alignment_ = 32;
    std::vector<Entry> entries_;
    std::vector<Tensor> tensors_;
    std::unordered_map<std::string, size_t> entry_places_, tensor_places_;
};

// A file that is mapped into memory, read-only.
class MappedFile {
public:
    explicit MappedFile(const std::string &path); // throws Error
    MappedFile(const MappedFile &) = delete;
    MappedFile &operator=(const MappedFile &) = delete;
    ~MappedFile();
    const unsigned char *data() const { return data_; }
    size_t size() const { return size_; }
    void release() const; // takes what was read out of memory; it is read again where it is needed

private:
    unsigned char *data_ = nullptr;
    size_t size_ = 0;
};

} // namespace bsq_gguf

#endif
