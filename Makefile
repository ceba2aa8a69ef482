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
docdir ?= $(PREFIX)/share/doc/libbsq

# Where things are built; every kind of checked build has folders of its own.
BUILD ?= build
LIB ?= lib
SHARED_DATA ?= ../shared

# ---- what there is --------------------------------------------------------------------------------------------

ABI := $(shell cat src/ABI)
header_number = $(shell sed -n 's/^\#define BSQ_VERSION_$(1) \([0-9]*\)$$/\1/p' include/bsq.h)
VERSION := $(call header_number,MAJOR).$(call header_number,MINOR).$(call header_number,PATCH)

LIBRARY_SOURCES := $(wildcard src/*/*.c)
COMMON_SOURCES := $(wildcard examples/common/*.c)
DEMO_SOURCES := $(wildcard examples/demo/*.c)
EXAMPLE_SOURCES := $(wildcard examples/*.c)
CHECK_SOURCES := $(wildcard test/check_*.c)
SUPPORT_SOURCES := $(filter-out $(CHECK_SOURCES),$(wildcard test/*.c)) $(wildcard test/reference/*.c)
FUZZ_SOURCES := $(wildcard test/fuzz/fuzz_*.c)
BENCH_SOURCES := $(wildcard test/bench/bench_*.c)
BENCH_COMMON := $(filter-out $(BENCH_SOURCES),$(wildcard test/bench/*.c))
SCRIPTS := $(wildcard test/*.sh)
ONNX_SOURCES := $(wildcard examples/onnx/*.cpp examples/onnx/tasks/*.cpp)
ONNX_CHECK_SOURCES := $(wildcard test/onnx/check_*.cpp)
ONNX_PROGRAM_SOURCES := $(ONNX_CHECK_SOURCES) $(wildcard test/onnx/roundtrip.cpp)
ONNX_SUPPORT_SOURCES := $(filter-out $(ONNX_PROGRAM_SOURCES),$(wildcard test/onnx/*.cpp))
ONNX_SCRIPTS := $(wildcard test/onnx/*.sh)
EXAMPLES_RUN ?= quickstart conv shards

objects = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
named = $(patsubst %.c,$(BUILD)/$(1)/%,$(notdir $(2)))

LIBRARY_OBJECTS := $(call objects,$(LIBRARY_SOURCES))
SUPPORT_OBJECTS := $(call objects,$(SUPPORT_SOURCES))
COMMON_OBJECTS := $(call objects,$(COMMON_SOURCES))
DEMO_OBJECTS := $(call objects,$(DEMO_SOURCES))
CHECKS := $(call named,test,$(CHECK_SOURCES))
API_CHECKS := $(filter $(BUILD)/test/check_api%,$(CHECKS))
UNIT_CHECKS := $(filter-out $(API_CHECKS),$(CHECKS))
EXAMPLES := $(call named,examples,$(EXAMPLE_SOURCES))
FUZZERS := $(call named,fuzz,$(FUZZ_SOURCES))
BENCHES := $(call named,bench,$(BENCH_SOURCES))
DEMO := $(if $(DEMO_SOURCES),$(BUILD)/examples/demo)
TOOL := $(if $(wildcard examples/bsq-layer.c),$(BUILD)/bin/bsq-layer)

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
FIRST := $(filter deps deps-onnx deps-long,$(MAKECMDGOALS))

# ---- library --------------------------------------------------------------------------------------------------

# Commands are shown in short; `make V=1` shows them whole.
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-5s %s\n' $(1) $(or $(2),$@))

.PHONY: all
all: $(STATIC) $(LINK) $(EXAMPLES) $(DEMO) $(TOOL) onnx

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

# ---- examples and demo ----------------------------------------------------------------------------------------

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

$(BUILD)/examples/demo: $(DEMO_OBJECTS) $(BUILD)/examples/libcommon.a $(LINK)
	$(call say,LINK)
	$(Q)$(CC) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $^ $(RUN_PATH) -lm

# The tool as it is installed carries the library in itself, so it runs from wherever it is put.
$(BUILD)/bin/bsq-layer: $(BUILD)/obj/examples/bsq-layer.o $(BUILD)/examples/libcommon.a $(STATIC)
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $^ $(BLAS_LIBS) -lm

# ---- bsq-onnx -------------------------------------------------------------------------------------------------

# C++, and built where OpenCV, protobuf and ONNX are. That is looked at when a recipe runs, by a second make, so that
# `make deps-onnx all` works.
ONNX_OBJECTS := $(patsubst %.cpp,$(BUILD)/obj/%.o,$(ONNX_SOURCES))
ONNX_PARTS := $(filter-out %/onnx/main.o,$(ONNX_OBJECTS))
ONNX_TOOL := $(if $(wildcard examples/onnx/main.cpp),$(BUILD)/examples/bsq-onnx)
ONNX_CHECKS := $(patsubst test/onnx/%.cpp,$(BUILD)/test/onnx/%,$(ONNX_CHECK_SOURCES))
ONNX_PROGRAMS := $(patsubst test/onnx/%.cpp,$(BUILD)/test/onnx/%,$(ONNX_PROGRAM_SOURCES))
ONNX_DEFINES := -DONNX_ML=1 -DONNX_NAMESPACE=onnx
ONNX_CFLAGS = $(ONNX_DEFINES) $(patsubst -I%,-isystem %,$(shell $(PKG_CONFIG) --cflags opencv4 protobuf))
ONNX_LIBS = $(shell $(PKG_CONFIG) --libs-only-L opencv4 protobuf) -lonnx -lonnx_proto -lopencv_dnn -lopencv_imgcodecs \
    -lopencv_imgproc -lopencv_core -lprotobuf
# What is missing, or nothing.
onnx_missing = if ! $(PKG_CONFIG) --exists opencv4; then echo OpenCV; \
    elif ! $(PKG_CONFIG) --exists protobuf; then echo protobuf; \
    elif ! echo '\#include <onnx/onnx_pb.h>' | $(CXX) $(ONNX_DEFINES) -x c++ -fsyntax-only - 2>/dev/null; then \
        echo ONNX; fi
BUILD_ONNX = missing=$$($(onnx_missing)); \
    if [ -z "$$missing" ]; then $(MAKE) --no-print-directory $(1); \
    else echo "$(2): left out, $$missing is not here (make deps-onnx)"; fi

.PHONY: onnx onnx-parts onnx-checks check-onnx
onnx: $(LINK) $(BUILD)/examples/libcommon.a
	$(if $(ONNX_SOURCES),+@$(call BUILD_ONNX,onnx-parts,bsq-onnx))

onnx-parts: $(BUILD)/examples/libbsq-onnx.a $(ONNX_TOOL)

$(BUILD)/obj/examples/onnx/%.o: examples/onnx/%.cpp $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CXX)
	$(Q)$(CXX) $(NEEDED_CXX) -O2 $(CPPFLAGS) $(WARNINGS) -Iinclude -Iexamples/common $(ONNX_CFLAGS) $(CFLAGS) \
	    -c -o $@ $<

$(BUILD)/examples/libbsq-onnx.a: $(ONNX_PARTS)
	@mkdir -p $(@D)
	@rm -f $@
	@$(AR) rcs $@ $^

$(BUILD)/examples/bsq-onnx: $(BUILD)/obj/examples/onnx/main.o $(BUILD)/examples/libbsq-onnx.a \
        $(BUILD)/examples/libcommon.a $(LINK)
	$(call say,LINK)
	$(Q)$(CXX) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $^ $(RUN_PATH) $(ONNX_LIBS) -lm

.PHONY: demo
# The library's threads do the work; more of OpenBLAS's own would only be in their way (docs/embedding.md).
demo: $(DEMO)
	OPENBLAS_NUM_THREADS=1 $(DEMO) examples/demo/weights

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

$(API_CHECKS): $(BUILD)/test/%: $(BUILD)/obj/test/%.o $(TEST_LIBRARIES) $(LINK)
	$(call say,LINK)
	$(Q)$(TEST_LINK) $(RUN_PATH) $(CHECK_LIBS) -lm

$(UNIT_CHECKS): $(BUILD)/test/%: $(BUILD)/obj/test/%.o $(TEST_LIBRARIES) $(STATIC)
	$(call say,LINK)
	$(Q)$(TEST_LINK) $(CHECK_LIBS) $(BLAS_LIBS) -lm

$(BUILD)/obj/test/onnx/%.o: test/onnx/%.cpp $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CXX)
	$(Q)$(CXX) $(NEEDED_CXX) -O1 $(CPPFLAGS) $(TEST_WARNINGS) -Iinclude -Iexamples -Iexamples/common -Itest \
	    $(ONNX_CFLAGS) $(CHECK_CFLAGS) $(CFLAGS) -c -o $@ $<

$(BUILD)/test/onnx/libsupport.a: $(patsubst %.cpp,$(BUILD)/obj/%.o,$(ONNX_SUPPORT_SOURCES))
	@mkdir -p $(@D)
	@rm -f $@
	@$(AR) rcs $@ $^

$(ONNX_PROGRAMS): $(BUILD)/test/onnx/%: $(BUILD)/obj/test/onnx/%.o $(BUILD)/test/onnx/libsupport.a \
        $(BUILD)/examples/libbsq-onnx.a $(TEST_LIBRARIES) $(LINK)
	$(call say,LINK)
	$(Q)$(CXX) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o %.a %.so,$^) $(RUN_PATH) $(CHECK_LIBS) $(ONNX_LIBS) -lm

# Our driver replays the corpus; `make check-long` puts an engine that searches in its place.
FUZZ_ENGINE ?= $(call objects,test/fuzz/driver.c)

$(FUZZERS): $(BUILD)/fuzz/%: $(BUILD)/obj/test/fuzz/%.o $(filter %.o,$(FUZZ_ENGINE)) $(TEST_LIBRARIES) $(STATIC)
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(TEST_LINK) $(filter-out %.o,$(FUZZ_ENGINE)) $(BLAS_LIBS) -lm

$(BUILD)/bench/libbench.a: $(call objects,$(BENCH_COMMON))
	@mkdir -p $(@D)
	@rm -f $@
	@$(AR) rcs $@ $^

$(BENCHES): $(BUILD)/bench/%: $(BUILD)/obj/test/bench/%.o $(BUILD)/bench/libbench.a $(TEST_LIBRARIES) $(STATIC)
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(TEST_LINK) $(BLAS_LIBS) -lm

corpus = $(firstword $(wildcard test/fuzz/corpus/$(1) test/fuzz/corpus/$(patsubst fuzz_%,%,$(1))))
REPLAYS = $(foreach f,$(FUZZERS),'$(f) $(call corpus,$(notdir $(f)))')
SAMPLES := $(filter $(addprefix $(BUILD)/examples/,$(EXAMPLES_RUN)),$(EXAMPLES))
RUNNER := test/run $(BUILD)/log

# What the scripts need to know.
TOLD = BUILD='$(BUILD)' LIB='$(LIB)' ABI='$(ABI)' MAKE='$(MAKE_COMMAND)' CC='$(CC)' PYTHON='$(PYTHON)' SAMPLES='$(SAMPLES)' \
    SHARED_DATA='$(SHARED_DATA)'

.PHONY: check
check: all $(CHECKS) $(FUZZERS)
	@$(TOLD) $(RUNNER) test/abi/check $(SCRIPTS) $(REPLAYS) $(CHECKS)
	+@$(call BUILD_ONNX,onnx-checks,check-onnx)

# The tests of bsq-onnx alone.
check-onnx: onnx $(TEST_LIBRARIES)
	+@$(call BUILD_ONNX,onnx-checks,check-onnx)

onnx-checks: $(ONNX_PROGRAMS)
	@$(TOLD) $(RUNNER)/onnx $(ONNX_SCRIPTS) $(ONNX_CHECKS)

# What makes sense in every kind of build.
.PHONY: check-programs
check-programs: all $(CHECKS) $(FUZZERS)
	@$(TOLD) $(RUNNER) $(SAMPLES) $(REPLAYS) $(CHECKS)

.PHONY: check-abi
check-abi: $(STATIC) $(LINK)
	@$(TOLD) $(RUNNER) test/abi/check

# `make check-options` builds and runs one check program.
check-%: $(BUILD)/test/check_%
	$<

# ---- long tests -----------------------------------------------------------------------------------------------

SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all
DEBUG := -g -O1 -fno-omit-frame-pointer
# Reports come from the program itself, and tests can ask whether they run ten times slower.
SLOWLY := CK_FORK=no BSQ_CHECK_SLOW=1
FUZZ_RUNS ?= 20000

# The runtimes of the sanitizers are in the program, so their symbols are missing from the library.
kind = $(MAKE) BUILD=build/$(1) LIB=build/$(1)/lib NO_UNDEFINED= WARNINGS='$(WARNINGS) -Werror' CC=$(2) CFLAGS='$(3)'

.PHONY: check-long check-asan-gcc check-asan-clang check-asan-onnx check-tsan check-valgrind check-fuzz check-abidiff \
    check-neon check-networks
check-long: check
	$(MAKE) check-asan-gcc
	$(MAKE) check-asan-clang
	$(MAKE) check-asan-onnx
	$(MAKE) check-tsan
	$(MAKE) check-valgrind
	$(MAKE) check-fuzz
	$(MAKE) check-abidiff
	$(MAKE) check-neon
	$(MAKE) check-networks

check-asan-gcc:
	+$(SLOWLY) $(call kind,asan-gcc,gcc,$(DEBUG) $(SANITIZE)) check-programs

check-asan-clang:
	+$(SLOWLY) $(call kind,asan-clang,clang,$(DEBUG) $(SANITIZE)) check-programs

check-asan-onnx:
	+$(SLOWLY) $(call kind,asan-gcc,gcc,$(DEBUG) $(SANITIZE)) check-onnx

# OpenBLAS is not instrumented: with one thread of its own, or in its serial variant where that is installed, it has no
# results that cross threads unseen.
SERIAL_BLAS = $(wildcard /usr/lib/$(shell gcc -print-multiarch)/openblas-serial)
check-tsan:
	+OPENBLAS_NUM_THREADS=1 $(if $(SERIAL_BLAS),LD_LIBRARY_PATH=$(SERIAL_BLAS)) $(SLOWLY) \
	    $(call kind,tsan-clang,clang,$(DEBUG) -fsanitize=thread) check-programs

check-valgrind: $(CHECKS)
	@if command -v valgrind >/dev/null; then \
	    $(SLOWLY) $(TOLD) CHECK_WRAPPER='valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=all' \
	        test/run $(BUILD)/log/valgrind $(CHECKS); \
	else \
	    echo "valgrind: skipped, it is not installed (make deps-long)"; \
	fi

check-fuzz:
	+$(call kind,fuzz-clang,clang,$(DEBUG) $(SANITIZE) -fsanitize=fuzzer-no-link) FUZZ_ENGINE=-fsanitize=fuzzer fuzz

# In a build for fuzzing: searches for FUZZ_RUNS inputs from the corpus on; what it finds stays in the build folder.
.PHONY: fuzz
fuzz: $(FUZZERS)
	@set -e; $(foreach f,$(FUZZERS),mkdir -p $(f).found; \
	    echo "$(notdir $(f))"; $(f) -runs=$(FUZZ_RUNS) -artifact_prefix=$(BUILD)/ $(f).found \
	    $(call corpus,$(notdir $(f))) >$(f).log 2>&1 || { tail -n 40 $(f).log; exit 1; };)

# Against the last release that has this ABI number.
check-abidiff: $(LINK)
	@test/abi/abidiff $(LINK) $(ABI) $(BUILD)/release

# Every real network once, on some of its pictures.
check-networks: onnx
	@if test ! -x $(BUILD)/examples/bsq-onnx || test ! -d $(SHARED_DATA)/models; then \
	    echo "networks: skipped, there is no bsq-onnx or no $(SHARED_DATA)/models"; \
	else \
	    $(PYTHON) test/bench/networks.py $(BUILD)/examples/bsq-onnx $(SHARED_DATA) --quick; \
	fi

# The kernels for 64-bit ARM under emulation: nothing but them is needed, and a stand-in for Check.
CROSS ?= aarch64-linux-gnu-gcc
EMULATOR ?= qemu-aarch64-static
check-neon: $(BUILD)/flags
	@if ! command -v $(CROSS) >/dev/null || ! command -v $(EMULATOR) >/dev/null; then \
	    echo "neon: skipped, $(CROSS) or $(EMULATOR) is not installed (make deps-long)"; \
	else \
	    set -e; mkdir -p $(BUILD)/test; \
	    $(CROSS) $(filter-out -MMD -MP,$(NEEDED)) -O3 $(WARNINGS) -Werror -Iinclude -Isrc -c -o $(BUILD)/test/neon.o \
	        src/kernels/neon.c; \
	    $(CROSS) $(filter-out -MMD -MP,$(NEEDED)) -O3 $(TEST_WARNINGS) -Werror -static -Itest/cross -Iinclude -Isrc \
	        -o $(BUILD)/test/check_kernels_aarch64 test/check_kernels.c $(BUILD)/test/neon.o \
	        $(filter-out %/neon.c,$(wildcard src/kernels/*.c)) src/base/names.c -lm; \
	    $(EMULATOR) $(BUILD)/test/check_kernels_aarch64 > $(BUILD)/test/check_kernels_aarch64.log || \
	        { cat $(BUILD)/test/check_kernels_aarch64.log; exit 1; }; \
	    if grep '^neon: not' $(BUILD)/test/check_kernels_aarch64.log; then exit 1; fi; \
	    tail -n 1 $(BUILD)/test/check_kernels_aarch64.log; \
	fi

# ---- bench ----------------------------------------------------------------------------------------------------

.PHONY: bench bench-layers bench-solver bench-networks bench-table
bench: bench-solver

bench-layers: $(BUILD)/bench/bench_layers
	$< $(SHARED_DATA)/layers

bench-table: export OPENBLAS_NUM_THREADS := 1
bench-table: $(BUILD)/bench/bench_table
	$< $(SHARED_DATA)/layers

# Takes an hour; its tables go to docs/results.md. ONLY=resnet20_cifar10: this network alone, and docs/ stays as it is.
# PARTS=DIR: results are kept there, an interrupted run goes on.
bench-networks: onnx
	@if test ! -x $(BUILD)/examples/bsq-onnx; then echo 'bench-networks: bsq-onnx is not built (make deps-onnx)'; exit 1; fi
	$(PYTHON) test/bench/networks.py $(BUILD)/examples/bsq-onnx $(SHARED_DATA) $(if $(ONLY),--only $(ONLY)) \
	    $(if $(PARTS),--parts $(PARTS)) --markdown docs/results.md

# QUICK=1: less of everything, and docs/ stays as it is.
SOLVER_BENCHES := $(addprefix $(BUILD)/bench/bench_,solver scale rows)
LAYERS_THERE = $(wildcard $(SHARED_DATA)/layers)
QUICKLY = $(if $(QUICK),--quick)
PLOT = $(if $(QUICK),$(BUILD)/bench/effort.svg,docs/effort.svg)
bench-solver: export OPENBLAS_NUM_THREADS := 1
bench-solver: $(SOLVER_BENCHES)
	@rm -f $(BUILD)/bench/bitsplit.csv $(BUILD)/bench/points
	$(if $(LAYERS_THERE),-$(PYTHON) test/reference/bitsplit.py $(LAYERS_THERE) --single --epochs $(if $(QUICK),5,20) \
	    > $(BUILD)/bench/bitsplit.csv)
	$(BUILD)/bench/bench_solver $(SHARED_DATA)/layers $(QUICKLY) --stand-in $(BUILD)/bench/bitsplit.csv \
	    --data $(BUILD)/bench/points
	@if ! command -v gnuplot >/dev/null; then \
	    echo "$(PLOT): not drawn, gnuplot is not installed"; \
	elif test -s $(BUILD)/bench/points; then \
	    gnuplot -e "points='$(BUILD)/bench/points'; output_file='$(PLOT)'" test/bench/plot.gp; \
	fi
	$(BUILD)/bench/bench_scale $(QUICKLY)
	$(BUILD)/bench/bench_rows $(SHARED_DATA)/layers $(QUICKLY)

# ---- install --------------------------------------------------------------------------------------------------

DOCUMENTS := $(wildcard README.md CHANGELOG.md LICENSE docs/*.md)
TO := $(DESTDIR)

# The .pc file finds the prefix from where it lies, so the tree may be moved; folders elsewhere stay as they are.
above = $$(realpath -ms --relative-to=$(1) $(PREFIX))
below = $(patsubst $(PREFIX)/%,$${prefix}/%,$(1))

.PHONY: install install-library install-tool install-docs uninstall
install: install-library install-tool install-docs

install-library: $(STATIC) $(LINK)
	$(INSTALL) -d $(TO)$(libdir) $(TO)$(includedir) $(TO)$(pkgconfigdir)
	$(INSTALL) -m 644 $(STATIC) $(TO)$(libdir)/libbsq.a
	$(INSTALL) -m 755 $(SHARED) $(TO)$(libdir)/libbsq.so.$(ABI)
	ln -sf libbsq.so.$(ABI) $(TO)$(libdir)/libbsq.so
	$(INSTALL) -m 644 include/bsq.h $(TO)$(includedir)/bsq.h
	sed -e "s|@PREFIX@|\$${pcfiledir}/$(call above,$(pkgconfigdir))|" -e 's|@LIBDIR@|$(call below,$(libdir))|' \
	    -e 's|@INCLUDEDIR@|$(call below,$(includedir))|' -e 's|@VERSION@|$(VERSION)|' pkgconfig/bsq.pc.in \
	    > $(TO)$(pkgconfigdir)/bsq.pc
	chmod 644 $(TO)$(pkgconfigdir)/bsq.pc

install-tool: $(TOOL)
	$(if $(TOOL),$(INSTALL) -d $(TO)$(bindir))
	$(if $(TOOL),$(INSTALL) -m 755 $(TOOL) $(TO)$(bindir)/bsq-layer)

install-docs:
	$(INSTALL) -d $(TO)$(docdir)
	$(INSTALL) -m 644 $(DOCUMENTS) $(TO)$(docdir)

uninstall:
	rm -f $(TO)$(libdir)/libbsq.a $(TO)$(libdir)/libbsq.so.$(ABI) $(TO)$(libdir)/libbsq.so $(TO)$(includedir)/bsq.h \
	    $(TO)$(pkgconfigdir)/bsq.pc $(TO)$(bindir)/bsq-layer $(addprefix $(TO)$(docdir)/,$(notdir $(DOCUMENTS)))
	-rmdir $(TO)$(docdir) 2>/dev/null

# ---- the rest -------------------------------------------------------------------------------------------------

NEEDED_PACKAGES := gcc g++ clang make libc6-dev pkg-config libopenblas-dev liblapacke-dev check python3-numpy
LONG_PACKAGES = valgrind abigail-tools libopenblas0-serial \
    gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static \
    libclang-rt-$(shell clang --version | sed -n 's/.*version \([0-9]*\)\..*/\1/p')-dev

ONNX_PACKAGES := libopencv-dev libprotobuf-dev libonnx-dev python3-onnx python3-numpy chromium

.PHONY: deps deps-onnx deps-long
deps:
	@.ci/deps $(NEEDED_PACKAGES)

deps-onnx: deps
	@.ci/deps $(ONNX_PACKAGES)

deps-long: deps
	@.ci/deps $(LONG_PACKAGES)

.PHONY: clean
clean:
	rm -rf build $(BUILD)
	rm -f $(LIB)/libbsq.a $(LIB)/libbsq.so $(LIB)/libbsq.so.*
	-rmdir $(LIB) 2>/dev/null

.PHONY: help
help:
	@echo 'make                the libraries in lib/, the examples in build/examples/'
	@echo 'make deps           install the Debian packages that building and checking need'
	@echo 'make deps-onnx      install what bsq-onnx needs besides'
	@echo 'make check          all tests (under five minutes)'
	@echo 'make check-NAME     one check program: test/check_NAME.c'
	@echo 'make check-onnx     the tests of bsq-onnx'
	@echo 'make check-networks every network of SHARED_DATA at 4 bits, on some of its pictures'
	@echo 'make check-abi      exported symbols, the header alone in C and C++'
	@echo 'make check-long     the tests under sanitizers, valgrind and emulated ARM too, fuzzing, networks, ABI against the last release'
	@echo 'make deps-long      install what check-long needs besides'
	@echo 'make demo           quantize a small network, show what is left of its accuracy'
	@echo 'make bench          the same as bench-solver'
	@echo 'make bench-layers   errors and times on the layers in $(SHARED_DATA)/layers'
	@echo 'make bench-table    time and accuracy of error tables over 2 to 8 bits'
	@echo 'make bench-networks whole networks at few bits with bsq-onnx, beside what is required (an hour; ONLY=NETWORK)'
	@echo 'make bench-solver   solver, statistics, threads and memory beside published code and BLAS (QUICK=1: two minutes)'
	@echo 'make install        into PREFIX ($(PREFIX)) below DESTDIR; also bindir libdir includedir pkgconfigdir docdir'
	@echo 'make uninstall      remove what install put there'
	@echo 'make clean          remove what was built'
	@echo
	@echo 'CC=gcc or clang, CFLAGS, CPPFLAGS and LDFLAGS are added to what the library needs.'

# Keeps objects that only pattern rules name.
.SECONDARY:

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
