// Numbers of 16 bits: IEEE 754 binary16 and the upper half of binary32.
#ifndef BSQ_TOOL_HALF_HPP
#define BSQ_TOOL_HALF_HPP

#include <cstdint>

namespace tool {

float from_float16(uint16_t half); // exact
float from_bfloat16(uint16_t half);

// To the nearest, ties to even; what is too large becomes infinite.
uint16_t to_float16(float value);
uint16_t to_bfloat16(float value);

} // namespace tool

#endif
