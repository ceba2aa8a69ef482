#include "gguf/writer.hpp"

#include <algorithm>
#include <stdexcept>

namespace bsq_gguf {

namespace {

template <typename T> void put(std::string &bytes, const T &value)
{
    bytes.append(reinterpret_cast<const char *>(&value), sizeof value);
}

void put_text(std::string &bytes, const std::string &text)
{
    put(bytes, static_cast<uint64_t>(text.size()));
    bytes += text;
}

uint64_t aligned(uint64_t size, uint64_t alignment)
{
    return (size + alignment - 1) / alignment * alignment;
}

} // namespace

void Metadata::copy(const Gguf &file)
{
    for (const Entry &entry : file.entries())
        entries_.push_back({entry.key, entry.type, std::string(entry.bytes)});
}

void Metadata::set(const std::string &key, ValueType type, const std::string &bytes)
{
    const auto there =
        std::find_if(entries_.begin(), entries_.end(), [&](const Own &entry) { return entry.key == key; });
    if (there == entries_.end())
        entries_.push_back({key, type, bytes});
    else
        *there = {key, type, bytes};
}

void Metadata::set(const std::string &key, const std::string &text)
{
    std::string bytes;
    put_text(bytes, text);
    set(key, ValueType::text, bytes);
}

void Metadata::set(const std::string &key, uint32_t value)
{
    std::string bytes;
    put(bytes, value);
    set(key, ValueType::uint32, bytes);
}

void Metadata::set(const std::string &key, float value)
{
    std::string bytes;
    put(bytes, value);
    set(key, ValueType::float32, bytes);
}

std::string Metadata::bytes() const
{
    std::string out;
    for (const Own &entry : entries_) {
        put_text(out, entry.key);
        put(out, static_cast<uint32_t>(entry.type));
        out += entry.bytes;
    }
    return out;
}

Writer::Writer(const std::string &path, const Metadata &metadata, const std::vector<Planned> &tensors,
               uint64_t alignment)
    : file_(path), written_(tensors.size(), false)
{
    std::string head = "GGUF";
    put(head, uint32_t{3});
    put(head, static_cast<uint64_t>(tensors.size()));
    put(head, static_cast<uint64_t>(metadata.size()));
    head += metadata.bytes();
    uint64_t offset = 0;
    for (const Planned &tensor : tensors) {
        put_text(head, tensor.name);
        put(head, static_cast<uint32_t>(tensor.extents.size()));
        int64_t count = 1;
        for (const int64_t extent : tensor.extents) {
            put(head, static_cast<uint64_t>(extent));
            count *= extent;
        }
        put(head, tensor.type->number);
        put(head, offset);
        places_.push_back(offset);
        sizes_.push_back(static_cast<uint64_t>(count / tensor.type->block * tensor.type->bytes));
        offset += aligned(sizes_.back(), alignment);
    }
    head.resize(aligned(head.size(), alignment));
    for (uint64_t &place : places_)
        place += head.size();
    size_ = head.size() + offset;
    file_.write(head.data(), head.size(), 0);
    // Bytes between tensors, and behind the last, are 0.
    if (offset > 0)
        file_.write("", 1, size_ - 1);
}

void Writer::write(size_t index, const void *bytes, size_t size)
{
    if (size != sizes_.at(index))
        throw std::logic_error("a tensor of another size than planned");
    file_.write(bytes, size, places_[index]);
    written_[index] = true;
}

const std::string &Writer::finish()
{
    if (std::find(written_.begin(), written_.end(), false) != written_.end())
        throw std::logic_error("a tensor was not written");
    if (!finished_)
        file_.close();
    finished_ = true;
    return file_.temporary();
}

void Writer::publish()
{
    finish();
    file_.publish();
}

} // namespace bsq_gguf
