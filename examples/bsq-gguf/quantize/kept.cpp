#include "quantize/kept.hpp"

#include <algorithm>
#include <cmath>

namespace bsq_gguf {

namespace {

const char *const types_name = "types";

// A name for a file: what is neither letter nor digit becomes one of a few plain characters.
std::string file_name(const std::string &tensor)
{
    std::string name = "tensor-";
    for (const char c : tensor)
        name += (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_'
                    ? c
                    : '-';
    return name;
}

// One list of fields for both ways: 'Result' is const when it is written.
template <typename Stream, typename Result> void transfer(Stream &stream, Result &result)
{
    stream(result.size), stream(result.solved), stream(result.by_weights), stream(result.error);
    stream(result.error_rounding), stream(result.error_floor), stream(result.rows_per_input), stream(result.seconds);
    stream(result.warnings);
}

bool possible(double value)
{
    return std::isfinite(value) && value >= 0;
}

} // namespace

Kept::Kept(const std::string &folder, const WorkFolder::Conditions &conditions)
    : folder_(folder, "bsq-gguf work 1", conditions)
{
}

bool Kept::load(TensorResult &result, std::vector<unsigned char> &bytes) const
{
    const std::string file = file_name(result.name);
    if (!folder_.has(file))
        return false;
    const std::string content = folder_.read(file);
    ByteReader reader(content);
    TensorResult there = result;
    std::string name;
    uint32_t type = 0;
    int64_t rows = 0, columns = 0;
    reader(name), reader(type), reader(rows), reader(columns);
    transfer(reader, there);
    reader(bytes);
    const auto expected = static_cast<size_t>(result.rows * (result.columns / result.type->block) * result.type->bytes);
    if (!reader.whole())
        throw Error(folder_.path(file) + ": is damaged; remove it to have this tensor done again");
    if (name != result.name || type != result.type->number || rows != result.rows || columns != result.columns ||
        bytes.size() != expected || there.size != expected || !possible(there.error) ||
        !possible(there.error_rounding) || !possible(there.error_floor) || !possible(there.rows_per_input) ||
        !possible(there.seconds))
        throw Error(folder_.path(file) + ": is not of this run; remove it to have this tensor done again");
    result = there;
    return true;
}

void Kept::save(const TensorResult &result, const std::vector<unsigned char> &bytes) const
{
    ByteWriter writer;
    writer(result.name), writer(result.type->number), writer(result.rows), writer(result.columns);
    transfer(writer, result);
    writer(bytes);
    folder_.write(file_name(result.name), writer.close());
}

std::vector<uint32_t> Kept::load_types() const
{
    std::vector<uint32_t> types;
    if (!folder_.has(types_name))
        return types;
    const std::string content = folder_.read(types_name);
    ByteReader reader(content);
    reader(types);
    if (!reader.whole())
        throw Error(folder_.path(types_name) + ": is damaged; remove it to have types chosen again");
    return types;
}

void Kept::save_types(const std::vector<uint32_t> &types) const
{
    ByteWriter writer;
    writer(types);
    folder_.write(types_name, writer.close());
}

} // namespace bsq_gguf
