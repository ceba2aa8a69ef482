# Targets for a fuzzing engine, which `make check` runs on the corpus, and random layers held against their own rows.

FUZZ_SOURCES := $(wildcard test/fuzz/fuzz_*.c)
C_FUZZERS := $(call named,fuzz,$(FUZZ_SOURCES))
FUZZERS := $(C_FUZZERS) $(GGUF_FUZZER)
FUZZ_RUNS ?= 20000

# Our driver replays the corpus; `make check-long` puts an engine that searches in its place.
FUZZ_ENGINE ?= $(call objects,test/fuzz/driver.c)

$(C_FUZZERS): $(BUILD)/fuzz/%: $(BUILD)/obj/test/fuzz/%.o $(filter %.o,$(FUZZ_ENGINE)) $(TEST_LIBRARIES) $(STATIC)
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(TEST_LINK) $(filter-out %.o,$(FUZZ_ENGINE)) $(BLAS_LIBS) -lm

.PHONY: fuzzers
fuzzers: $(FUZZERS) $(BUILD)/fuzz/random_layers

corpus = $(firstword $(wildcard test/fuzz/corpus/$(1) test/fuzz/corpus/$(patsubst fuzz_%,%,$(1))))
REPLAYS = $(foreach f,$(FUZZERS),'$(f) $(call corpus,$(notdir $(f)))')

# Layers of these seeds; figures that can be recomputed from rows are.
RANDOM_LAYERS := $(BUILD)/fuzz/random_layers
random_layers = '$(RANDOM_LAYERS) --seed 1701 --count $(1)' '$(RANDOM_LAYERS) --seed 1701 --count $(1) --extreme' \
    '$(RANDOM_LAYERS) --seed 1701 --count $(1) --grids' '$(RANDOM_LAYERS) --seed 1701 --count $(1) --grids --extreme'

$(RANDOM_LAYERS): $(call objects,$(wildcard test/fuzz/random_*.c)) $(STATIC)
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(TEST_LINK) $(BLAS_LIBS) -lm

.PHONY: check-random
check-random: $(RANDOM_LAYERS)
	@$(TOLD) $(RUNNER) $(call random_layers,100000)

.PHONY: check-fuzz
check-fuzz:
	+$(call kind,fuzz-clang,clang,$(DEBUG) $(SANITIZE) -fsanitize=fuzzer-no-link) FUZZ_ENGINE=-fsanitize=fuzzer fuzz

# In a build for fuzzing: searches for FUZZ_RUNS inputs from the corpus on; what it finds stays in the build folder.
.PHONY: fuzz
fuzz: $(FUZZERS)
	@set -e; $(foreach f,$(FUZZERS),mkdir -p $(f).found; \
	    echo "$(notdir $(f))"; $(f) -runs=$(FUZZ_RUNS) -artifact_prefix=$(BUILD)/ $(f).found \
	    $(call corpus,$(notdir $(f))) >$(f).log 2>&1 || { tail -n 40 $(f).log; exit 1; };)
