// Activations of many samples, in memory, or in a file beyond a limit.
#ifndef BSQ_TOOL_STORE_HPP
#define BSQ_TOOL_STORE_HPP

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace tool {

// How much memory stores may take together, and where files go beyond it.
struct Room {
    int64_t memory = 0; // bytes left
    std::string folder;
};

class Store {
public:
    explicit Store(Room &room) : room_(room) {}

    // Makes room for 'count' floats of each of 'samples' samples. Throws Error when there is none.
    void add(const std::string &tensor, int64_t samples, int64_t count);
    float *at(const std::string &tensor, int64_t sample);

    // The same for so many bytes of each sample, which begin where any type may.
    void add(const std::string &tensor, const std::vector<size_t> &bytes);
    void *bytes_at(const std::string &tensor, int64_t sample);

    bool has(const std::string &tensor) const { return blocks_.count(tensor) > 0; }
    void drop(const std::string &tensor) { blocks_.erase(tensor); }

private:
    struct Block;
    Room &room_;
    std::map<std::string, std::shared_ptr<Block>> blocks_;
};

int64_t machine_memory(); // bytes

// Half of the machine's memory, at most 4 GiB.
int64_t default_memory();

// A room of so many bytes, of default_memory() for 0, and the folder for temporary files.
Room make_room(int64_t memory);

} // namespace tool

#endif
