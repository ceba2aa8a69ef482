# libbsq: `make help` lists the targets.
#
# CC, CFLAGS, LDFLAGS, PREFIX and DESTDIR are yours; what the library needs is added to them, not replaced by them.

.DELETE_ON_ERROR:
.SUFFIXES:
.DEFAULT_GOAL := all

ifeq ($(origin CC),default)
CC := gcc
endif
ifeq ($(origin CXX),default)
CXX := $(if $(findstring clang,$(CC)),clang++,g++)
endif
AR ?= ar
PKG_CONFIG ?= pkg-config
PYTHON ?= /usr/bin/python3
INSTALL ?= install

CFLAGS ?= -g
WARNINGS ?= -Wall -Wextra -Wpedantic -Wshadow -Wconversion

PREFIX ?= /usr/local
bindir ?= $(PREFIX)/bin
libdir ?= $(PREFIX)/lib
includedir ?= $(PREFIX)/include
pkgconfigdir ?= $(libdir)/pkgconfig
cmakedir ?= $(libdir)/cmake/bsq
mandir ?= $(PREFIX)/share/man
docdir ?= $(PREFIX)/share/doc/libbsq

# Where things are built; every kind of checked build has folders of its own.
BUILD ?= build
LIB ?= lib
SHARED_DATA ?= ../shared

# ---- what there is --------------------------------------------------------------------------------------------

ABI := $(shell cat src/ABI)
header_number = $(shell sed -n 's/^\#define BSQ_VERSION_$(1) \([0-9]*\)$$/\1/p' include/bsq.h)
VERSION := $(call header_number,MAJOR).$(call header_number,MINOR).$(call header_number,PATCH)

