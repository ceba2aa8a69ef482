# Tests that take long or need more than the others: sanitizers, valgrind, the ABI of a release, whole networks, other
# processors.

SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all
DEBUG := -g -O1 -fno-omit-frame-pointer
# Reports come from the program itself, and tests can ask whether they run ten times slower.
SLOWLY := CK_FORK=no BSQ_CHECK_SLOW=1

# The runtimes of the sanitizers are in the program, so their symbols are missing from the library.
kind = $(MAKE) BUILD=build/$(1) LIB=build/$(1)/lib NO_UNDEFINED= WARNINGS='$(WARNINGS) -Werror' CC=$(2) CFLAGS='$(3)'

.PHONY: check-long check-asan-gcc check-asan-clang check-asan-onnx check-tsan check-valgrind check-abidiff \
    check-neon check-networks
check-long: check
	$(MAKE) check-asan-gcc
	$(MAKE) check-asan-clang
	$(MAKE) check-asan-onnx
	$(MAKE) check-tsan
	$(MAKE) check-valgrind
	$(MAKE) check-fuzz
	$(MAKE) check-random
	$(MAKE) check-abidiff
	$(MAKE) check-neon
	$(MAKE) check-packages
	$(MAKE) check-networks

# What makes sense in every kind of build; the programs beside the library are not built for it.
.PHONY: check-programs
check-programs: $(SAMPLES) $(CHECKS) $(GGUF_OWN_CHECKS) fuzzers
	@$(TOLD) $(RUNNER) $(SAMPLES) $(REPLAYS) $(call random_layers,2000) $(CHECKS) $(GGUF_OWN_CHECKS)

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

# Programs that solve hundreds of layers take valgrind hours, and do nothing there that smaller layers do not; sanitizers
# see them.
SOLVES_MUCH := api_large api_promises api_quality exact grids quality reference solve
VALGRIND_CHECKS = $(filter-out $(SOLVES_MUCH:%=$(BUILD)/test/check_%),$(CHECKS))
check-valgrind: $(VALGRIND_CHECKS)
	@if command -v valgrind >/dev/null; then \
	    $(SLOWLY) $(TOLD) CHECK_WRAPPER='valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=all' \
	        test/run $(BUILD)/log/valgrind $(VALGRIND_CHECKS); \
	else \
	    echo "valgrind: skipped, it is not installed (make deps-long)"; \
	fi

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
	        -o $(BUILD)/test/check_kernels_aarch64 test/check_kernels.c test/main.c $(BUILD)/test/neon.o \
	        $(filter-out %/neon.c,$(wildcard src/kernels/*.c)) src/base/names.c -lm; \
	    $(EMULATOR) $(BUILD)/test/check_kernels_aarch64 > $(BUILD)/test/check_kernels_aarch64.log || \
	        { cat $(BUILD)/test/check_kernels_aarch64.log; exit 1; }; \
	    if grep '^neon: not' $(BUILD)/test/check_kernels_aarch64.log; then exit 1; fi; \
	    tail -n 1 $(BUILD)/test/check_kernels_aarch64.log; \
	fi
