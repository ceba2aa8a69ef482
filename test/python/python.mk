# The Python package: its tests and benches. `check` runs those that take seconds, where their packages are installed.

SCRIPTS += test/python/check.sh
PYTHON_PACKAGES := python3-numpy python3-pytest python3-torch python3-torchvision python3-mypy python3-build \
    python3-setuptools python3-wheel python3-pip python3-tqdm python3-matplotlib

.PHONY: check-python deps-python bench-python
check-python: $(LINK)
	@$(TOLD) test/python/check.sh all

deps-python: deps
	@.ci/deps $(PYTHON_PACKAGES)

# What one line of Python costs over the calls of C that it makes.
$(BUILD)/bench/one_line.so: test/python/one_line.c $(LINK)
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(COMPILE) $(WARNINGS) -Iinclude $(CFLAGS) -shared -o $@ $< $(LINK) $(RUN_PATH)

bench-python: export OPENBLAS_NUM_THREADS := 1
bench-python: $(BUILD)/bench/one_line.so
	BSQ_LIBRARY=$(abspath $(LINK)) $(PYTHON) test/python/bench_one_line.py $<
	BSQ_LIBRARY=$(abspath $(LINK)) $(PYTHON) test/python/bench_torch.py
