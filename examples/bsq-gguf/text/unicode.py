#!/usr/bin/python3
"""Writes unicode_ranges.hpp: which code points are letters, numbers and white space, from Python's Unicode data."""
import sys
import unicodedata


def ranges(test):
    found, start = [], None
    for point in range(0x110001):
        inside = point < 0x110000 and test(point)
        if inside and start is None:
            start = point
        if not inside and start is not None:
            found.append((start, point - 1))
            start = None
    return found


def table(name, what, found):
    lines, line = [], "   "
    for first, last in found:
        item = " {0x%x, 0x%x}," % (first, last)
        if len(line) + len(item) > 118:
            lines.append(line)
            line = "   "
        line += item
    lines.append(line)
    return "// %s\ninline constexpr Range %s[] = {\n%s\n};\n" % (what, name, "\n".join(lines).rstrip(","))


SPACES = {0x20, 0x85, 0xA0, 0x1680, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000} | set(range(9, 14)) | set(range(0x2000, 0x200B))

sys.stdout.write("""// Kinds of code points that pre-tokenizers tell apart. Written by unicode.py from Unicode %s; do not edit.
// clang-format off
#ifndef BSQ_GGUF_UNICODE_RANGES_HPP
#define BSQ_GGUF_UNICODE_RANGES_HPP

#include <cstdint>

namespace bsq_gguf {

struct Range {
    uint32_t first, last;
};

%s
%s
%s
} // namespace bsq_gguf

#endif
""" % (unicodedata.unidata_version,
       table("letter_ranges", "General category L.", ranges(lambda p: unicodedata.category(chr(p))[0] == "L")),
       table("number_ranges", "General category N.", ranges(lambda p: unicodedata.category(chr(p))[0] == "N")),
       table("space_ranges", "Property White_Space.", ranges(lambda p: p in SPACES))))
