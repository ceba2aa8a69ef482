# libbsq-mpi, of the sources of this folder alone: built where there is a compiler of MPI, which the rest of the library
# never needs. MPICC= leaves it out.

MPICC ?= $(shell command -v mpicc)
MPIRUN ?= $(shell command -v mpirun)
MPI_SOURCES := $(wildcard src/mpi/*.c)
MPI_OBJECTS := $(call objects,$(MPI_SOURCES))
MPI_STATIC := $(if $(MPICC),$(LIB)/libbsq-mpi.a)
MPI_SHARED := $(LIB)/libbsq-mpi.so.$(ABI)
MPI_LINK := $(if $(MPICC),$(LIB)/libbsq-mpi.so)
MPI_EXAMPLE_SOURCES := $(wildcard examples/mpi/*.c)
MPI_EXAMPLES := $(if $(MPICC),$(call named,examples,$(MPI_EXAMPLE_SOURCES)))

# The same compiler as everywhere, with what MPI adds to its command line.
MPI_CC = OMPI_CC='$(CC)' MPICH_CC='$(CC)' $(MPICC)
MPI_COMPILE = $(MPI_CC) $(NEEDED) $(OPTIMIZE) $(CPPFLAGS)

.PHONY: mpi
mpi: $(MPI_STATIC) $(MPI_LINK) $(MPI_EXAMPLES)
	$(if $(MPICC),,@echo 'mpi: skipped, there is no mpicc (make deps-mpi)')

all: $(MPI_STATIC) $(MPI_LINK) $(MPI_EXAMPLES)

$(BUILD)/obj/src/mpi/%.o: src/mpi/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(MPI_COMPILE) $(WARNINGS) -Iinclude -Isrc $(CFLAGS) -c -o $@ $<

$(LIB)/libbsq-mpi.a: $(MPI_OBJECTS)
	@mkdir -p $(@D)
	@rm -f $@
	$(call say,AR)
	$(Q)$(AR) rcs $@ $(MPI_OBJECTS)

$(MPI_SHARED): $(MPI_OBJECTS) src/bsq_mpi.map src/ABI $(LINK)
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(MPI_CC) -shared -pthread $(CFLAGS) $(LDFLAGS) -Wl,-soname,libbsq-mpi.so.$(ABI) \
	    -Wl,--version-script=src/bsq_mpi.map $(NO_UNDEFINED) -o $@ $(MPI_OBJECTS) $(LINK)

$(LIB)/libbsq-mpi.so: $(MPI_SHARED)
	@ln -sf $(<F) $@

$(BUILD)/obj/examples/mpi/%.o: examples/mpi/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(MPI_COMPILE) $(WARNINGS) -Iinclude -Iexamples -Iexamples/common $(CFLAGS) -c -o $@ $<

$(BUILD)/examples/%: $(BUILD)/obj/examples/mpi/%.o $(BUILD)/examples/libcommon.a $(LIB)/libbsq-mpi.so $(LINK)
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(MPI_CC) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $^ $(RUN_PATH) -lm

# ---- tests and measurements -----------------------------------------------------------------------------------

$(BUILD)/obj/test/mpi/%.o: test/mpi/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(MPI_COMPILE) $(TEST_WARNINGS) -Iinclude -Itest -Iexamples/common $(CFLAGS) -c -o $@ $<

MPI_TESTS := $(if $(MPICC),$(BUILD)/test/mpi_ranks $(BUILD)/test/mpi_bench)

$(BUILD)/test/mpi_%: $(BUILD)/obj/test/mpi/%.o $(BUILD)/obj/test/mpi/kinds.o $(BUILD)/examples/libcommon.a $(LIB)/libbsq-mpi.so $(LINK)
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(MPI_CC) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $^ $(RUN_PATH) -lm

TOLD += MPIRUN='$(MPIRUN)' MPICC='$(MPICC)'

.PHONY: check-mpi bench-mpi
check-mpi: mpi $(MPI_TESTS)
	@$(TOLD) $(RUNNER) test/mpi.sh

check: $(MPI_TESTS)

bench-mpi: mpi $(MPI_TESTS)
	$(if $(MPICC),$(PYTHON) test/bench/mpi.py $(BUILD)/test/mpi_bench $(MPIRUN))
