// Files that are there whole or not at all.
#ifndef BSQ_TOOL_FILES_HPP
#define BSQ_TOOL_FILES_HPP

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace tool {

// A file beside 'path' that takes its name when it is whole, and is removed unless it does. What fails throws Error, with
// path and cause.
class NewFile {
public:
    explicit NewFile(const std::string &path);
    NewFile(const NewFile &) = delete;
    NewFile &operator=(const NewFile &) = delete;
    ~NewFile();

    void write(const void *bytes, size_t size, uint64_t offset);
    void close();                                          // all that was written is on the disk
    void publish();                                        // after close
    const std::string &temporary() const { return name_; } // where it is until then

private:
    std::string path_, name_;
    int file_ = -1;
};

// Writes all files or none: each goes to a temporary name beside its own first, and they are renamed when all of them
// are whole and on the disk. Throws Error, with path and cause.
void write_files(const std::vector<std::pair<std::string, std::string>> &path_and_bytes);

// Before work that takes minutes: whether a file can be made there; "" is not looked at. Throws Error.
void check_writable(const std::string &path);

} // namespace tool

#endif
