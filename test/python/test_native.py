"""The declarations against include/bsq.h: by a compiler where there is one, else by its text."""
import ctypes
import os
import re
import shutil
import subprocess
import sys

import pytest
from conftest import PACKAGE, ROOT

from bsq import _errors, _native

HEADER = (ROOT / "include" / "bsq.h").read_text()
COMPILER = shutil.which("cc") or shutil.which("gcc")
STRUCTS = {**_native.STRUCTS, "progress": _native.Progress}
KINDS = {ctypes.c_size_t: "size", ctypes.c_int32: "int32", ctypes.c_int64: "int64", ctypes.c_double: "double",
         ctypes.c_float: "float"}


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
    """(struct, field) -> (offset, size, kind) as the compiler lays them out; (struct, "") -> (0, size, "")."""
    if not COMPILER:
        pytest.skip("no C compiler to ask")
    lines = []
    for name, struct in STRUCTS.items():
        lines.append('printf("%s  0 %%zu -\\n", sizeof(bsq_%s_t));' % (name, name))
        lines += ['SHOW(%s, %s)' % (name, field[0]) for field in struct._fields_]
    source = """
#include "bsq.h"
#include <stdio.h>
#define KIND(x) _Generic((x), double : "double", float : "float", int32_t : "int32", int64_t : "int64", size_t : "size", \\
    int64_t * : "int64s", default : "pointer")
#define OF(s, f) ((bsq_##s##_t *)0)->f
#define SHOW(s, f) printf("%%s %%s %%zu %%zu %%s\\n", #s, #f, offsetof(bsq_##s##_t, f), sizeof(OF(s, f)), KIND(OF(s, f)));
int main(void) { %s return 0; }
""".replace("\\\\", "\\") % "\n".join(lines)
    folder = tmp_path_factory.mktemp("layout")
    (folder / "layout.c").write_text(source)
    subprocess.run([COMPILER, "-std=c11", "-I%s" % (ROOT / "include"), "-o", str(folder / "layout"), str(folder / "layout.c")],
                   check=True)
    found = {}
    for line in subprocess.run([str(folder / "layout")], capture_output=True, text=True, check=True).stdout.splitlines():
        name, field, offset, size, kind = line.split(" ")
        found[name, field] = (int(offset), int(size), kind)
    return found


@pytest.mark.parametrize("name", sorted(STRUCTS))
def test_struct(name, layout):
    """Every field is where the header has it, and none is missing: they fill the struct."""
    struct, end = STRUCTS[name], 0
    assert ctypes.sizeof(struct) == layout[name, ""][1]
    for field, declared in struct._fields_:
        offset, size, kind = layout[name, field]
        descriptor = getattr(struct, field)
        assert (descriptor.offset, descriptor.size) == (offset, size), field
        if issubclass(declared, ctypes.Array):
            assert kind == "int64s" and declared._type_ is ctypes.c_int64, field
        else:
            assert KINDS.get(declared, "pointer") == kind, field
        assert offset == end, "a field is missing before %s" % field
        end = offset + size
    assert end == ctypes.sizeof(struct)


def test_every_struct_is_declared():
    assert set(re.findall(r"^} bsq_(\w+)_t;", HEADER, re.M)) == set(STRUCTS)


def test_every_function_is_declared():
    public = set(re.findall(r"^BSQ_API[^(]*?\b(bsq_\w+)\(", HEADER, re.M))
    assert public == {name for name, _, _ in _native.PROTOTYPES}


def test_prototypes():
    """Number and kind of the arguments: whole numbers by width, doubles, and pointers."""
    text = re.sub(r"/\*.*?\*/", "", HEADER, flags=re.S)
    kinds = {ctypes.c_int32: "int32_t", ctypes.c_int64: "int64_t", ctypes.c_size_t: "size_t", ctypes.c_double: "double"}
    seen = 0
    for name, result, arguments in _native.PROTOTYPES:
        match = re.search(r"BSQ_API ([\w *]*?)BSQ_CALL %s\(([^)]*)\)" % name, text)
        assert match, name
        returned, declared = match.group(1).strip(), [a.strip() for a in match.group(2).split(",")]
        declared = [] if declared == ["void"] else declared
        assert len(declared) == len(arguments), name
        assert {"void": None, "const char *": ctypes.c_char_p, "bsq_status_t": ctypes.c_int32,
                "int32_t": ctypes.c_int32}[returned] is result, name
        for argument, kind in zip(declared, arguments):
            if "*" in argument:
                assert kind not in kinds, (name, argument)
            else:
                wanted = argument.split()[0].replace("bsq_status_t", "int32_t")
                assert kinds[kind] == wanted, (name, argument)
        seen += 1
    assert seen == len(_native.PROTOTYPES)


