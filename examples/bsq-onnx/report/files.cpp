// Files that are there whole or not at all.
#include "report/write.hpp"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.hpp"

namespace bsq_onnx {

namespace {

[[noreturn]] void fail(const std::string &path)
{
    throw Error(path + ": cannot be written: " + std::strerror(errno));
}

// A file beside 'path' that takes its name when it is whole, and is removed unless it does.
class Temporary {
public:
    explicit Temporary(const std::string &path) : path_(path), name_(path + ".XXXXXX")
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

    Temporary(const Temporary &) = delete;
    Temporary &operator=(const Temporary &) = delete;

    ~Temporary()
    {
        if (file_ >= 0)
            close(file_);
        if (!name_.empty())
            unlink(name_.c_str());
    }

    void write(const std::string &bytes)
    {
        size_t done = 0;
        while (done < bytes.size()) {
            const ssize_t written = ::write(file_, bytes.data() + done, bytes.size() - done);
            if (written < 0 && errno != EINTR)
                fail(path_);
            done += written > 0 ? static_cast<size_t>(written) : 0;
        }
        const mode_t mask = umask(0);
        umask(mask);
        if (fchmod(file_, 0666 & ~mask) != 0 || fsync(file_) != 0)
            fail(path_);
        const int file = file_;
        file_ = -1;
        if (close(file) != 0)
            fail(path_);
    }

    void publish()
    {
        if (rename(name_.c_str(), path_.c_str()) != 0)
            fail(path_);
        name_.clear();
    }

private:
    std::string path_, name_;
    int file_ = -1;
};

} // namespace

void write_files(const std::vector<std::pair<std::string, std::string>> &path_and_bytes)
{
    std::vector<std::unique_ptr<Temporary>> files;
    for (const auto &[path, bytes] : path_and_bytes) {
        files.push_back(std::make_unique<Temporary>(path));
        files.back()->write(bytes);
    }
    for (const auto &file : files)
        file->publish();
}

} // namespace bsq_onnx
