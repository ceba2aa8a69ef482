# bsq-layer: one layer from .npy files.

TOOL_SOURCES := $(wildcard examples/bsq-layer/*.c)
TOOL := $(if $(TOOL_SOURCES),$(BUILD)/bin/bsq-layer)

programs: $(TOOL)

# The tool as it is installed carries the library in itself, so it runs from wherever it is put.
$(BUILD)/bin/bsq-layer: $(call objects,$(TOOL_SOURCES)) $(BUILD)/examples/libcommon.a $(STATIC)
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $^ $(BLAS_LIBS) -lm
