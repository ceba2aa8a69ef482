// A folder in which a run keeps what it has done, so that the same command can go on after an interruption.
#ifndef BSQ_TOOL_WORK_FOLDER_HPP
#define BSQ_TOOL_WORK_FOLDER_HPP

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace tool {

// FNV-1a, for what is told apart, not protected.
uint64_t digest(const void *bytes, size_t size, uint64_t start = 0xcbf29ce484222325u);
std::string hexadecimal(uint64_t value);

class WorkFolder {
public:
    // What must be the same for work to go on: a name and a value each.
    using Conditions = std::vector<std::pair<std::string, std::string>>;

    // Makes the folder, or reads what is in it. 'kind' is the first line of its list of conditions. Throws Error when it
    // holds something else, or the work of other conditions: it then names the first that differs.
    WorkFolder(const std::string &folder, const std::string &kind, const Conditions &conditions);

    std::string path(const std::string &name) const { return folder_ + "/" + name; }
    bool has(const std::string &name) const;
    std::string read(const std::string &name) const; // "" when it is not there
    void write(const std::string &name, const std::string &bytes) const;
    void remove(const std::string &name) const;

private:
    std::string folder_;
};

// Values one after the other, closed by a digest of them.
class ByteWriter {
public:
    template <typename T> void operator()(const T &value)
    {
        static_assert(std::is_arithmetic_v<T>);
        bytes_.append(reinterpret_cast<const char *>(&value), sizeof value);
    }
    template <typename T> void operator()(const std::vector<T> &values)
    {
        (*this)(static_cast<uint64_t>(values.size()));
        bytes_.append(reinterpret_cast<const char *>(values.data()), values.size() * sizeof(T));
    }
    void operator()(const std::string &text) { (*this)(std::vector<char>(text.begin(), text.end())); }
    std::string close()
    {
        (*this)(digest(bytes_.data(), bytes_.size()));
        return bytes_;
    }

private:
    std::string bytes_;
};

// Reads them again; 'bytes' stay the caller's.
class ByteReader {
public:
    explicit ByteReader(const std::string &bytes) : bytes_(bytes)
    {
        uint64_t sum = 0;
        if (bytes.size() < sizeof sum)
            return;
        end_ = bytes.size() - sizeof sum;
        std::memcpy(&sum, bytes.data() + end_, sizeof sum);
        whole_ = digest(bytes.data(), end_) == sum;
    }
    // All was there, unchanged, and nothing behind it.
    bool whole() const { return whole_ && at_ == end_; }
    template <typename T> void operator()(T &value)
    {
        static_assert(std::is_arithmetic_v<T>);
        take(&value, sizeof value);
    }
    template <typename T> void operator()(std::vector<T> &values)
    {
        uint64_t size = 0;
        (*this)(size);
        if (size > (end_ - at_) / sizeof(T)) {
            whole_ = false;
            return;
        }
        values.resize(size);
        take(values.data(), size * sizeof(T));
    }
    void operator()(std::string &text)
    {
        std::vector<char> characters;
        (*this)(characters);
        text.assign(characters.begin(), characters.end());
    }

private:
    void take(void *to, size_t size)
    {
        if (!whole_ || size > end_ - at_) {
            whole_ = false;
            return;
        }
        if (size > 0)
            std::memcpy(to, bytes_.data() + at_, size);
        at_ += size;
    }

    const std::string &bytes_;
    size_t at_ = 0, end_ = 0;
    bool whole_ = false;
};

} // namespace tool

#endif
