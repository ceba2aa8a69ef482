#include "tool/command_line.hpp"

#include <algorithm>

namespace tool {

std::string shell_word(const std::string &word)
{
    const char *plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=+,./:%@";
    if (!word.empty() && word.find_first_not_of(plain) == std::string::npos)
        return word;
    std::string quoted = "'";
    for (const char c : word)
        quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return quoted + "'";
}

bool takes_value(const Table &table, const std::string &word)
{
    return std::any_of(table.begin(), table.end() - 1, [&](const struct argument &a) {
        return a.kind != ARGUMENT_FLAG && word == std::string("--") + a.name;
    });
}

std::vector<std::string> texts(const struct argument_list &list)
{
    return std::vector<std::string>(list.text, list.text + list.count);
}

std::string text_of(const char *text)
{
    return text == nullptr ? "" : text;
}

} // namespace tool
