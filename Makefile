# libbsq: `make help` lists the targets.
#
# CC, CFLAGS, LDFLAGS, PREFIX and DESTDIR are yours; what the library needs is added to them, not replaced by them.

.DELETE_ON_ERROR:
.SUFFIXES:
.DEFAULT_GOAL := all

ifeq ($(origin CC),default)
CC := gcc
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

LIBRARY_SOURCES := $(wildcard src/*.c src/kernels/*.c)
COMMON_SOURCES := $(wildcard examples/common/*.c)
DEMO_SOURCES := $(wildcard examples/demo/*.c)
EXAMPLE_SOURCES := $(wildcard examples/*.c)
CHECK_SOURCES := $(wildcard test/check_*.c)
SUPPORT_SOURCES := $(filter-out $(CHECK_SOURCES),$(wildcard test/*.c)) $(wildcard test/reference/*.c)
FUZZ_SOURCES := $(wildcard test/fuzz/fuzz_*.c)
BENCH_SOURCES := $(wildcard test/bench/bench_*.c)
SCRIPTS := $(wildcard test/*.sh)
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
NEEDED := -std=c11 -D_POSIX_C_SOURCE=200809L -fPIC -fvisibility=hidden -ffp-contract=off -pthread -MMD -MP
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
FIRST := $(filter deps deps-long,$(MAKECMDGOALS))

# ---- library --------------------------------------------------------------------------------------------------

.PHONY: all
all: $(STATIC) $(LINK) $(EXAMPLES) $(DEMO) $(TOOL)

# Changes when the compiler or the flags do: everything is then built again.
FLAGS_NOW := $(CC) $(CFLAGS) $(CPPFLAGS) $(LDFLAGS) $(WARNINGS) $(NEEDED) $(OPTIMIZE) $(NO_UNDEFINED)
.PHONY: always
$(BUILD)/flags: always | $(FIRST)
	@mkdir -p $(@D)
	@printf '%s\n' '$(subst ','\'',$(FLAGS_NOW))' | cmp -s - $@ || printf '%s\n' '$(subst ','\'',$(FLAGS_NOW))' > $@

$(BUILD)/obj/src/%.o: src/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(COMPILE) $(WARNINGS) -Iinclude -Isrc $(BLAS_CFLAGS) $(CFLAGS) -c -o $@ $<

$(BUILD)/obj/src/kernels/%.o: OPTIMIZE := -O3

$(STATIC): $(LIBRARY_OBJECTS)
	@mkdir -p $(@D)
	@rm -f $@
	$(AR) rcs $@ $(LIBRARY_OBJECTS)

$(SHARED): $(LIBRARY_OBJECTS) src/bsq.map src/ABI
	@mkdir -p $(@D)
	$(CC) -shared -pthread $(CFLAGS) $(LDFLAGS) -Wl,-soname,libbsq.so.$(ABI) -Wl,--version-script=src/bsq.map \
	    $(NO_UNDEFINED) -o $@ $(LIBRARY_OBJECTS) $(BLAS_LIBS) -lm

$(LINK): $(SHARED)
	ln -sf $(<F) $@

# ---- examples and demo ----------------------------------------------------------------------------------------

$(BUILD)/obj/examples/%.o: examples/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(COMPILE) $(WARNINGS) -Iinclude -Iexamples/common $(CFLAGS) -c -o $@ $<

$(BUILD)/examples/libcommon.a: $(COMMON_OBJECTS)
	@mkdir -p $(@D)
	@rm -f $@
	@$(AR) rcs $@ $(COMMON_OBJECTS)

$(EXAMPLES): $(BUILD)/examples/%: $(BUILD)/obj/examples/%.o $(BUILD)/examples/libcommon.a $(LINK)
	$(CC) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $^ $(RUN_PATH) -lm

$(BUILD)/examples/demo: $(DEMO_OBJECTS) $(BUILD)/examples/libcommon.a $(LINK)
	$(CC) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $^ $(RUN_PATH) -lm

# The tool as it is installed carries the library in itself, so it runs from wherever it is put.
$(BUILD)/bin/bsq-layer: $(BUILD)/obj/examples/bsq-layer.o $(BUILD)/examples/libcommon.a $(STATIC)
	@mkdir -p $(@D)
	$(CC) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $^ $(BLAS_LIBS) -lm

.PHONY: demo
demo: $(DEMO)
	$(DEMO) examples/demo/weights

# ---- tests ----------------------------------------------------------------------------------------------------

TEST_WARNINGS := -Wall -Wextra -Wshadow

$(BUILD)/obj/test/%.o: test/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(COMPILE) $(TEST_WARNINGS) -Iinclude -Isrc -Itest -Itest/reference $(CHECK_CFLAGS) $(CFLAGS) -c -o $@ $<

# An archive, so that a program gets only those helpers that it asks for.
$(BUILD)/test/libsupport.a: $(SUPPORT_OBJECTS)
	@mkdir -p $(@D)
	@rm -f $@
	@$(AR) rcs $@ $(SUPPORT_OBJECTS)

TEST_LINK = $(CC) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o %.a %.so,$^)

$(API_CHECKS): $(BUILD)/test/%: $(BUILD)/obj/test/%.o $(BUILD)/test/libsupport.a $(LINK)
	$(TEST_LINK) $(RUN_PATH) $(CHECK_LIBS) -lm

$(UNIT_CHECKS): $(BUILD)/test/%: $(BUILD)/obj/test/%.o $(BUILD)/test/libsupport.a $(STATIC)
	$(TEST_LINK) $(CHECK_LIBS) $(BLAS_LIBS) -lm

$(FUZZERS): $(BUILD)/fuzz/%: $(BUILD)/obj/test/fuzz/%.o $(BUILD)/obj/test/fuzz/driver.o $(BUILD)/test/libsupport.a \
    $(STATIC)
	@mkdir -p $(@D)
	$(TEST_LINK) $(BLAS_LIBS) -lm

$(BENCHES): $(BUILD)/bench/%: $(BUILD)/obj/test/bench/%.o $(BUILD)/test/libsupport.a $(STATIC)
	@mkdir -p $(@D)
	$(TEST_LINK) $(BLAS_LIBS) -lm

# Keeps objects that only pattern rules name.
.SECONDARY:

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)

# `make check-options` builds and runs one check program.
check-%: $(BUILD)/test/check_%
	$<

.PHONY: clean
clean:
	rm -rf $(BUILD) $(LIB)
