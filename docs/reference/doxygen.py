"""Filters bsq.h for Doxygen: its comments in the form that Doxygen reads, sections as groups, tables as they stand.

    python3 doxygen.py HEADER"""
import re
import sys

import header


def escape(line):
    line = re.sub(r"([@<>#&%$])", r"@\1", line)
    return re.sub(r"'([a-z_]+)'", r"@p \1", line)


def body(text):
    """A comment's text in Doxygen's marks."""
    out = []
    for kind, lines in header.paragraphs(text):
        if kind == "table":
            out += ["@verbatim"] + lines + ["@endverbatim"]
        else:
            out += [escape(line) for line in lines] + [""]
    return "\n".join(out).strip()


def comment(text, begin="/**"):
    return "%s\n%s\n*/" % (begin, body(text))


def trailing(code):
    """Comments behind fields and values belong to these; a comment above them stays above."""
    def turned(match):
        before, text = match.group(1), re.sub(r"\s*\n\s*(\* ?)?", " ", match.group(2))
        return "%s/**%s %s */" % (before, "<" if before.strip() else "", escape(text))

    return re.sub(r"(?m)^([^\n]*?)/\* (.*?) \*/", turned, code, flags=re.DOTALL)


def main():
    intro, units = header.parse(sys.argv[1])
    title, rest = intro.split("\n", 1)
    rest = "\n".join(line for line in rest.split("\n") if "SPDX" not in line)
    print("/** @mainpage %s\n\n%s\n*/" % (escape(title.split(" - ")[1]), body(rest)))
    print("/** @file bsq.h\n%s */" % escape(title.split(" - ")[1]))
    print("#include <stddef.h>\n#include <stdint.h>")
    section, number = None, 0
    for unit in units:
        if unit.section != section:
            if section:
                print("/** @} */")
            section, number = unit.section, number + 1
            print("/** @defgroup section%02d %s\n@{ */" % (number, section[0].upper() + section[1:]))
        if unit.comment and not unit.declarations:
            print("/** @} */\n/** @addtogroup section%02d\n\n%s\n@{ */" % (number, body(unit.comment)))
        for declaration in unit.declarations:
            if (header.name_of(declaration) or "").endswith("_init"):
                print("/** Sets every field to its default and zeroes reserved ones, within struct_size bytes. */")
            elif unit.comment:
                print(comment(unit.comment))
            print(trailing(declaration.replace("BSQ_API ", "").replace("BSQ_CALL ", "")))
    print("/** @} */")


main()
