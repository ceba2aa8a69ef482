"""Types, and the package as it is installed: a wheel with the library in it."""
import os
import pathlib
import shutil
import subprocess
import sys
import zipfile

import pytest
from conftest import PACKAGE, ROOT

LIBRARY = os.environ.get("BSQ_LIBRARY") or str(ROOT / "lib" / "libbsq.so.0")
USE = """
import bsq, numpy as np
from bsq import _native
assert _native.__file__.startswith({0!r}) and _native.lib._name.startswith({0!r}), _native.lib._name
tensor = bsq.quantize(np.eye(4), np.eye(4), bits=3)
print(bsq.__version__, tensor.bits)
"""


@pytest.fixture
def source(tmp_path):
    """A copy of the package's folder, since building writes beside the sources."""
    copy = tmp_path / "source"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
    return copy


def environment(path=None):
    found = {key: value for key, value in os.environ.items() if key not in ("BSQ_LIBRARY", "PYTHONPATH")}
    found["PYTHONDONTWRITEBYTECODE"] = "1"
    if path is not None:
        found["PYTHONPATH"] = str(path)
    return found


def use(folder):
    ended = subprocess.run([sys.executable, "-c", USE.format(str(folder))], env=environment(folder), cwd=folder,
                           capture_output=True, text=True)
    assert ended.stdout == "0.1.0 3\n", ended.stderr


def test_wheel(source, tmp_path):
    """python3 -m build: a source distribution, and from it a wheel for any Python 3 that needs nothing but numpy and
    what the library needs."""
    for module in ("build", "wheel", "setuptools"):
        pytest.importorskip(module, reason="python3-build is not installed (make deps-python)")
    ended = subprocess.run([sys.executable, "-m", "build", "--no-isolation", "-o", str(tmp_path / "dist"), str(source)],
                           env={**environment(), "BSQ_LIBRARY": LIBRARY}, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    assert wheel.name.startswith("bsq-0.1.0-py3-none-linux_")
    with zipfile.ZipFile(wheel) as files:
        names = files.namelist()
        files.extractall(tmp_path / "installed")
    assert {"bsq/__init__.py", "bsq/py.typed", "bsq/libbsq.so.0", "bsq/torch/__init__.py"} <= set(names)
    use(tmp_path / "installed")


def test_pip_install(source, tmp_path):
    if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True).returncode:
        pytest.skip("pip is not installed (make deps-python)")
    pytest.importorskip("wheel", reason="python3-wheel is not installed (make deps-python)")
    target = tmp_path / "target"
    ended = subprocess.run([sys.executable, "-m", "pip", "install", "--no-index", "--no-build-isolation", "--no-deps",
                            "--quiet", "--target", str(target), str(source)],
                           env={**environment(), "BSQ_LIBRARY": LIBRARY}, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    use(target)


def test_without_a_library_nothing_is_built(source, tmp_path):
    pytest.importorskip("wheel", reason="python3-wheel is not installed (make deps-python)")
    ended = subprocess.run([sys.executable, "setup.py", "-q", "bdist_wheel"], cwd=source, env=environment(),
                           capture_output=True, text=True)
    assert ended.returncode and "libbsq.so.0 is not there; build it (make) or set BSQ_LIBRARY" in ended.stderr


def mypy(tmp_path, *arguments):
    pytest.importorskip("mypy", reason="mypy is not installed (make deps-python)")
    return subprocess.run([sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), "--config-file",
                           str(PACKAGE / "pyproject.toml"), *arguments], capture_output=True, text=True, cwd=PACKAGE)


def test_types_are_complete(tmp_path):
    targets = ["bsq", "quickstart.py"]
    try:
        import torch  # noqa: F401
    except ImportError:
        targets = ["-p", "bsq._quantize"]
    ended = mypy(tmp_path, *targets)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_types_are_of_use(tmp_path):
    """A caller's mistakes are found from the hints."""
    (tmp_path / "caller.py").write_text(
        "import bsq\nimport numpy as np\n"
        "t: bsq.Tensor = bsq.quantize(np.ones((2, 2)), bits=3)\n"
        "n: float = t.error(np.ones((2, 2)))\n"
        "bsq.quantize(np.ones((2, 2)), bits='4')\n"
        "bsq.Layer(np.ones((2, 2))).optimise()\n")
    ended = mypy(tmp_path, str(tmp_path / "caller.py"))
    errors = [line.split(":")[1] for line in ended.stdout.splitlines() if ": error:" in line]
    assert errors == ["5", "6"], ended.stdout


def test_quickstart(tmp_path):
    ended = subprocess.run([sys.executable, str(PACKAGE / "quickstart.py")], capture_output=True, text=True, cwd=tmp_path)
    assert ended.returncode == 0 and "ShapeError: inputs: shape (2000, 100)" in ended.stdout, ended.stderr


def test_examples_of_the_documents(tmp_path):
    """Code blocks of README.md, docs/python.md and the package's README run as they stand, one after the other."""
    pytest.importorskip("torch", reason="PyTorch is not installed (make deps-python)")
    prelude = (
        "import numpy as np, torch\n"
        "random = np.random.default_rng(0)\n"
        "W, X = random.standard_normal((32, 128)), random.standard_normal((400, 128))\n"
        "conv_W, images = random.standard_normal((8, 3, 3, 3)), random.standard_normal((20, 3, 8, 8))\n"
        "bias, Y = np.zeros(32), X @ W.T\n"
        "model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 64))\n"
        "samples = [torch.randn(50, 64) for _ in range(4)]\n")
    tried = 0
    for path in (ROOT / "README.md", ROOT / "docs" / "python.md", PACKAGE / "README.md"):
        blocks = path.read_text().split("```python\n")[1:]
        assert blocks, path
        program = prelude + "\n".join(block.split("```")[0] for block in blocks)
        ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path,
                               env={**os.environ, "PYTHONPATH": str(PACKAGE)})
        assert ended.returncode == 0, "%s: %s" % (path, ended.stderr)
        tried += len(blocks)
    assert tried >= 5
    assert pathlib.Path(tmp_path, "layer.safetensors").exists()
