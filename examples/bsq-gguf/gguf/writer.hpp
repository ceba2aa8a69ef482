// Writes a GGUF file as its tensors get ready.
#ifndef BSQ_GGUF_WRITER_HPP
#define BSQ_GGUF_WRITER_HPP

#include <cstdint>
#include <string>
#include <vector>

#include "gguf/file.hpp"
#include "shared.hpp"

namespace bsq_gguf {

// Metadata, in the order in which it is written.
class Metadata {
public:
    void copy(const Gguf &file); // all entries
    // Replaces the value of a key, or adds it at the end.
    void set(const std::string &key, const std::string &text);
    void set(const std::string &key, uint32_t value);
    void set(const std::string &key, float value);
    // A value as the file has it, behind the number of its type.
    void set(const std::string &key, ValueType type, const std::string &bytes);
    std::string bytes() const;
    size_t size() const { return entries_.size(); }

private:
    struct Own {
        std::string key;
        ValueType type;
        std::string bytes;
    };
    std::vector<Own> entries_;
};

// A tensor of the file to be.
struct Planned {
    std::string name;
    std::vector<int64_t> extents; // innermost first
    const Type *type;
};

// Version 3. Tensors lie in the given order, and come in any.
class Writer {
public:
    // Throws Error when the file cannot be made.
    Writer(const std::string &path, const Metadata &metadata, const std::vector<Planned> &tensors, uint64_t alignment);
    void write(size_t index, const void *bytes, size_t size); // throws Error
    // All tensors have been written, and are on the disk: returns where the file is until it takes its name.
    const std::string &finish();
    void publish(); // finishes where that was not done, and gives the file its name
    uint64_t size() const { return size_; }

private:
    NewFile file_;
    std::vector<uint64_t> places_, sizes_;
    std::vector<bool> written_;
    uint64_t size_ = 0;
    bool finished_ = false;
};

} // namespace bsq_gguf

#endif
