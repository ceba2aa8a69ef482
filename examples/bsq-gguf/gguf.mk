# bsq-gguf and its tests.

GGUF_SOURCES := $(wildcard examples/bsq-gguf/*.cpp examples/bsq-gguf/*/*.cpp)
GGUF_OBJECTS := $(patsubst %.cpp,$(BUILD)/obj/%.o,$(GGUF_SOURCES))
GGUF_PARTS := $(filter-out %/bsq-gguf/main.o,$(GGUF_OBJECTS))
GGUF_TOOL := $(if $(wildcard examples/bsq-gguf/main.cpp),$(BUILD)/bin/bsq-gguf)
GGUF_CHECK_SOURCES := $(wildcard test/bsq-gguf/check_*.cpp)
GGUF_PROGRAM_SOURCES := $(GGUF_CHECK_SOURCES) $(addprefix test/bsq-gguf/,judge.cpp random_model.cpp)
GGUF_SUPPORT_SOURCES := $(filter-out $(GGUF_PROGRAM_SOURCES),$(wildcard test/bsq-gguf/*.cpp))
GGUF_CHECKS := $(patsubst test/bsq-gguf/%.cpp,$(BUILD)/test/bsq-gguf/%,$(GGUF_CHECK_SOURCES))
GGUF_PROGRAMS := $(patsubst test/bsq-gguf/%.cpp,$(BUILD)/test/bsq-gguf/%,$(GGUF_PROGRAM_SOURCES))
GGUF_SCRIPTS := $(wildcard test/bsq-gguf/*.sh)
GGUF_INCLUDES := -Iinclude -Iexamples -Iexamples/bsq-gguf -Iexamples/common

programs: $(GGUF_TOOL)

$(BUILD)/obj/examples/bsq-gguf/%.o: examples/bsq-gguf/%.cpp $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CXX)
	$(Q)$(CXX) $(NEEDED_CXX) -O2 $(CPPFLAGS) $(WARNINGS) $(GGUF_INCLUDES) $(BLAS_CFLAGS) $(CFLAGS) -c -o $@ $<

$(BUILD)/examples/libbsq-gguf.a: $(GGUF_PARTS)
	@mkdir -p $(@D)
	@rm -f $@
	@$(AR) rcs $@ $^

# Carries the library in itself, as bsq-layer does.
$(BUILD)/bin/bsq-gguf: $(BUILD)/obj/examples/bsq-gguf/main.o $(BUILD)/examples/libbsq-gguf.a $(TOOL_LIBRARY) \
        $(BUILD)/examples/libcommon.a $(STATIC)
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CXX) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $^ $(BLAS_LIBS) -lm

# ---- tests ----------------------------------------------------------------------------------------------------

$(BUILD)/obj/test/bsq-gguf/%.o: test/bsq-gguf/%.cpp $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CXX)
	$(Q)$(CXX) $(NEEDED_CXX) -O2 $(CPPFLAGS) $(TEST_WARNINGS) $(GGUF_INCLUDES) -Itest -Itest/bsq-gguf $(BLAS_CFLAGS) \
	    $(CHECK_CFLAGS) $(CFLAGS) -c -o $@ $<

$(BUILD)/test/bsq-gguf/libsupport.a: $(patsubst %.cpp,$(BUILD)/obj/%.o,$(GGUF_SUPPORT_SOURCES))
	@mkdir -p $(@D)
	@rm -f $@
	@$(AR) rcs $@ $^

$(GGUF_CHECKS): $(CHECK_MAIN)
$(GGUF_PROGRAMS): $(BUILD)/test/bsq-gguf/%: $(BUILD)/obj/test/bsq-gguf/%.o $(BUILD)/test/bsq-gguf/libsupport.a \
        $(BUILD)/examples/libbsq-gguf.a $(TOOL_LIBRARY) $(TEST_LIBRARIES) $(STATIC)
	$(call say,LINK)
	$(Q)$(CXX) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o %.a,$^) $(CHECK_LIBS) $(BLAS_LIBS) -lm -ldl
