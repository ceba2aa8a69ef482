// Values of a tensor of any element type.
#ifndef BSQ_ONNX_ARRAY_HPP
#define BSQ_ONNX_ARRAY_HPP

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace bsq_onnx {

using Shape = std::vector<int64_t>;
using Shapes = std::map<std::string, Shape>; // by tensor

// Throws Error when there are more than can be counted, or one is negative.
int64_t count(const Shape &shape);

std::string extents_text(const Shape &shape); // "1x3x32x32"; an unknown extent is a question mark

// Element types are those of onnx::TensorProto, of which this one is float32.
inline constexpr int32_t float_type = 1;

size_t element_size(int32_t type);           // bytes; 0: of no fixed size, or unknown
const char *element_type_name(int32_t type); // "float32"
bool holds_integers(int32_t type);           // of any width, and bool

struct Array {
    int32_t type = float_type;
    Shape shape;
    std::vector<unsigned char> bytes; // row-major; empty when only type and shape are known

    const float *floats() const { return reinterpret_cast<const float *>(bytes.data()); } // of float32
    float *floats() { return reinterpret_cast<float *>(bytes.data()); }
};

// Room for all values, which are zero.
Array make_array(int32_t type, const Shape &shape);

// The values as float32, of any type of numbers.
std::vector<float> to_floats(const Array &array);

// The values as integers, of a type that holds them.
std::vector<int64_t> to_integers(const Array &array);

// The values as another type. False where one of them does not fit: integers have to be the same, reals are rounded.
bool convert(const Array &from, int32_t type, Array &to);

// A network that is loaded to see what it computes: any types, any extents.
class Trace {
public:
    virtual ~Trace() = default;

    // All outputs that it was loaded for; without 'values' types and shapes alone. What is no tensor has type 0. Throws
    // Error.
    virtual std::vector<Array> run(const std::vector<Array> &inputs, bool values) = 0;
};

// What networks of any operators and extents are read with.
struct Tracing {
    // Loads a serialized network, with the names of its inputs and of the tensors to give. Empty: the engine cannot.
    std::function<std::unique_ptr<Trace>(const std::string &network, const std::vector<std::string> &inputs,
                                         const std::vector<std::string> &outputs)>
        load;
    // A sample: one array for each input that the network declares, extents that it leaves open being -1.
    struct Declared {
        std::string name;
        Shape shape;
        int32_t type;
    };
    std::function<std::vector<Array>(const std::vector<Declared> &)> sample;
    bool always = false; // networks that would not need it, too
};

} // namespace bsq_onnx

#endif
