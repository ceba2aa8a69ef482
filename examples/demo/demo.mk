# The demo: a small network in one program, before and after.

DEMO_SOURCES := $(wildcard examples/demo/*.c)
DEMO_OBJECTS := $(call objects,$(DEMO_SOURCES))
DEMO := $(if $(DEMO_SOURCES),$(BUILD)/examples/demo)

programs: $(DEMO)

$(BUILD)/examples/demo: $(DEMO_OBJECTS) $(BUILD)/examples/libcommon.a $(LINK)
	$(call say,LINK)
	$(Q)$(CC) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $^ $(RUN_PATH) -lm

.PHONY: demo
# The library's threads do the work; more of OpenBLAS's own would only be in their way (docs/embedding.md).
demo: $(DEMO)
	OPENBLAS_NUM_THREADS=1 $(DEMO) examples/demo/weights
