// What comes out of a run.
#ifndef BSQ_GGUF_RESULT_HPP
#define BSQ_GGUF_RESULT_HPP

#include <cstdint>
#include <string>
#include <vector>

#include "gguf/types.hpp"

namespace bsq_gguf {

struct TensorResult {
    std::string name; // with ".weight"
    const Type *from = nullptr, *type = nullptr;
    int64_t rows = 0, columns = 0;
    uint64_t size = 0;         // bytes
    bool solved = false;       // else copied or rounded to another type of floats
    bool by_weights = false;   // solved without statistics: errors are those of the weights
    double error = 0;          // relative output error
    double error_rounding = 0; // of the same grid, rounded
    double error_floor = 0;    // what no weights can pass, with the inputs that the layer gets
    double rows_per_input = 0;
    double seconds = 0;
    int32_t warnings = 0; // BSQ_WARNING_... bits
};

struct Seconds {
    double forward = 0, statistics = 0, solve = 0, evaluation = 0, all = 0;
};

} // namespace bsq_gguf

#endif
