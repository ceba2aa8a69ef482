# Measurements: programs over the library and over bsq-onnx, `make bench-NAME`.

BENCH_SOURCES := $(wildcard test/bench/bench_*.c)
BENCH_COMMON := $(filter-out $(BENCH_SOURCES),$(wildcard test/bench/*.c))
BENCHES := $(call named,bench,$(BENCH_SOURCES))

$(BUILD)/bench/libbench.a: $(call objects,$(BENCH_COMMON))
	@mkdir -p $(@D)
	@rm -f $@
	@$(AR) rcs $@ $^

$(BENCHES): $(BUILD)/bench/%: $(BUILD)/obj/test/bench/%.o $(BUILD)/bench/libbench.a $(TEST_LIBRARIES) $(STATIC)
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(TEST_LINK) $(BLAS_LIBS) -lm

.PHONY: bench bench-grids bench-layers bench-solver bench-networks bench-table
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

# Transformers that are trained here, on one core in some minutes each, and kept in build/transformers; the table goes to
# docs/results.md. ONLY and PARTS as above.
.PHONY: bench-transformers
bench-transformers: export OPENBLAS_NUM_THREADS := 1
bench-transformers: onnx
	@if test ! -x $(BUILD)/examples/bsq-onnx; then echo 'bench-transformers: bsq-onnx is not built (make deps-onnx)'; exit 1; fi
	@if test ! -e $(ENGINES)/installed; then echo 'bench-transformers: ONNX Runtime is not here (make deps-engines)'; exit 1; fi
	@if ! $(PYTHON) -c 'import torch' 2>/dev/null; then echo 'bench-transformers: $(PYTHON) has no torch (python3-torch)'; exit 1; fi
	@$(MAKE) --no-print-directory $(BUILD)/test/bsq-onnx/bench_transformers
	$(PYTHON) test/bench/train.py $(SHARED_DATA) $(BUILD)/transformers
	$(PYTHON) test/bench/transformers.py $(BUILD)/examples/bsq-onnx $(BUILD)/test/bsq-onnx/bench_transformers \
	    $(ENGINES)/node_modules $(SHARED_DATA) $(BUILD)/transformers $(if $(ONLY),--only $(ONLY)) $(if $(PARTS),--parts $(PARTS)) \
	    --markdown docs/results.md

# Files of bsq-onnx in ONNX Runtime; the table goes to docs/results.md. ONLY and PARTS as above.
.PHONY: bench-engines
bench-engines: onnx
	@if test ! -x $(BUILD)/examples/bsq-onnx; then echo 'bench-engines: bsq-onnx is not built (make deps-onnx)'; exit 1; fi
	@if test ! -e $(ENGINES)/installed; then echo 'bench-engines: ONNX Runtime is not here (make deps-engines)'; exit 1; fi
	@$(MAKE) --no-print-directory $(BUILD)/test/bsq-onnx/in_engine
	$(PYTHON) test/bench/engines.py $(BUILD)/examples/bsq-onnx $(BUILD)/test/bsq-onnx/in_engine $(ENGINES)/node_modules \
	    $(SHARED_DATA) $(if $(ONLY),--only $(ONLY)) $(if $(PARTS),--parts $(PARTS)) --markdown docs/results.md

# OpenCV and ONNX Runtime as engines of bsq-onnx, for one sample.
.PHONY: bench-onnx
bench-onnx: export OPENBLAS_NUM_THREADS := 1
bench-onnx: onnx
	@if test ! -e $(ENGINES)/installed; then echo 'bench-onnx: ONNX Runtime is not here (make deps-engines)'; exit 1; fi
	@$(MAKE) --no-print-directory $(BUILD)/test/bsq-onnx/bench_engines
	$(BUILD)/test/bsq-onnx/bench_engines $(wildcard $(SHARED_DATA)/models/*.onnx)

# QUICK=1: less of everything, and docs/ stays as it is.
SOLVER_BENCHES := $(addprefix $(BUILD)/bench/bench_,solver scale spectra rows)
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
	$(BUILD)/bench/bench_spectra $(QUICKLY)
	$(BUILD)/bench/bench_rows $(SHARED_DATA)/layers $(QUICKLY)

bench-grids: export OPENBLAS_NUM_THREADS := 1
bench-grids: $(BUILD)/bench/bench_grids
	$< $(SHARED_DATA)/layers $(QUICKLY)
