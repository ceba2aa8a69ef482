// Text and numbers as they go into HTML.
#ifndef BSQ_TOOL_HTML_HPP
#define BSQ_TOOL_HTML_HPP

#include <cstdint>
#include <string>
#include <vector>

namespace tool {

// For text and for attributes in double quotes. Control characters and bytes that are not UTF-8 become U+FFFD.
std::string escape(const std::string &text);

// "0.00432", "1.2 x 10^-5" with real signs; "-" as a dash for what is not finite.
std::string number(double value, int digits = 3);
std::string fixed(double value, int decimals);
std::string percent(double share, int decimals = 1);
std::string power_of_ten(int exponent);
std::string bytes(int64_t count);
std::string duration(double seconds);
std::string whole(int64_t value);                            // digits in groups of three
std::string counted(int64_t value, const std::string &noun); // "1 layer", "2 layers"
std::string coordinate(double value);                        // for attributes: plain, to a hundredth
std::string base64(const std::vector<unsigned char> &data);

// A table cell with a number, of a column of class 'column' if that is given.
std::string number_cell(const std::string &text, const std::string &column = "");

} // namespace tool

#endif
