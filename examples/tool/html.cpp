#include "tool/html.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace tool {

static const char dash[] = "\u2013", minus[] = "\u2212", thin_space[] = "\u202f", replacement[] = "\ufffd";

// Bytes of the UTF-8 character at 'i', 0 when there is none (also for surrogates and what is too long).
static size_t character_length(const std::string &text, size_t i)
{
    const auto byte = [&](size_t at) { return at < text.size() ? static_cast<unsigned char>(text[at]) : 0U; };
    const unsigned first = byte(i);
    const size_t length = first < 0x80   ? 1
                          : first < 0xc2 ? 0
                          : first < 0xe0 ? 2
                          : first < 0xf0 ? 3
                          : first < 0xf5 ? 4
                                         : 0;
    for (size_t k = 1; k < length; k++) {
        if ((byte(i + k) & 0xc0) != 0x80) {
            return 0;
        }
    }
    const unsigned second = byte(i + 1);
    const bool odd = (first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
                     (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f);
    return odd ? 0 : length;
}

std::string escape(const std::string &text)
{
    std::string out;
    for (size_t i = 0; i < text.size();) {
        const size_t length = character_length(text, i);
        const char c = text[i];
        const bool control = length == 1 && ((c >= 0 && c < ' ' && c != '\n' && c != '\t') || c == '\x7f');
        if (length == 0 || control) {
            out += replacement;
        } else if (c == '&') {
            out += "&amp;";
        } else if (c == '<') {
            out += "&lt;";
        } else if (c == '>') {
            out += "&gt;";
        } else if (c == '"') {
            out += "&quot;";
        } else if (c == '\'') {
            out += "&#39;";
        } else {
            out.append(text, i, length);
        }
        i += std::max<size_t>(length, 1);
    }
    return out;
}

static std::string print(const char *format, int digits, double value)
{
    char text[400];
    snprintf(text, sizeof text, format, digits, std::abs(value));
    const bool is_zero = std::string(text).find_first_of("123456789") == std::string::npos;
    return (value < 0 && !is_zero ? minus : "") + std::string(text);
}

std::string fixed(double value, int decimals)
{
    return std::isfinite(value) ? print("%.*f", decimals, value) : dash;
}

std::string power_of_ten(int exponent)
{
    static const char *const digits[] = {"\u2070", "\u00b9", "\u00b2", "\u00b3", "\u2074",
                                         "\u2075", "\u2076", "\u2077", "\u2078", "\u2079"};
    std::string out = exponent < 0 ? "10\u207b" : "10";
    for (const char c : std::to_string(std::abs(exponent))) {
        out += digits[c - '0'];
    }
    return out;
}

std::string number(double value, int digits)
{
    if (!std::isfinite(value)) {
        return dash;
    }
    if (value == 0) {
        return "0";
    }
    const std::string scientific = print("%.*e", digits - 1, value);
    const size_t e = scientific.find('e');
    const int exponent = std::stoi(scientific.substr(e + 1));
    if (exponent < -4 || exponent > 6) {
        return scientific.substr(0, e) + "\u00b7" + power_of_ten(exponent);
    }
    return fixed(value, std::max(0, digits - 1 - exponent));
}

std::string percent(double share, int decimals)
{
    return std::isfinite(share) ? fixed(share * 100, decimals) + thin_space + "%" : dash;
}

std::string bytes(int64_t count)
{
    static const char *const units[] = {"bytes", "kB", "MB", "GB", "TB"};
    double value = double(count);
    int unit = 0;
    while (value >= 1000 && unit < 4) {
        value /= 1000;
        unit++;
    }
    return (unit == 0 ? whole(count) : number(value)) + thin_space + units[unit];
}

std::string duration(double seconds)
{
    if (!std::isfinite(seconds)) {
        return dash;
    }
    if (seconds < 99.5) {
        return fixed(seconds, seconds < 9.95 ? 2 : 1) + thin_space + "s";
    }
    const int64_t rounded = std::llround(seconds), hours = rounded / 3600, minutes = rounded / 60 % 60;
    return (hours > 0 ? whole(hours) + thin_space + "h " : "") + whole(minutes) + thin_space + "min" +
           (hours > 0 ? "" : " " + whole(rounded % 60) + thin_space + "s");
}

std::string whole(int64_t value)
{
    const std::string digits = std::to_string(value < 0 ? -value : value);
    std::string out = value < 0 ? minus : "";
    for (size_t i = 0; i < digits.size(); i++) {
        if (i > 0 && (digits.size() - i) % 3 == 0 && digits.size() > 4) {
            out += thin_space;
        }
        out += digits[i];
    }
    return out;
}

std::string counted(int64_t value, const std::string &noun)
{
    const bool es = !noun.empty() && noun.back() == 'x';
    return whole(value) + " " + noun + (value == 1 ? "" : es ? "es" : "s");
}

std::string coordinate(double value)
{
    char text[400];
    snprintf(text, sizeof text, "%.2f", std::isfinite(value) ? value : 0.0);
    return text;
}

std::string base64(const std::vector<unsigned char> &data)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string out;
    for (size_t i = 0; i < data.size(); i += 3) {
        const size_t count = std::min<size_t>(3, data.size() - i);
        unsigned bits = 0;
        for (size_t k = 0; k < 3; k++) {
            bits = bits << 8 | (k < count ? data[i + k] : 0U);
        }
        for (size_t k = 0; k < 4; k++) {
            out += k <= count ? digits[bits >> (18 - 6 * k) & 63] : '=';
        }
    }
    return out;
}

std::string number_cell(const std::string &text, const std::string &column)
{
    return "<td class=\"n" + (column.empty() ? "" : " " + column) + "\">" + text + "</td>";
}

} // namespace tool
