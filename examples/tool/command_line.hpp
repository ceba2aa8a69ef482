// What reading a command line takes beside common/arguments.h.
#ifndef BSQ_TOOL_COMMAND_LINE_HPP
#define BSQ_TOOL_COMMAND_LINE_HPP

#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

extern "C" {
#include "common/arguments.h"
}

namespace tool {

// A command line that cannot be used: one line for the user; the program exits with 2.
class UsageError : public std::runtime_error {
public:
    explicit UsageError(const std::string &text) : std::runtime_error(text) {}
};

const struct argument end_of_table = {nullptr, ARGUMENT_FLAG, nullptr, nullptr, 0, 0, 0, nullptr};

using Table = std::vector<struct argument>; // closed by end_of_table

template <size_t... sizes> Table join(const struct argument (&...parts)[sizes])
{
    Table table;
    (table.insert(table.end(), std::begin(parts), std::end(parts)), ...);
    table.push_back(end_of_table);
    return table;
}

// The word as a shell takes it, quoted where it needs to be.
std::string shell_word(const std::string &word);

// Whether the word after this one is its value.
bool takes_value(const Table &table, const std::string &word);

std::vector<std::string> texts(const struct argument_list &list);
std::string text_of(const char *text); // "" of NULL

} // namespace tool

#endif
