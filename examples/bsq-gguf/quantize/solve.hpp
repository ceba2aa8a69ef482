// Matrices of weights into blocks, by the library.
#ifndef BSQ_GGUF_SOLVE_HPP
#define BSQ_GGUF_SOLVE_HPP

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bsq.h"
#include "model/matrix.hpp"
#include "quantize/result.hpp"
#include "settings.hpp"
#include "shared.hpp"

namespace bsq_gguf {

struct StatsDelete {
    void operator()(bsq_stats_t *stats) const { bsq_stats_release(stats); }
};
using StatsHandle = std::unique_ptr<bsq_stats_t, StatsDelete>;

// Where the time goes.
class Clock {
public:
    // Adds what the time was spent for since the last call.
    void charge(double &to)
    {
        const auto now = std::chrono::steady_clock::now();
        to += std::chrono::duration<double>(now - last_).count();
        last_ = now;
    }

private:
    std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

// Output channels that are solved at a time: what a layer with many of them would need is bounded.
inline constexpr int64_t slice_rows = 4096;

// What a type asks for, and what the settings say.
bsq_options_t options_for(const Type &type, const Settings &settings);

// Bytes that solving a matrix takes at most, its floats included.
size_t solve_memory(const Type &type, int64_t rows, int64_t columns, const Settings &settings);

// Rows of activations that a layer reads, and what its output should be; 'target' is NULL when nothing is wanted.
struct Activations {
    const float *input, *target;
    int64_t rows;
};
// Calls take() with all of them in order: those that channels first .. first + count - 1 need. Without inputs wanted
// 'input' may be anything.
using Feed = std::function<void(int64_t first, int64_t count, const std::function<void(const Activations &)> &take)>;

class Solver {
public:
    Solver(const Settings &settings, Progress &progress, Seconds &seconds)
        : settings_(settings), progress_(progress), seconds_(seconds)
    {
    }

    // Fills in 'result', whose name, types and extents are set, and returns the blocks. With 'shared' the statistics of the
    // inputs are taken from there, or, when it is empty and 'share' is set, kept there for the next layer that reads them.
    // An empty 'feed' means: by the weights alone. Throws Error, Interrupted.
    std::vector<unsigned char> solve(const Matrix &weights, const std::vector<float> &bias, const Type &type,
                                     const Feed &feed, bool share, StatsHandle &shared, TensorResult &result);

    // The same for types of floats: rounded.
    std::vector<unsigned char> round(const Matrix &weights, const Type &type) const;

private:
    const Settings &settings_;
    Progress &progress_;
    Seconds &seconds_;
};

// Statistics of the inputs of a matrix alone.
StatsHandle gather(const Matrix &weights, const Feed &feed, const Settings &settings, const std::string &name);

// The relative output errors of 'types' for statistics, with little effort: what --avg-bits chooses by.
std::vector<double> error_table(const Matrix &weights, const std::vector<const Type *> &types, const bsq_stats_t *stats,
                                const Settings &settings, const std::string &name, Progress &progress);

} // namespace bsq_gguf

#endif
