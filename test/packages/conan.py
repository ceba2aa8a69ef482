"""Runs a recipe as Conan does, with as much of Conan as the recipe asks for, and the machine's OpenBLAS as dependency:

    python3 conan.py CONANFILE WORK SOURCE shared|static"""
import fnmatch
import os
import shutil
import subprocess
import sys
import types


class Refused(Exception):
    pass


class ConanFile:
    def run(self, command):
        subprocess.run(command, shell=True, check=True)

    def requires(self, reference):
        self.required = reference


def copy(recipe, pattern, source, target):
    for folder, _, names in os.walk(source):
        for name in names:
            path = os.path.relpath(os.path.join(folder, name), source)
            if not path.startswith("build/") and fnmatch.fnmatch(path, pattern):
                os.makedirs(os.path.dirname(os.path.join(target, path)), exist_ok=True)
                shutil.copy2(os.path.join(source, path), os.path.join(target, path))


def module(name, **names):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__dict__.update(names)


def flags(*words):
    return subprocess.run(["pkg-config", *words], check=True, capture_output=True, text=True).stdout.split()


class Toolchain:
    def __init__(self, recipe):
        pass

    def generate(self):
        pass


class Properties:
    def set_property(self, name, value):
        setattr(self, name, value)


def settings(system):
    return types.SimpleNamespace(os=system, rm_safe=lambda name: None)


def openblas():
    libraries = flags("--libs-only-l", "openblas", "lapacke")
    blas = types.SimpleNamespace(
        libdirs=[word[2:] for word in flags("--libs-only-L", "openblas", "lapacke")], libs=[word[2:] for word in libraries],
        includedirs=[word[2:] for word in flags("--cflags-only-I", "openblas", "lapacke")], system_libs=["m"])
    return types.SimpleNamespace(cpp_info=types.SimpleNamespace(aggregated_components=lambda: blas))


def main():
    path, work, source, kind = sys.argv[1:]
    module("conan", ConanFile=ConanFile)
    module("conan.errors", ConanInvalidConfiguration=Refused)
    module("conan.tools")
    module("conan.tools.files", copy=copy, rmdir=lambda recipe, folder: shutil.rmtree(folder),
           load=lambda recipe, name: open(name, encoding="utf-8").read())
    module("conan.tools.gnu", AutotoolsToolchain=Toolchain)
    names = {"__name__": "conanfile"}
    with open(path, encoding="utf-8") as file:
        exec(compile(file.read(), path, "exec"), names)
    recipe = names["Bsq"]()
    recipe.recipe_folder = os.path.dirname(os.path.abspath(path))
    recipe.set_version()
    recipe.options = types.SimpleNamespace(shared=kind == "shared")
    recipe.settings = settings("Windows")
    try:
        recipe.validate()
        sys.exit("conan.py: Windows is accepted")
    except Refused:
        pass
    recipe.settings = settings("Linux")
    recipe.validate()
    recipe.configure()
    recipe.requirements()
    if not recipe.required.startswith("openblas/"):
        sys.exit("conan.py: requires %s" % recipe.required)
    recipe.dependencies = {"openblas": openblas()}
    recipe.export_sources_folder = os.path.join(work, "exported")
    recipe.export_sources()
    recipe.source_folder = source or recipe.export_sources_folder
    recipe.package_folder = os.path.join(work, "package")
    recipe.generate()
    recipe.build()
    recipe.package()
    recipe.cpp_info = Properties()
    recipe.package_info()
    print(recipe.version, recipe.cpp_info.libs, recipe.cpp_info.cmake_target_name)


main()
