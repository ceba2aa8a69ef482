"""Filters bsq.hpp for Doxygen: comments above declarations in the form that it reads, the first one as that of the file.

    python3 doxygen_cpp.py HEADER"""
import re
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    first, rest = file.read().split("\n#ifndef", 1)
text = [re.sub(r"^// ?", "", line) for line in first.split("\n") if "SPDX" not in line]
title, text = text[0].split(" - ", 1)[1], text[1:]
print("/** @file bsq.hpp\n%s\n\n@verbatim\n%s\n@endverbatim\n*/" % (title, "\n".join(text).strip("\n")))
rest = re.sub(r"(?m)^\s*// ----.*$", "", rest)


def turned(match):
    lines = [re.sub(r"([@<>#&%$])", r"@\1", line) for line in match.group(0).split("\n")]
    return "\n".join(re.sub(r"^(\s*)//", r"\1///", re.sub(r"'([a-z_]+)'", r"@p \1", line)) for line in lines)


print("#ifndef" + re.sub(r"(?m)^[ \t]*//(?: .*)?(?:\n[ \t]*//(?: .*)?)*$", turned, rest))