# All of src but libbsq-mpi, a library of its own (src/mpi/mpi.mk).
LIBRARY_SOURCES := $(filter-out src/mpi/%,$(wildcard src/*/*.c))
COMMON_SOURCES := $(wildcard examples/common/*.c)
EXAMPLE_SOURCES := $(wildcard examples/*.c)
CHECK_SOURCES := $(wildcard test/check_*.c)
SUPPORT_SOURCES := $(filter-out test/main.c $(CHECK_SOURCES),$(wildcard test/*.c)) $(wildcard test/reference/*.c)
SCRIPTS := $(wildcard test/*.sh)
EXAMPLES_RUN ?= quickstart groups conv shards attention

objects = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
named = $(patsubst %.c,$(BUILD)/$(1)/%,$(notdir $(2)))

CHECK_MAIN := $(call objects,test/main.c)
LIBRARY_OBJECTS := $(call objects,$(LIBRARY_SOURCES))
SUPPORT_OBJECTS := $(call objects,$(SUPPORT_SOURCES))
COMMON_OBJECTS := $(call objects,$(COMMON_SOURCES))
CHECKS := $(call named,test,$(CHECK_SOURCES))
API_CHECKS := $(filter $(BUILD)/test/check_api%,$(CHECKS))
UNIT_CHECKS := $(filter-out $(API_CHECKS),$(CHECKS))
EXAMPLES := $(call named,examples,$(EXAMPLE_SOURCES))

# What the programs in C++ share (examples/tool/).
TOOL_LIBRARY := $(BUILD)/examples/libtool.a

STATIC := $(LIB)/libbsq.a
SHARED := $(LIB)/libbsq.so.$(ABI)
LINK := $(LIB)/libbsq.so

# ---- flags ----------------------------------------------------------------------------------------------------

# No contraction: the portable C gives the same bits with every compiler and on every machine.
SHARED_FLAGS := -D_POSIX_C_SOURCE=200809L -fPIC -fvisibility=hidden -ffp-contract=off -pthread -MMD -MP
NEEDED := -std=c11 $(SHARED_FLAGS)
NEEDED_CXX := -std=c++17 $(SHARED_FLAGS)
OPTIMIZE := -O2
COMPILE = $(CC) $(NEEDED) $(OPTIMIZE) $(CPPFLAGS)
NO_UNDEFINED ?= -Wl,--no-undefined
RUN_PATH = -Wl,-rpath,$(abspath $(LIB))

# Asked for when a recipe needs it, and once: `make deps check` must not look before `deps` has run.
ask = $(if $(shell command -v $(PKG_CONFIG)),,$(error pkg-config is missing: run `make deps`))$\
$(if $(shell $(PKG_CONFIG) --exists $(2) && echo yes),,$(error no pkg-config file for one of "$(2)": run `make deps`))$\
$(shell $(PKG_CONFIG) $(1) $(2))
BLAS_CFLAGS = $(eval BLAS_CFLAGS := $$(call ask,--cflags,openblas lapacke))$(BLAS_CFLAGS)
BLAS_LIBS = $(eval BLAS_LIBS := $$(call ask,--libs,openblas lapacke))$(BLAS_LIBS)
CHECK_CFLAGS = $(eval CHECK_CFLAGS := $$(call ask,--cflags,check))$(CHECK_CFLAGS)
CHECK_LIBS = $(eval CHECK_LIBS := $$(call ask,--libs,check))$(CHECK_LIBS)

# When `deps` is asked for together with something else, it comes first.
FIRST := $(filter deps deps-%,$(MAKECMDGOALS))

# ---- library --------------------------------------------------------------------------------------------------

# Commands are shown in short; `make V=1` shows them whole.
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-5s %s\n' $(1) $(or $(2),$@))

.PHONY: all
all: $(STATIC) $(LINK) $(EXAMPLES) programs

# Changes when the compiler or the flags do: everything is then built again.
FLAGS_NOW := $(CC) $(CXX) $(CFLAGS) $(CPPFLAGS) $(LDFLAGS) $(WARNINGS) $(NEEDED) $(OPTIMIZE) $(NO_UNDEFINED)
.PHONY: always
$(BUILD)/flags: always | $(FIRST)
	@mkdir -p $(@D)
	@printf '%s\n' '$(subst ','\'',$(FLAGS_NOW))' | cmp -s - $@ || printf '%s\n' '$(subst ','\'',$(FLAGS_NOW))' > $@

$(BUILD)/obj/src/%.o: src/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(COMPILE) $(WARNINGS) -Iinclude -Isrc $(BLAS_CFLAGS) $(CFLAGS) -c -o $@ $<

$(BUILD)/obj/src/kernels/%.o: OPTIMIZE := -O3

$(STATIC): $(LIBRARY_OBJECTS)
	@mkdir -p $(@D)
	@rm -f $@
	$(call say,AR)
	$(Q)$(AR) rcs $@ $(LIBRARY_OBJECTS)

$(SHARED): $(LIBRARY_OBJECTS) src/bsq.map src/ABI
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) -shared -pthread $(CFLAGS) $(LDFLAGS) -Wl,-soname,libbsq.so.$(ABI) -Wl,--version-script=src/bsq.map \
	    $(NO_UNDEFINED) -o $@ $(LIBRARY_OBJECTS) $(BLAS_LIBS) -lm

$(LINK): $(SHARED)
	@ln -sf $(<F) $@

# ---- examples -------------------------------------------------------------------------------------------------

$(BUILD)/obj/examples/%.o: examples/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(COMPILE) $(WARNINGS) -Iinclude -Iexamples -Iexamples/common $(CFLAGS) -c -o $@ $<

$(BUILD)/examples/libcommon.a: $(COMMON_OBJECTS)
	@mkdir -p $(@D)
	@rm -f $@
	@$(AR) rcs $@ $(COMMON_OBJECTS)

$(EXAMPLES): $(BUILD)/examples/%: $(BUILD)/obj/examples/%.o $(BUILD)/examples/libcommon.a $(LINK)
	$(call say,LINK)
	$(Q)$(CC) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $^ $(RUN_PATH) -lm

# ---- tests ----------------------------------------------------------------------------------------------------

TEST_WARNINGS := -Wall -Wextra -Wshadow

$(BUILD)/obj/test/%.o: test/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(COMPILE) $(TEST_WARNINGS) -Iinclude -Isrc -Itest -Itest/reference $(CHECK_CFLAGS) $(CFLAGS) -c -o $@ $<

# An archive, so that a program gets only those helpers that it asks for.
$(BUILD)/test/libsupport.a: $(SUPPORT_OBJECTS)
	@mkdir -p $(@D)
	@rm -f $@
	@$(AR) rcs $@ $(SUPPORT_OBJECTS)

TEST_LIBRARIES := $(BUILD)/test/libsupport.a $(BUILD)/examples/libcommon.a
TEST_LINK = $(CC) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o %.a %.so,$^)

$(API_CHECKS): $(BUILD)/test/%: $(BUILD)/obj/test/%.o $(CHECK_MAIN) $(TEST_LIBRARIES) $(LINK)
	$(call say,LINK)
	$(Q)$(TEST_LINK) $(RUN_PATH) $(CHECK_LIBS) -lm

$(UNIT_CHECKS): $(BUILD)/test/%: $(BUILD)/obj/test/%.o $(CHECK_MAIN) $(TEST_LIBRARIES) $(STATIC)
	$(call say,LINK)
	$(Q)$(TEST_LINK) $(CHECK_LIBS) $(BLAS_LIBS) -lm

SAMPLES := $(filter $(addprefix $(BUILD)/examples/,$(EXAMPLES_RUN)),$(EXAMPLES))
RUNNER := test/run $(BUILD)/log

# What the scripts need to know.
TOLD = BUILD='$(BUILD)' LIB='$(LIB)' ABI='$(ABI)' MAKE='$(MAKE_COMMAND)' CC='$(CC)' PYTHON='$(PYTHON)' SAMPLES='$(SAMPLES)' \
    SHARED_DATA='$(SHARED_DATA)' CXX='$(CXX)'

.PHONY: check
check: all $(CHECKS) fuzzers
	@$(TOLD) $(RUNNER) test/abi/check $(SCRIPTS) $(REPLAYS) $(call random_layers,2000) $(CHECKS) $(GGUF_OWN_CHECKS)
	+@$(call BUILD_ONNX,onnx-checks,check-onnx)

.PHONY: check-abi
check-abi: $(STATIC) $(LINK)
	@$(TOLD) $(RUNNER) test/abi/check

# `make check-options` builds and runs one check program.
check-%: $(BUILD)/test/check_%
	$<

# ---- programs, measurements, long tests, packages --------------------------------------------------------------

# Each program is built by the file beside it, which adds it to `programs`.
.PHONY: programs
include src/mpi/mpi.mk $(wildcard examples/*/*.mk) test/fuzz/fuzz.mk test/cpp/cpp.mk test/engines/engines.mk test/engines/llama.mk
include test/bench/bench.mk test/long.mk pkgconfig/install.mk docs/reference/reference.mk docs/packaging/packaging.mk
include test/packages/packages.mk test/python/python.mk

# ---- the rest -------------------------------------------------------------------------------------------------

NEEDED_PACKAGES := gcc g++ clang make libc6-dev pkg-config libopenblas-dev liblapacke-dev check python3-numpy
LONG_PACKAGES = valgrind abigail-tools libopenblas0-serial \
    gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static \
    libclang-rt-$(shell clang --version | sed -n 's/.*version \([0-9]*\)\..*/\1/p')-dev

ONNX_PACKAGES := libopencv-dev libprotobuf-dev libonnx-dev libzip-dev python3-onnx python3-numpy chromium

PACKAGES_PACKAGES := cmake meson ninja-build doxygen man-db debhelper dh-python lintian dpkg-dev fakeroot python3-setuptools \
    python3-wheel golang-go rustc

MPI_PACKAGES := libopenmpi-dev openmpi-bin

.PHONY: deps deps-onnx deps-long deps-packages deps-mpi
deps:
	@.ci/deps $(NEEDED_PACKAGES)

deps-onnx: deps
	@.ci/deps $(ONNX_PACKAGES)

deps-mpi: deps
	@.ci/deps $(MPI_PACKAGES)

deps-long: deps
	@.ci/deps $(LONG_PACKAGES)

deps-packages: deps
	@.ci/deps $(PACKAGES_PACKAGES)

# Everything that is written in C or C++. Not part of `check`: another version of clang-format would see it otherwise.
CLANG_FORMAT ?= clang-format
FORMATTED = $(shell find src include examples test -name '*.[ch]' -o -name '*.[ch]pp')

.PHONY: format check-format
format:
	$(CLANG_FORMAT) -i $(FORMATTED)

check-format:
	@if command -v $(CLANG_FORMAT) >/dev/null; then \
	    $(CLANG_FORMAT) --dry-run --Werror $(FORMATTED); \
	else \
	    echo "format: skipped, $(CLANG_FORMAT) is not installed"; \
	fi

.PHONY: clean
clean:
	rm -rf build $(BUILD)
	rm -f $(LIB)/libbsq.a $(LIB)/libbsq.so $(LIB)/libbsq.so.* $(LIB)/libbsq-mpi.a $(LIB)/libbsq-mpi.so*
	-rmdir $(LIB) 2>/dev/null

.PHONY: help
help:
	@echo 'make                the libraries in lib/, the examples in build/examples/'
	@echo 'make deps           install the Debian packages that building and checking need'
	@echo 'make deps-onnx      install what bsq-onnx needs besides'
	@echo 'make deps-mpi       install what libbsq-mpi needs besides (Open MPI)'
	@echo 'make deps-engines   fetch ONNX Runtime and llama.cpp from npm into build/engines, to test and measure in them'
	@echo 'make check          all tests (under five minutes)'
	@echo 'make check-NAME     one check program: test/check_NAME.c'
	@echo 'make check-engines  packed tensors in ONNX Runtime and llama.cpp'
	@echo 'make check-onnx     the tests of bsq-onnx'
	@echo 'make check-mpi      the tests of libbsq-mpi, under mpirun'
	@echo 'make check-gguf     the tests of bsq-gguf'
	@echo 'make check-networks every network of SHARED_DATA at 4 bits, on some of its pictures'
	@echo 'make check-packages the programs of docs/bindings.md, make dist, make deb, recipes (make deps-packages)'
	@echo 'make check-python   the tests of the Python package, whole networks too; installs nothing'
	@echo 'make deps-python    install what check-python and bench-python need besides'
	@echo 'make check-abi      exported symbols, the header alone in C and C++'
	@echo 'make check-long     the tests under sanitizers, valgrind and emulated ARM too, fuzzing, 400,000 random layers, networks,'
	@echo '                    ABI against the last release'
	@echo 'make deps-long      install what check-long needs besides'
	@echo 'make format         write src, include, examples and test in the form of .clang-format'
	@echo 'make check-format   whether they are in it'
	@echo 'make demo           quantize a small network, show what is left of its accuracy'
	@echo 'make bench          the same as bench-solver'
	@echo 'make bench-python   what one line of Python costs over C, what bsq.torch takes besides forward passes and solves'
	@echo 'make bench-cpp      what the calls of bsq.hpp cost over those of bsq.h'
	@echo 'make bench-formats  layers of a language model in the types of llama.cpp beside its own quantizer (ONLY=Q4_K,Q2_K)'
	@echo 'make bench-layers   errors and times on the layers in $(SHARED_DATA)/layers'
	@echo 'make bench-table    time and accuracy of error tables over 2 to 8 bits'
	@echo 'make bench-networks whole networks at few bits with bsq-onnx, beside what is required (an hour; ONLY=NETWORK)'
	@echo 'make bench-mpi      libbsq-mpi on this machine, and what the model of docs/cluster.md makes of it on 64 and 1024'
	@echo 'make bench-transformers transformers that are trained here, with bsq-onnx and in ONNX Runtime (half an hour; ONLY=NETWORK)'
	@echo 'make bench-engines  networks of bsq-onnx in ONNX Runtime: time beside float, fused layers, accuracy (ONLY=NETWORK)'
	@echo 'make bench-onnx     bsq-onnx with OpenCV and with ONNX Runtime: time of one sample of each network in $(SHARED_DATA)/models'
	@echo 'make bench-solver   solver, statistics, threads and memory beside published code and BLAS (QUICK=1: two minutes)'
	@echo 'make man            manual pages of the calls and the programs, in $(BUILD)/man'
	@echo 'make docs           the reference as HTML, in build/docs, by Doxygen'
	@echo 'make install        into PREFIX ($(PREFIX)) below DESTDIR; also bindir libdir includedir pkgconfigdir cmakedir mandir'
	@echo '                    docdir; without debug information, unless INSTALL_DEBUG=1'
	@echo 'make install-mpi    libbsq-mpi, its header, its pkg-config file, and bsq-layer-mpi, where there is mpicc'
	@echo 'make install-onnx   bsq-onnx and its manual page, too'
	@echo 'make uninstall      remove what install put there'
	@echo 'make dist           a source archive of what git knows, in build/dist'
	@echo 'make deb            Debian packages of it, in build/deb'
	@echo 'make deps-packages  install what man, docs, deb and check-packages need'
	@echo 'make clean          remove what was built'
	@echo
	@echo 'CC=gcc or clang, CFLAGS, CPPFLAGS and LDFLAGS are added to what the library needs.'

# Keeps objects that only pattern rules name.
.SECONDARY:

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
