"""Puts the shared library beside the modules, so that a wheel needs no other copy of it.

Taken from the package folder (a source distribution has it there), from BSQ_LIBRARY, or from lib/ of the source tree.
What OpenBLAS and LAPACKE have to give is not part of it: the machine needs them.
"""
import os
import shutil
import subprocess

from setuptools import Distribution, setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist
from wheel.bdist_wheel import bdist_wheel

HERE = os.path.dirname(os.path.abspath(__file__))
NAME = "libbsq.so.0"


def library():
    places = [os.path.join(HERE, "bsq", NAME), os.environ.get("BSQ_LIBRARY", ""),
              os.path.join(HERE, "..", "..", "lib", NAME)]
    for place in places:
        if place and os.path.exists(place):
            return place
    raise SystemExit("bsq: %s is not there; build it (make) or set BSQ_LIBRARY" % NAME)


def bundle(folder):
    to = os.path.join(folder, "bsq", NAME)
    os.makedirs(os.path.dirname(to), exist_ok=True)
    shutil.copyfile(library(), to)
    if shutil.which("strip"):
        subprocess.run(["strip", "--strip-unneeded", to], check=True)


class BuildPy(build_py):
    def run(self):
        super().run()
        bundle(self.build_lib)


class Sdist(sdist):
    def make_release_tree(self, base_dir, files):
        super().make_release_tree(base_dir, files)
        bundle(base_dir)


class BdistWheel(bdist_wheel):
    """A wheel for this machine, and for every Python 3: nothing is compiled against an interpreter."""

    def get_tag(self):
        return ("py3", "none", super().get_tag()[2])


class WithLibrary(Distribution):
    def has_ext_modules(self):
        return True


setup(cmdclass={"build_py": BuildPy, "sdist": Sdist, "bdist_wheel": BdistWheel}, distclass=WithLibrary)
