# bsq-layer: one layer from .npy files.

TOOL := $(if $(wildcard examples/bsq-layer.c),$(BUILD)/bin/bsq-layer)

programs: $(TOOL)

# The tool as it is installed carries the library in itself, so it runs from wherever it is put.
$(BUILD)/bin/bsq-layer: $(BUILD)/obj/examples/bsq-layer.o $(BUILD)/examples/libcommon.a $(STATIC)
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $^ $(BLAS_LIBS) -lm
