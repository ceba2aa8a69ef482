// Work that is kept in a folder, so that an interrupted run can go on.
#include "quantize/checkpoint.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <type_traits>

#include <fcntl.h>
#include <unistd.h>

#include "error.hpp"

namespace bsq_onnx {

namespace fs = std::filesystem;

uint64_t digest(const void *bytes, size_t size, uint64_t start)
{
    const auto *at = static_cast<const unsigned char *>(bytes);
    for (size_t i = 0; i < size; i++)
        start = (start ^ at[i]) * 0x100000001b3u;
    return start;
}

std::string hexadecimal(uint64_t value)
{
    char text[17];
    std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
    return text;
}

namespace {

const char *const manifest_name = "manifest";
const char *const manifest_head = "bsq-onnx work 2";

std::string read_file(const std::string &path)
{
    std::ifstream file(path, std::ios::binary);
    std::ostringstream bytes;
    bytes << file.rdbuf();
    return file ? bytes.str() : std::string();
}

// Values one after the other, closed by a digest of them.
class Writer {
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

class Reader {
public:
    explicit Reader(const std::string &bytes) : bytes_(bytes)
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

// One list of fields for both ways: 'Done' is const when it is written.
template <typename Stream, typename Done> void transfer(Stream &stream, Done &done)
{
    auto &l = done.layer;
    stream(l.name), stream(l.op), stream(l.input), stream(l.bits), stream(l.reason), stream(l.channels),
        stream(l.fan_in);
    stream(l.weight_bytes), stream(l.multiplications), stream(l.codes), stream(l.scales), stream(l.bias),
        stream(l.bias_codes);
    stream(l.dequantized), stream(l.error), stream(l.error_rounding), stream(l.held_out_error), stream(l.error_floor);
    stream(l.lower_bound), stream(l.own_error), stream(l.rows_per_input), stream(l.seconds), stream(l.warnings);
    stream(l.text);
    auto &q = done.quantizer;
    stream(q.values.scale), stream(q.values.zero_point), stream(q.values.bits), stream(q.values.type);
    stream(q.scales), stream(q.zero_points);
    auto &i = done.input;
    stream(i.tensor), stream(i.bits), stream(i.type), stream(i.zero_point), stream(i.scales);
    stream(i.zero_points), stream(i.strength), stream(i.note), stream(i.minimum), stream(i.maximum), stream(i.clipped),
        stream(i.histogram);
}

std::string numbered(const char *what, size_t index)
{
    char name[40];
    std::snprintf(name, sizeof name, "%s-%04zu", what, index);
    return name;
}

Checkpoint::Conditions read_manifest(const std::string &path)
{
    std::istringstream lines(read_file(path));
    std::string line;
    Checkpoint::Conditions conditions;
    if (!std::getline(lines, line) || line != manifest_head)
        throw Error(path + ": is not of a run that can be resumed");
    while (std::getline(lines, line))
        conditions.emplace_back(line.substr(0, line.find('\t')),
                                line.find('\t') == std::string::npos ? "" : line.substr(line.find('\t') + 1));
    return conditions;
}

} // namespace

Checkpoint::Checkpoint(const std::string &folder, const Conditions &conditions) : folder_(folder)
{
    std::error_code code;
    fs::create_directories(folder, code);
    if (!fs::is_directory(folder))
        throw Error(folder + ": cannot be made a folder" + (code ? ": " + code.message() : std::string()));
    if (!fs::exists(path(manifest_name))) {
        if (!fs::is_empty(folder, code) || code)
            throw Error(folder + ": is neither empty nor of a run that can be resumed");
        std::string text = std::string(manifest_head) + "\n";
        for (const auto &entry : conditions)
            text += entry.first + "\t" + entry.second + "\n";
        write(manifest_name, text);
        return;
    }
    const Conditions there = read_manifest(path(manifest_name));
    for (size_t i = 0; i < std::max(conditions.size(), there.size()); i++) {
        if (i < conditions.size() && i < there.size() && conditions[i] == there[i])
            continue;
        const auto text = [&](const Conditions &list) {
            return i < list.size() ? list[i].second : std::string("nothing");
        };
        const std::string name = i < conditions.size() ? conditions[i].first : there[i].first;
        throw Error(folder + ": is of a run with another " + name + ": " + text(there) + ", now " + text(conditions));
    }
}

void Checkpoint::write(const std::string &name, const std::string &bytes) const
{
    const std::string target = path(name), temporary = target + ".new";
    const int file = open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666);
    bool good = file >= 0;
    for (size_t at = 0; good && at < bytes.size();) {
        const ssize_t written = ::write(file, bytes.data() + at, bytes.size() - at);
        good = written > 0;
        at += good ? static_cast<size_t>(written) : 0;
    }
    int error = errno;
    if (file >= 0 && close(file) != 0 && good) {
        good = false;
        error = errno;
    }
    if (good && std::rename(temporary.c_str(), target.c_str()) != 0) {
        good = false;
        error = errno;
    }
    if (!good) {
        unlink(temporary.c_str());
        throw Error(target + ": " + std::strerror(error));
    }
}

bool Checkpoint::load_layer(size_t index, DoneLayer &done) const
{
    const std::string file = layer_path(index);
    if (!fs::exists(file))
        return false;
    const std::string bytes = read_file(file);
    Reader reader(bytes);
    transfer(reader, done);
    if (!reader.whole())
        throw Error(file + ": is damaged; remove it to have this layer done again");
    return true;
}

std::string Checkpoint::layer_path(size_t index) const
{
    return path(numbered("layer", index));
}

void Checkpoint::save_layer(size_t index, const DoneLayer &done)
{
    Writer writer;
    transfer(writer, done);
    write(numbered("layer", index), writer.close());
    for (const char *kind : {"stats", "held-out"})
        unlink(path(numbered(kind, index)).c_str());
}

std::string Checkpoint::load_stats(size_t index, bool held_out) const
{
    return read_file(path(numbered(held_out ? "held-out" : "stats", index)));
}

void Checkpoint::save_stats(size_t index, bool held_out, const std::string &bytes)
{
    write(numbered(held_out ? "held-out" : "stats", index), bytes);
}

std::vector<int> Checkpoint::load_bits() const
{
    std::istringstream text(read_file(path("bits")));
    std::vector<int> bits;
    for (int value; text >> value;)
        bits.push_back(value);
    if (!text.eof())
        throw Error(bits_path() + ": is damaged; remove it to have bits chosen again");
    return bits;
}

void Checkpoint::save_bits(const std::vector<int> &bits)
{
    std::string text;
    for (const int value : bits)
        text += std::to_string(value) + "\n";
    write("bits", text);
}

} // namespace bsq_onnx
