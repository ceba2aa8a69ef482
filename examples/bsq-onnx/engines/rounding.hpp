// The values that a quantizer leaves, in the arithmetic of the library.
#ifndef BSQ_ONNX_ENGINES_ROUNDING_HPP
#define BSQ_ONNX_ENGINES_ROUNDING_HPP

#include <algorithm>
#include <cfloat>

namespace bsq_onnx {

// Half to even, for |x| far below 2^52.
inline double round_even(double x)
{
    const double far = 1.5 / DBL_EPSILON;
    return (x + far) - far;
}

// What a value becomes with codes lowest..highest, zero point taken off: double, so that a tie is the same one as in the
// library.
inline float rounded(float x, double step, double lowest, double highest)
{
    constexpr double most = static_cast<double>(FLT_MAX);
    const double code = round_even(std::min(std::max(static_cast<double>(x) / step, lowest), highest));
    return static_cast<float>(std::min(std::max(step * code, -most), most));
}

} // namespace bsq_onnx

#endif
