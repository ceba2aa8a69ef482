"""Writes the man pages of section 3 from the comments of bsq.h, and those of section 1 from a page and `--help`.

    python3 man.py calls HEADER FOLDER VERSION
    python3 man.py program PAGE.1.in FILE VERSION < what --help printed
"""
import os
import re
import sys

import header

# The header that pages are of, and its page of constants; those of bsq_mpi.h are made in the same way.
HEADER = "bsq"
STATUS_PAGE = "bsq_constants"
MOST_IN_NAME = 100


class Page:
    """What one file says: a comment, the types that it explains, and the calls."""

    def __init__(self, unit, types, calls):
        self.section = unit.section
        self.comment = unit.comment
        self.types = types
        self.calls = calls

    def names(self):
        named = []
        for declaration in self.types:
            match = re.match(r"typedef struct (\w+)", declaration)
            named.append(match.group(1) if match else header.name_of(declaration))
        return [name for name in named if name] + [header.name_of(call) for call in self.calls]


def escape(line):
    line = line.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga").replace("^", "\\(ha")
    line = line.replace("~", "\\(ti")
    return "\\&" + line if line.startswith((".", "\\(aq")) else line


def literal(text):
    """Lines as they stand: code, tables."""
    lines = [escape(line) if line.strip() else "" for line in text.split("\n")]
    return [".PP", ".nf", ".RS 4"] + lines + [".RE", ".fi"]


def marked(line):
    """One line of a comment: arguments in quotes become italic, calls and constants bold."""
    line = re.sub(r"'([a-z_]+)'", "\001\\1\002", line)
    line = re.sub(r"\b(bsq_\w+|BSQ_\w+)", "\003\\1\002", line)
    line = escape(line)
    return line.replace("\001", "\\fI").replace("\002", "\\fR").replace("\003", "\\fB")


def prose(text):
    lines = []
    for kind, part in header.paragraphs(text):
        if kind == "table":
            lines += literal("\n".join(part))
        elif kind == "item":
            lines += [".IP \\(bu 2"] + [marked(re.sub(r"^\s*(- )?", "", line)) for line in part]
        else:
            lines += [".PP"] + [marked(line) for line in part]
    return lines


def summary(comment, name):
    """The first sentence of a comment, in the form that NAME has."""
    text = re.sub(r"\s+", " ", (comment or "").split("\n\n")[0])
    text = re.sub(r" \([^)]*\)", "", re.sub(r"'(\w+)'", r"\1", text))
    text = re.split(r"(?<=[^.])[.:;](?: |$)", text)[0]
    while len(text) > MOST_IN_NAME and "," in text:
        text = text[:text.rindex(",")]
    if not text:
        sys.exit("man.py: there is no comment on %s" % name)
    text = text[0].lower() + text[1:] if text[1:2].islower() or text[1:2] == " " else text
    return escape(text)


def synopsis(declaration):
    """A call on one line a parameter less the words that say nothing to a reader."""
    plain = re.sub(r"\s+", " ", declaration.replace("BSQ_API ", "").replace("BSQ_CALL ", ""))
    head, arguments = re.match(r"(.*?\()(.*)\);$", plain).groups()
    lines, line = [], head
    for argument in arguments.split(", "):
        if len(line) + len(argument) > 76:
            lines.append(line.rstrip())
            line = " " * 4
        line += argument + ", "
    return "\n".join(lines + [line[:-2] + ");"])


def head(title, section, version):
    return ['.\\" Made from include/%s.h by docs/reference/man.py.' % HEADER if section == 3 else
            '.\\" Made by docs/reference/man.py.',
            '.TH %s %d "" "libbsq %s" "%s"' % (title.upper().replace("-", "\\-"), section, version,
                                               "libbsq" if section == 3 else "User Commands"),
            ".ad l", ".nh"]


def statuses(units):
    """What each BSQ_E_ value means, by the comments of the enumeration."""
    for unit in units:
        for declaration in unit.declarations:
            found = re.findall(r"BSQ_(?:MPI_)?E_(\w+) = .*?/\* (.*?) \*/", declaration)
            if found:
                return dict(found)
    return sys.exit("man.py: there is no enumeration of BSQ_E_ values")


def return_value(page, meanings):
    failing = [call for call in page.calls if " bsq_status_t " in call]
    if not failing:
        return []
    handle = any(re.search(r"\w+_t \*layer[,)]", call) and "bsq_error_t" not in call for call in failing)
    lines = [".SH RETURN VALUE", "\\fBBSQ_OK\\fR, which is 0, or a negative status. On failure nothing is lost, and the text is"]
    handle = handle or (HEADER != "bsq" and not any("bsq_error_t" in call for call in failing))
    teller = "bsq_layer_error_message" if HEADER == "bsq" else HEADER + "_error_message"
    lines += ["that of \\fB%s\\fR(3)." % teller] if handle else ["left in \\fIerror\\fR, see \\fBbsq_error_t\\fR(3)."]
    named = [name for name in meanings if re.search(r"\b%s\b" % name, page.comment or "")]
    if named:
        lines += [".SH ERRORS", "Named above:"]
    for name in named:
        lines += [".TP", "\\fB%s_E_%s\\fR" % (HEADER.upper(), name), escape(meanings[name])]
    return lines


def page_text(page, version, meanings, others):
    names = page.names()
    lines = head(names[0], 3, version) + [".SH NAME", "%s \\- %s" % (", ".join(map(escape, names)), summary(page.comment, names[0]))]
    lines += [".SH SYNOPSIS", ".B #include <%s.h>" % HEADER]
    for declaration in page.types:
        lines += literal(declaration)
    for call in page.calls:
        lines += literal(synopsis(call))
    lines += [".SH DESCRIPTION"] + prose(page.comment)
    lines += return_value(page, meanings)
    lines += [".SH SEE ALSO", ",\n".join("\\fB%s\\fR(3)" % name for name in [HEADER, STATUS_PAGE] + others)]
    return "\n".join(lines) + "\n"


def collect(units):
    """Pages in the order of the header. Init functions go to their struct, types without a comment to what came before."""
    pages = []
    for unit in units:
        known = [d for d in unit.declarations if not re.match(r" *enum|typedef struct (\w+) \1;|typedef int32_t bsq_status_t", d)]
        inits = [d for d in known if (header.name_of(d) or "").endswith("_init")]
        calls = [d for d in known if d.startswith("BSQ_API") and d not in inits]
        types = [d for d in known if not d.startswith("BSQ_API")]
        if unit.comment and calls + types:
            pages.append(Page(unit, types, calls))
        elif calls:
            sys.exit("man.py: there is no comment on %s" % header.name_of(calls[0]))
        elif types:
            pages[-1].types += types
        for init in inits:
            owner = header.name_of(init).replace("_init", "_t")
            matching = [page for page in pages if owner in page.names()]
            if not matching:
                sys.exit("man.py: there is no %s for its init function" % owner)
            matching[0].calls.append(init)
    return pages


def constants(units, version):
    lines = head(STATUS_PAGE, 3, version) + [".SH NAME", "%s \\- statuses, grids, kinds, formats and other constants of libbsq" %
                                             STATUS_PAGE, ".SH SYNOPSIS", ".B #include <%s.h>" % HEADER, ".SH DESCRIPTION"]
    section = None
    for unit in units:
        enums = [d for d in unit.declarations if re.match(r" *enum", d)]
        if not enums and unit.declarations:
            continue
        if unit.section != section:
            section = unit.section
            lines += [".SS %s" % escape(section[0].upper() + section[1:])]
        lines += prose(unit.comment) if unit.comment else []
        for enum in enums:
            lines += literal(enum)
    return "\n".join(lines + [".SH SEE ALSO", "\\fBbsq\\fR(3)"]) + "\n"


def overview(intro, units, pages, version):
    title, rest = intro.split("\n", 1)
    text = "\n".join(line for line in rest.split("\n") if "SPDX" not in line)
    lines = head(HEADER, 3, version) + [".SH NAME", "%s \\- %s" % (HEADER, escape(title.split(" - ")[1])), ".SH SYNOPSIS",
                                       ".B #include <%s.h>" % HEADER, ".PP",
                                       "%s host.c $(pkg\\-config \\-\\-cflags \\-\\-libs %s)" %
                                       ("cc" if HEADER == "bsq" else "mpicc", escape(HEADER.replace("_", "-"))),
                                       ".SH DESCRIPTION"] + prose(text)
    section = None
    lines += [".SH CALLS AND TYPES"]
    for page in pages:
        if page.section != section:
            section = page.section
            lines += [".SS %s" % escape(section[0].upper() + section[1:])]
        lines += [".TP", ", ".join("\\fB%s\\fR(3)" % name for name in page.names()), summary(page.comment, page.names()[0])]
    return "\n".join(lines + [".SH SEE ALSO", "\\fB%s\\fR(3), \\fBbsq\\-layer\\fR(1)" % STATUS_PAGE]) + "\n"


def write(folder, name, text):
    with open(os.path.join(folder, name + ".3"), "w", encoding="utf-8") as file:
        file.write(text)


def write_calls(path, folder, version):
    global HEADER, STATUS_PAGE
    HEADER = os.path.basename(path)[:-len(".h")]
    STATUS_PAGE = HEADER + "_constants"
    intro, units = header.parse(path)
    pages, meanings = collect(units), statuses(units)
    os.makedirs(folder, exist_ok=True)
    for page in pages:
        names = page.names()
        others = [other.names()[0] for other in pages if other.section == page.section and other is not page]
        write(folder, names[0], page_text(page, version, meanings, others))
        for name in names[1:]:
            write(folder, name, ".so man3/%s.3\n" % names[0])
    write(folder, STATUS_PAGE, constants(units, version))
    write(folder, HEADER, overview(intro, units, pages, version))


def options(lines):
    """The options of --help: what stands at two spaces is an option, what follows further in belongs to it."""
    out = []
    for line, following in zip(lines, lines[1:] + [""]):
        match = re.match(r"  (--?\S.*?)(?:  +(\S.*))?$", line)
        if match:
            out += [".TP", "\\fB%s\\fR" % escape(match.group(1)), escape(match.group(2) or "")]
        elif line.startswith("   "):
            out += [escape(line.strip())]
        elif line.strip():
            out += [".SS" if following.startswith("  --") else ".PP", escape(line.strip())]
    return [line for line in out if line]


def write_program(page, path, version):
    """@OPTIONS@ in the page becomes what --help says between its usage and its last lines on the exit status."""
    helped = sys.stdin.read().split("\n")
    if not helped[0].startswith("Usage: "):
        sys.exit("man.py: --help does not begin with a usage")
    first = helped.index("")
    usage, body = [line[len("Usage: "):] for line in helped[:first]], helped[first:]
    while body and not re.match(r"  --", body[0]) and not (len(body) > 1 and re.match(r"  --", body[1])):
        body.pop(0)
    body = [line for line in body if not line.startswith("Exit status")]
    if not body:
        sys.exit("man.py: --help names no options")
    name = os.path.basename(page).split(".")[0]
    with open(page, encoding="utf-8") as file:
        text = file.read()
    called = "\n.br\n".join(".B %s\n%s" % tuple(escape(part) for part in line.split(" ", 1)) for line in usage)
    text = text.replace("@USAGE@", called).replace("@OPTIONS@", "\n".join(options(body)))
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(head(name, 1, version)) + "\n" + text)


if __name__ == "__main__":
    {"calls": write_calls, "program": write_program}[sys.argv[1]](*sys.argv[2:])
