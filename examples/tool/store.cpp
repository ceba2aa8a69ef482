// Activations of many samples, in memory, or in a file beyond a limit.
#include "tool/store.hpp"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <vector>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tool/error.hpp"

namespace tool {

struct Store::Block {
    Room &room;
    int64_t taken = 0;         // of the room's memory
    std::vector<size_t> begin; // of each sample, in bytes
    size_t bytes = 0;
    void *data = MAP_FAILED;

    Block(Room &owner, const std::vector<size_t> &each) : room(owner)
    {
        constexpr size_t largest = alignof(std::max_align_t);
        for (const size_t size : each) {
            begin.push_back(bytes);
            bytes += (size + largest - 1) / largest * largest;
        }
        bytes = std::max(bytes, largest);
        const bool fits = static_cast<int64_t>(bytes) <= room.memory;
        const int file = fits ? -1 : open_file();
        const int flags = fits ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
        data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags, file, 0);
        const int error = errno;
        if (file >= 0)
            close(file);
        if (data == MAP_FAILED)
            throw Error("no memory for activations: " + std::string(std::strerror(error)));
        if (fits) {
            taken = static_cast<int64_t>(bytes);
            room.memory -= taken;
        }
    }
    Block(const Block &) = delete;
    Block &operator=(const Block &) = delete;
    ~Block()
    {
        munmap(data, bytes);
        room.memory += taken;
    }

    // A file without a name, with its space reserved: writing to the mapping cannot fail later.
    int open_file() const
    {
        const std::string name = room.folder + "/bsq-XXXXXX";
        std::vector<char> path(name.begin(), name.end());
        path.push_back('\0');
        const int file = mkstemp(path.data());
        if (file < 0)
            throw Error(room.folder + ": no file for activations: " + std::strerror(errno));
        unlink(path.data());
        const int error = posix_fallocate(file, 0, static_cast<off_t>(bytes));
        if (error != 0) {
            close(file);
            throw Error(room.folder + ": no space for " + std::to_string(bytes >> 20) +
                        " MB of activations: " + std::strerror(error));
        }
        return file;
    }
};

void Store::add(const std::string &tensor, int64_t samples, int64_t count)
{
    add(tensor, std::vector<size_t>(static_cast<size_t>(samples), static_cast<size_t>(count) * sizeof(float)));
}

void Store::add(const std::string &tensor, const std::vector<size_t> &bytes)
{
    blocks_.erase(tensor);
    blocks_[tensor] = std::make_shared<Block>(room_, bytes);
}

float *Store::at(const std::string &tensor, int64_t sample)
{
    return static_cast<float *>(bytes_at(tensor, sample));
}

void *Store::bytes_at(const std::string &tensor, int64_t sample)
{
    const Block &block = *blocks_.at(tensor);
    return static_cast<unsigned char *>(block.data) + block.begin[static_cast<size_t>(sample)];
}

int64_t machine_memory()
{
    return static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
}

int64_t default_memory()
{
    return std::min<int64_t>(int64_t{4} << 30, machine_memory() / 2);
}

Room make_room(int64_t memory)
{
    Room room;
    room.memory = memory == 0 ? default_memory() : memory;
    const char *folder = std::getenv("TMPDIR");
    room.folder = folder != nullptr && *folder != '\0' ? folder : "/tmp";
    return room;
}

} // namespace tool
