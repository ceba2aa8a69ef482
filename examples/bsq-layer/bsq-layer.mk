# bsq-layer: one layer from .npy files.

TOOL_SOURCES := $(wildcard examples/bsq-layer/*.c)
TOOL := $(if $(TOOL_SOURCES),$(BUILD)/bin/bsq-layer)

programs: $(TOOL)

# The tool as it is installed carries the library in itself, so it runs from wherever it is put.
$(BUILD)/bin/bsq-layer: $(call objects,$(TOOL_SOURCES)) $(BUILD)/examples/libcommon.a $(STATIC)
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $^ $(BLAS_LIBS) -lm

# The same program for ranks of MPI, where there is libbsq-mpi: what ranks share out is another file.
MPI_TOOL_SOURCES := $(filter-out %/alone.c,$(TOOL_SOURCES)) $(wildcard examples/bsq-layer/mpi/*.c)
MPI_TOOL := $(if $(MPICC),$(BUILD)/bin/bsq-layer-mpi)

programs: $(MPI_TOOL)

$(BUILD)/obj/examples/bsq-layer/mpi/%.o: examples/bsq-layer/mpi/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(MPI_COMPILE) $(WARNINGS) -Iinclude -Iexamples -Iexamples/common $(CFLAGS) -c -o $@ $<

$(BUILD)/bin/bsq-layer-mpi: $(call objects,$(MPI_TOOL_SOURCES)) $(BUILD)/examples/libcommon.a $(LIB)/libbsq-mpi.a $(STATIC)
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(MPI_CC) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $^ $(BLAS_LIBS) -lm
