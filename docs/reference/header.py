"""Takes include/bsq.h apart: what each comment says, and of which declarations. For man.py and doxygen.py.

A comment at the margin belongs to the lines that follow it up to the next blank line or the next such comment; one that
a blank line follows stands for itself. `/* ---- name ---- */` begins a section."""
import re
import sys


class Unit:
    """A comment and its declarations, either of which may be missing."""

    def __init__(self, section, comment):
        self.section = section
        self.comment = comment
        self.declarations = []


def name_of(declaration):
    """The name that a function or a type of callback declares."""
    match = re.search(r"\*(bsq_\w+_fn)\)", declaration) or re.search(r"(bsq_\w+)\(", declaration)
    return match.group(1) if match else None


def text_of(lines):
    """A comment without its marks; what is indented stays indented."""
    text = "\n".join(lines)
    text = re.sub(r"^/\* ?", "", text)
    text = re.sub(r"\s*\*/\s*$", "", text)
    return re.sub(r"^ \* ?", "", text, flags=re.MULTILINE)


def paragraphs(text):
    """Yields (kind, lines): "text", "item" for "- " points, "table" for what is indented."""
    kind, lines = None, []
    for line in text.split("\n") + [""]:
        if not line.strip():
            now = None
        elif re.match(r"\s*- ", line):
            now = "point"
        elif kind == "item" and line.startswith("  "):
            now = "item"
        else:
            now = "table" if re.match(r"  +\S", line) else "text"
        if now == "point" or now != kind:
            if lines:
                yield kind, lines
            lines = []
        kind = "item" if now == "point" else now
        if kind:
            lines.append(line)


def statement_at(lines, i):
    """The index behind the statement of C that starts in line i: its semicolon is outside of braces and comments."""
    depth, inside, first = 0, False, i
    while i < len(lines):
        code = ("/*" if inside else "") + lines[i]
        code = re.sub(r"/\*.*?\*/", "", code)
        inside = "/*" in code
        code = re.sub(r"/\*.*", "", code).rstrip()
        depth += code.count("{") - code.count("}")
        i += 1
        if depth == 0 and code.endswith(";"):
            return i
    return sys.exit("header.py: a declaration has no end: %s" % lines[first])


def comment_at(lines, i):
    """The index behind the comment that starts in line i."""
    while "*/" not in lines[i]:
        i += 1
    return i + 1


def parse(path):
    """Gives the text of the first comment, and the units in their order."""
    with open(path, encoding="utf-8") as file:
        lines = file.read().split("\n")
    end = comment_at(lines, 0)
    intro = text_of(lines[:end])
    units, section, i = [], None, lines.index('extern "C" {')
    stop = lines.index("#ifdef __cplusplus", i)
    i += 2
    while i < stop:
        heading = re.match(r"/\* -+ (.*?) -+ \*/$", lines[i])
        if heading:
            section = heading.group(1)
            i += 1
        elif not lines[i]:
            i += 1
        else:
            unit = Unit(section, None)
            if lines[i].startswith("/*"):
                end = comment_at(lines, i)
                unit.comment = text_of(lines[i:end])
                i = end
            while lines[i] and not lines[i].startswith("/*"):
                end = statement_at(lines, i)
                unit.declarations.append("\n".join(lines[i:end]))
                i = end
            units.append(unit)
    if not units:
        sys.exit("header.py: there is nothing in %s" % path)
    return intro, units
