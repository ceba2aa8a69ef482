"""Conan 2 recipe of libbsq: `conan create docs/packaging/conan` in the source tree."""
import os
import re

from conan import ConanFile
from conan.errors import ConanInvalidConfiguration
from conan.tools.files import copy, load, rmdir
from conan.tools.gnu import AutotoolsToolchain

required_conan_version = ">=2.0"
TREE = ("Makefile", "LICENSE", "README.md", "CHANGELOG.md", "include/*", "src/*", "pkgconfig/*", "docs/*", "examples/*",
        "test/*", ".ci/*")


class Bsq(ConanFile):
    name = "libbsq"
    description = "Quantizes the weights of trained layers to 2..8 bits by bit-split and stitching"
    license = "Apache-2.0"
    topics = ("quantization", "neural-networks")
    package_type = "library"
    settings = "os", "arch", "compiler", "build_type"
    options = {"shared": [True, False]}
    # LAPACKE is part of OpenBLAS where that is built with LAPACK.
    default_options = {"shared": True, "openblas/*:build_lapack": True}

    def _tree(self):
        return os.path.join(self.recipe_folder, "..", "..", "..")

    def set_version(self):
        header = load(self, os.path.join(self._tree(), "include", "bsq.h"))
        self.version = re.search(r'BSQ_VERSION_STRING "(.*)"', header).group(1)

    def export_sources(self):
        for pattern in TREE:
            copy(self, pattern, self._tree(), self.export_sources_folder)

    def configure(self):
        self.settings.rm_safe("compiler.cppstd")
        self.settings.rm_safe("compiler.libcxx")

    def validate(self):
        if self.settings.os != "Linux":
            raise ConanInvalidConfiguration("libbsq is built and tested on Linux only")

    def requirements(self):
        self.requires("openblas/[>=0.3.20 <1]")

    def generate(self):
        AutotoolsToolchain(self).generate()

    def _make(self, target):
        blas = self.dependencies["openblas"].cpp_info.aggregated_components()
        libraries = ["-L%s" % folder for folder in blas.libdirs]
        libraries += ["-l%s" % name for name in blas.libs + blas.system_libs]
        variables = {
            "PREFIX": self.package_folder,
            "BLAS_CFLAGS": " ".join("-I%s" % folder for folder in blas.includedirs),
            "BLAS_LIBS": " ".join(libraries),
        }
        self.run("make -C '%s' %s %s" % (self.source_folder, target,
                                         " ".join("'%s=%s'" % pair for pair in sorted(variables.items()))))

    def build(self):
        self._make("lib/libbsq.so" if self.options.shared else "lib/libbsq.a")

    def package(self):
        copy(self, "LICENSE", self.source_folder, os.path.join(self.package_folder, "licenses"))
        self._make("install-shared" if self.options.shared else "install-static")
        # Conan writes these itself, from what package_info says.
        rmdir(self, os.path.join(self.package_folder, "lib", "pkgconfig"))
        rmdir(self, os.path.join(self.package_folder, "lib", "cmake"))

    def package_info(self):
        self.cpp_info.libs = ["bsq"]
        self.cpp_info.system_libs = ["m", "pthread"]
        self.cpp_info.set_property("cmake_file_name", "bsq")
        self.cpp_info.set_property("cmake_target_name", "bsq::bsq")
        self.cpp_info.set_property("pkg_config_name", "bsq")
