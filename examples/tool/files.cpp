// Files that are there whole or not at all.
#include "tool/files.hpp"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tool/error.hpp"

namespace tool {

[[noreturn]] static void fail(const std::string &path)
{
    throw Error(path + ": cannot be written: " + std::strerror(errno));
}

NewFile::NewFile(const std::string &path) : path_(path), name_(path + ".XXXXXX")
{
    struct stat info;
    if (stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode))
        throw Error(path + ": cannot be written: it is not a regular file");
    file_ = mkstemp(&name_[0]);
    if (file_ < 0) {
        name_.clear();
        fail(path);
    }
}

NewFile::~NewFile()
{
    if (file_ >= 0)
        ::close(file_);
    if (!name_.empty())
        unlink(name_.c_str());
}

void NewFile::write(const void *bytes, size_t size, uint64_t offset)
{
    const char *at = static_cast<const char *>(bytes);
    size_t done = 0;
    while (done < size) {
        const ssize_t written = pwrite(file_, at + done, size - done, static_cast<off_t>(offset + done));
        if (written < 0 && errno != EINTR)
            fail(path_);
        done += written > 0 ? static_cast<size_t>(written) : 0;
    }
}

void NewFile::close()
{
    const mode_t mask = umask(0);
    umask(mask);
    if (fchmod(file_, 0666 & ~mask) != 0 || fsync(file_) != 0)
        fail(path_);
    const int file = file_;
    file_ = -1;
    if (::close(file) != 0)
        fail(path_);
}

void NewFile::publish()
{
    if (rename(name_.c_str(), path_.c_str()) != 0)
        fail(path_);
    name_.clear();
}

void write_files(const std::vector<std::pair<std::string, std::string>> &path_and_bytes)
{
    std::vector<std::unique_ptr<NewFile>> files;
    for (const auto &[path, bytes] : path_and_bytes) {
        files.push_back(std::make_unique<NewFile>(path));
        files.back()->write(bytes.data(), bytes.size(), 0);
        files.back()->close();
    }
    for (const auto &file : files)
        file->publish();
}

void check_writable(const std::string &path)
{
    if (path.empty())
        return;
    const size_t slash = path.rfind('/');
    const std::string folder = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
    if (access(folder.c_str(), W_OK | X_OK) != 0)
        throw Error(path + ": cannot be written: " + std::strerror(errno));
}

} // namespace tool
