// Work that is kept in a folder, so that an interrupted run can go on.
#include "quantize/checkpoint.hpp"

#include <cstdio>
#include <sstream>

namespace bsq_onnx {

namespace {

// One list of fields for both ways: 'Done' is const when it is written.
template <typename Stream, typename Done> void transfer(Stream &stream, Done &done)
{
    auto &l = done.layer;
    stream(l.name), stream(l.op), stream(l.input), stream(l.bits), stream(l.reason), stream(l.shared_with),
        stream(l.channels), stream(l.fan_in);
    stream(l.weight_bytes), stream(l.multiplications), stream(l.codes), stream(l.scales), stream(l.group_size),
        stream(l.zero_points), stream(l.bias), stream(l.bias_codes);
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

} // namespace

Checkpoint::Checkpoint(const std::string &folder, const Conditions &conditions)
    : folder_(folder, "bsq-onnx work 4", conditions)
{
}

bool Checkpoint::load_layer(size_t index, DoneLayer &done) const
{
    const std::string name = numbered("layer", index);
    if (!folder_.has(name))
        return false;
    const std::string bytes = folder_.read(name);
    ByteReader reader(bytes);
    transfer(reader, done);
    if (!reader.whole())
        throw Error(layer_path(index) + ": is damaged; remove it to have this layer done again");
    return true;
}

std::string Checkpoint::layer_path(size_t index) const
{
    return folder_.path(numbered("layer", index));
}

void Checkpoint::save_layer(size_t index, const DoneLayer &done)
{
    ByteWriter writer;
    transfer(writer, done);
    folder_.write(numbered("layer", index), writer.close());
    for (const char *kind : {"stats", "held-out"})
        folder_.remove(numbered(kind, index));
}

std::string Checkpoint::load_stats(size_t index, bool held_out) const
{
    return folder_.read(numbered(held_out ? "held-out" : "stats", index));
}

void Checkpoint::save_stats(size_t index, bool held_out, const std::string &bytes)
{
    folder_.write(numbered(held_out ? "held-out" : "stats", index), bytes);
}

std::vector<int> Checkpoint::load_bits() const
{
    std::istringstream text(folder_.read("bits"));
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
    folder_.write("bits", text);
}

} // namespace bsq_onnx
