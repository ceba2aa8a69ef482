// An input that cannot be used: one line for the user; main prints it and exits with 1.
#ifndef BSQ_TOOL_ERROR_HPP
#define BSQ_TOOL_ERROR_HPP

#include <stdexcept>
#include <string>

namespace tool {

class Error : public std::runtime_error {
public:
    explicit Error(const std::string &text) : std::runtime_error(text) {}
};

} // namespace tool

#endif