def test_constants():
    """Each constant of the header has its name and value here, and the other way round."""
    enums = "".join(re.findall(r"^ *enum \{.*?\}", re.sub(r"/\*.*?\*/", "", HEADER, flags=re.S), re.M | re.S))
    values = {name: int(value) for name, value in re.findall(r"BSQ_(\w+) = (-?\d+)", enums)}
    assert len(values) > 80
    here = {"E_" + kind.__name__[:-5].upper(): kind.status for kind in _errors.BY_STATUS.values()}
    here["OK"] = _native.OK
    for prefix, names in _native.ENUMERATIONS.items():
        here.update({"%s_%s" % (prefix, name.upper()): value for name, value in names.items()})
    assert here == values


def test_names_of_formats_stages_outcomes_kernels():
    for value in _native.FORMATS.values():
        assert _native.lib.bsq_format_string(value) not in (b"", b"unknown")
    assert _native.lib.bsq_stage_string(_native.STAGES["beam"]) == b"beam"


def test_version():
    numbers = [int(re.search(r"#define BSQ_VERSION_%s (\d+)" % part, HEADER).group(1))
               for part in ("MAJOR", "MINOR", "PATCH")]
    assert tuple(numbers) == _native.VERSION


# ---- the library that is missing, older, or another one ----------------------------------------------------------


def import_with(library, tmp_path):
    """What importing the package says with BSQ_LIBRARY set."""
    return subprocess.run([sys.executable, "-c", "import sys; sys.path.insert(0, %r)\nimport bsq" % str(PACKAGE)],
                          env={**os.environ, "BSQ_LIBRARY": str(library)}, capture_output=True, text=True, cwd=tmp_path)


def test_missing_library(tmp_path):
    ended = import_with(tmp_path / "libnowhere.so", tmp_path)
    assert ended.returncode == 1
    assert "LibraryError: libbsq 0.1.0 was not found: build it (make) or set BSQ_LIBRARY; tried" in ended.stderr
    assert "libnowhere.so" in ended.stderr


def test_not_a_library(tmp_path):
    (tmp_path / "libtext.so").write_text("text")
    assert "LibraryError: libbsq 0.1.0 was not found" in import_with(tmp_path / "libtext.so", tmp_path).stderr


def build(tmp_path, source):
    if not COMPILER:
        pytest.skip("no C compiler to build another library with")
    (tmp_path / "other.c").write_text(source)
    subprocess.run([COMPILER, "-shared", "-fPIC", "-o", str(tmp_path / "other.so"), str(tmp_path / "other.c")], check=True)
    return tmp_path / "other.so"


def test_another_library(tmp_path):
    ended = import_with(build(tmp_path, "int f(void) { return 0; }"), tmp_path)
    assert "other.so is not libbsq" in ended.stderr


@pytest.mark.parametrize("number, text", [(99, "0.0.99"), (200, "0.2.0"), (10000, "1.0.0")])
def test_other_versions(tmp_path, number, text):
    source = 'int bsq_version(void) { return %d; } const char *bsq_version_string(void) { return "%s"; }' % (number, text)
    ended = import_with(build(tmp_path, source), tmp_path)
    assert "other.so is libbsq %s; this package needs 0.1.0 or a later 0.1" % text in ended.stderr


def test_older_library_without_a_function(tmp_path):
    source = 'int bsq_version(void) { return 100; } const char *bsq_version_string(void) { return "0.1.0"; }'
    ended = import_with(build(tmp_path, source), tmp_path)
    assert "is libbsq 0.1.0, without bsq_status_string: it is older than this package" in ended.stderr


# ---- other interpreters ------------------------------------------------------------------------------------------

OTHERS = [name for name in os.environ.get("PYTHONS", "").split() or ["python3.%d" % minor for minor in range(9, 14)]
          if shutil.which(name) and subprocess.run([name, "-c", ""], capture_output=True).returncode == 0]


@pytest.mark.skipif(not OTHERS, reason="no other Python: name some in PYTHONS")
@pytest.mark.parametrize("name", OTHERS)
def test_other_pythons(name):
    """Every file compiles, and the declarations work without numpy: a solve through ctypes alone."""
    program = r"""
import ctypes, pathlib, sys, types
root = pathlib.Path(sys.argv[1])
for path in sorted((root / "bsq").rglob("*.py")):
    compile(path.read_text(), str(path), "exec")
package = types.ModuleType("bsq")
package.__path__ = [str(root / "bsq")]
sys.modules["bsq"] = package
sys.dont_write_bytecode = True
from bsq import _native as n
desc, options, layer = n.new(n.LayerDesc), n.new(n.Options), n.HANDLE()
desc.in_channels, desc.out_channels, options.solver = 4, 2, n.SOLVERS["round"]
weights = (ctypes.c_float * 8)(*range(1, 9))
assert n.lib.bsq_layer_create(ctypes.byref(desc), ctypes.byref(options), weights, None, ctypes.byref(layer), None) == 0
report = n.new(n.Report)
assert n.lib.bsq_optimize(layer, ctypes.byref(report)) == 0 and 0 < report.error < 0.1
n.lib.bsq_layer_free(layer)
print("solved", sys.version_info[:2])
"""
    ended = subprocess.run([name, "-c", program, str(PACKAGE)], capture_output=True, text=True)
    assert ended.stdout.startswith("solved"), ended.stderr
