# Engines that run what the library and its programs write: fetched from npm into build/engines, at pinned versions.
# No script of a package runs: ONNX Runtime's would fetch parts for graphics cards.

NPM ?= npm
ENGINES ?= $(BUILD)/engines

# ONNX Runtime: the version that figures are of, older ones that files must load in, and the one for browsers.
ENGINE_PACKAGES := onnxruntime-node@1.30.0 \
    onnxruntime-node-1.23@npm:onnxruntime-node@1.23.2 \
    onnxruntime-node-1.20@npm:onnxruntime-node@1.20.1 \
    onnxruntime-node-1.16@npm:onnxruntime-node@1.16.3 \
    onnxruntime-web@1.30.0

.PHONY: deps-engines
deps-engines: $(ENGINES)/installed

# Fetched again when a version changes, which is written here.
$(ENGINES)/installed: test/engines/engines.mk
	@if ! command -v $(NPM) >/dev/null; then echo 'deps-engines: $(NPM) is not here: please install nodejs and npm' >&2; exit 1; fi
	@mkdir -p $(@D)
	$(Q)$(NPM) install --prefix $(@D) --ignore-scripts --no-save --no-audit --no-fund --loglevel=error $(ENGINE_PACKAGES)
	@touch $@
