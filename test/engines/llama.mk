# Engines as judges of what is packed for them: llama.cpp's library, fetched from npm, on GGUF's blocks, and ONNX Runtime
# (engines.mk) on those of ONNX.

LLAMA_PACKAGE := @node-llama-cpp/linux-x64@3.22.1
LLAMA := $(ENGINES)/llama
LLAMA_LIBRARIES := $(LLAMA)/node_modules/@node-llama-cpp/linux-x64/bins/linux-x64
CHECK_LLAMA := $(BUILD)/test/engines/check_llama

deps-engines: $(LLAMA)/installed

# A folder of its own: npm removes what is not asked for together.
$(LLAMA)/installed: test/engines/llama.mk
	@if ! command -v $(NPM) >/dev/null; then echo 'deps-engines: $(NPM) is not here: please install npm' >&2; exit 1; fi
	@mkdir -p $(@D)
	$(Q)$(NPM) install --prefix $(@D) --ignore-scripts --no-save --no-audit --no-fund --loglevel=error $(LLAMA_PACKAGE)
	@touch $@

$(CHECK_LLAMA): $(BUILD)/obj/test/engines/check_llama.o $(TEST_LIBRARIES) $(LINK)
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(TEST_LINK) $(RUN_PATH) $(CHECK_LIBS) -ldl -lm

# Tensors in every format, for readers that are not ours.
WRITE_CASES := $(BUILD)/test/engines/write_cases

$(WRITE_CASES): $(BUILD)/obj/test/engines/write_cases.o $(TEST_LIBRARIES) $(LINK)
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(TEST_LINK) $(RUN_PATH) $(CHECK_LIBS) -lm

TOLD += LLAMA='$(LLAMA_LIBRARIES)' ENGINES='$(ENGINES)'
ENGINE_SCRIPTS += test/engines/llama.sh test/engines/onnx_blocks.sh
SCRIPTS += test/engines/llama.sh test/engines/onnx_blocks.sh
check: $(CHECK_LLAMA) $(WRITE_CASES)

# The tests in engines alone.
.PHONY: check-engines
check-engines: $(CHECK_LLAMA) $(WRITE_CASES)
	@$(TOLD) $(RUNNER) $(ENGINE_SCRIPTS)
