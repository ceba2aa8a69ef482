#include "model/array.hpp"

#include <cmath>
#include <cstring>
#include <limits>

#include "shared.hpp"

namespace bsq_onnx {

namespace {

enum class Family { none, real, whole, natural, flag };

struct Type {
    int32_t number; // of onnx::TensorProto
    const char *name;
    size_t size;
    Family family;
};

constexpr int32_t half_type = 10, double_type = 11, brain_type = 16;

constexpr Type types[] = {{float_type, "float32", 4, Family::real},
                          {2, "uint8", 1, Family::natural},
                          {3, "int8", 1, Family::whole},
                          {4, "uint16", 2, Family::natural},
                          {5, "int16", 2, Family::whole},
                          {6, "int32", 4, Family::whole},
                          {7, "int64", 8, Family::whole},
                          {8, "string", 0, Family::none},
                          {9, "bool", 1, Family::flag},
                          {half_type, "float16", 2, Family::real},
                          {double_type, "float64", 8, Family::real},
                          {12, "uint32", 4, Family::natural},
                          {13, "uint64", 8, Family::natural},
                          {brain_type, "bfloat16", 2, Family::real}};

const Type &type_of(int32_t number)
{
    static constexpr Type unknown = {0, "unknown", 0, Family::none};
    for (const Type &type : types)
        if (type.number == number)
            return type;
    return unknown;
}

template <typename T> T value_at(const Array &array, size_t index)
{
    T value;
    std::memcpy(&value, array.bytes.data() + index * sizeof value, sizeof value);
    return value;
}

template <typename T> void put(Array &array, size_t index, T value)
{
    std::memcpy(array.bytes.data() + index * sizeof value, &value, sizeof value);
}

double from_half(uint16_t bits)
{
    const int exponent = bits >> 10 & 31;
    const double fraction = bits & 1023, sign = bits >> 15 ? -1 : 1;
    if (exponent == 31)
        return fraction == 0 ? sign * std::numeric_limits<double>::infinity() : std::nan("");
    return sign * (exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25));
}

// To nearest, ties to even.
uint16_t to_half(double value)
{
    const auto sign = static_cast<uint16_t>(std::signbit(value) ? 0x8000 : 0);
    if (std::isnan(value))
        return 0x7e00;
    const double size = std::fabs(value);
    if (size >= 65520)
        return static_cast<uint16_t>(sign | 0x7c00);
    int exponent;
    std::frexp(size, &exponent);
    const int place = std::max(exponent - 11, -24); // of the last bit
    const auto steps = static_cast<uint32_t>(std::nearbyint(std::ldexp(size, -place)));
    // A carry from the fraction goes into the exponent by itself.
    return static_cast<uint16_t>(sign + (static_cast<uint32_t>(place + 24) << 10) + steps);
}

uint16_t to_brain(float value)
{
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    if (std::isnan(value))
        return 0x7fc0;
    return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

double real_at(const Array &array, size_t i)
{
    switch (array.type) {
    case float_type: return static_cast<double>(value_at<float>(array, i));
    case double_type: return value_at<double>(array, i);
    case half_type: return from_half(value_at<uint16_t>(array, i));
    default: break;
    }
    const uint32_t bits = static_cast<uint32_t>(value_at<uint16_t>(array, i)) << 16;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return static_cast<double>(value);
}

void put_real(Array &array, size_t i, double value)
{
    switch (array.type) {
    case float_type: put(array, i, static_cast<float>(value)); break;
    case double_type: put(array, i, value); break;
    case half_type: put(array, i, to_half(value)); break;
    default: put(array, i, to_brain(static_cast<float>(value))); break;
    }
}

int64_t whole_at(const Array &array, size_t i)
{
    const Type &type = type_of(array.type);
    const bool natural = type.family != Family::whole;
    switch (type.size) {
    case 1: return natural ? int64_t{array.bytes[i]} : int64_t{value_at<int8_t>(array, i)};
    case 2: return natural ? int64_t{value_at<uint16_t>(array, i)} : int64_t{value_at<int16_t>(array, i)};
    case 4: return natural ? int64_t{value_at<uint32_t>(array, i)} : int64_t{value_at<int32_t>(array, i)};
    default: return value_at<int64_t>(array, i);
    }
}

bool put_whole(Array &array, size_t i, int64_t value)
{
    const Type &type = type_of(array.type);
    const int bits = type.family == Family::flag ? 1 : static_cast<int>(8 * type.size);
    const bool natural = type.family != Family::whole;
    if (bits < 64 && natural && (value < 0 || value >> bits != 0))
        return false;
    if (bits < 64 && !natural && (value < -(int64_t{1} << (bits - 1)) || value >= int64_t{1} << (bits - 1)))
        return false;
    std::memcpy(array.bytes.data() + i * type.size, &value, type.size); // little-endian, as ONNX files are
    return !(bits == 64 && natural && value < 0);
}

} // namespace

std::string extents_text(const Shape &shape)
{
    std::string text;
    for (const int64_t extent : shape)
        text += (text.empty() ? "" : "x") + (extent < 0 ? std::string("?") : std::to_string(extent));
    return text.empty() ? "a single value" : text;
}

size_t element_size(int32_t type)
{
    return type_of(type).size;
}

const char *element_type_name(int32_t type)
{
    return type_of(type).name;
}

bool holds_integers(int32_t type)
{
    const Family family = type_of(type).family;
    return family != Family::real && family != Family::none;
}

Array make_array(int32_t type, const Shape &shape)
{
    Array array;
    array.type = type;
    array.shape = shape;
    array.bytes.resize(static_cast<size_t>(count(shape)) * element_size(type));
    return array;
}

std::vector<float> to_floats(const Array &array)
{
    std::vector<float> values(static_cast<size_t>(count(array.shape)));
    if (array.type == float_type)
        std::memcpy(values.data(), array.bytes.data(), array.bytes.size());
    else
        for (size_t i = 0; i < values.size(); i++)
            values[i] = holds_integers(array.type) ? static_cast<float>(whole_at(array, i))
                                                   : static_cast<float>(real_at(array, i));
    return values;
}

std::vector<int64_t> to_integers(const Array &array)
{
    std::vector<int64_t> values(static_cast<size_t>(count(array.shape)));
    for (size_t i = 0; i < values.size(); i++)
        values[i] = whole_at(array, i);
    return values;
}

bool convert(const Array &from, int32_t type, Array &to)
{
    const bool integers = holds_integers(from.type);
    if (element_size(type) == 0 || integers != holds_integers(type))
        return false;
    to = make_array(type, from.shape);
    if (from.type == type) {
        to.bytes = from.bytes;
        return true;
    }
    const auto all = static_cast<size_t>(count(from.shape));
    for (size_t i = 0; i < all; i++) {
        if (!integers)
            put_real(to, i, real_at(from, i));
        else if (!put_whole(to, i, whole_at(from, i)))
            return false;
    }
    return true;
}

} // namespace bsq_onnx
