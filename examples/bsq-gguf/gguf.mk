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
GGUF_FUZZER := $(BUILD)/fuzz/fuzz_gguf
# Not our headers, so not our warnings.
GGUF_BLAS_CFLAGS = $(patsubst -I%,-isystem %,$(BLAS_CFLAGS))
GGUF_INCLUDES := -Iinclude -Iexamples -Iexamples/bsq-gguf -Iexamples/common

programs: $(GGUF_TOOL)

$(BUILD)/obj/examples/bsq-gguf/%.o: examples/bsq-gguf/%.cpp $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CXX)
	$(Q)$(CXX) $(NEEDED_CXX) -O2 $(CPPFLAGS) $(WARNINGS) $(GGUF_INCLUDES) $(GGUF_BLAS_CFLAGS) $(CFLAGS) -c -o $@ $<

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
	$(Q)$(CXX) $(NEEDED_CXX) -O2 $(CPPFLAGS) $(TEST_WARNINGS) $(GGUF_INCLUDES) -Itest -Itest/bsq-gguf $(GGUF_BLAS_CFLAGS) \
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

$(BUILD)/obj/test/fuzz/fuzz_gguf.o: test/fuzz/fuzz_gguf.cpp $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CXX)
	$(Q)$(CXX) $(NEEDED_CXX) -O1 $(CPPFLAGS) $(TEST_WARNINGS) $(GGUF_INCLUDES) $(CFLAGS) -c -o $@ $<

$(GGUF_FUZZER): $(BUILD)/fuzz/%: $(BUILD)/obj/test/fuzz/%.o $(filter %.o,$(or $(FUZZ_ENGINE),$(call objects,test/fuzz/driver.c))) \
        $(BUILD)/examples/libbsq-gguf.a $(TOOL_LIBRARY) $(BUILD)/examples/libcommon.a $(STATIC)
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CXX) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o %.a,$^) $(filter-out %.o,$(FUZZ_ENGINE)) $(BLAS_LIBS) -lm

# The one that needs llama.cpp runs with the other engines' tests.
GGUF_ENGINE_PROGRAMS := $(addprefix $(BUILD)/test/bsq-gguf/,check_engine judge)
SCRIPTS += test/bsq-gguf/bsq-gguf.sh
ENGINE_SCRIPTS += test/bsq-gguf/engine.sh
GGUF_OWN_CHECKS := $(filter-out %/check_engine,$(GGUF_CHECKS))
check check-programs: $(GGUF_PROGRAMS)
check-engines: $(GGUF_ENGINE_PROGRAMS) $(GGUF_TOOL)

# The tests of bsq-gguf alone.
.PHONY: check-gguf
check-gguf: $(GGUF_PROGRAMS) $(GGUF_TOOL)
	@$(TOLD) $(RUNNER)/bsq-gguf test/bsq-gguf/bsq-gguf.sh $(GGUF_OWN_CHECKS)

# ---- measurements ---------------------------------------------------------------------------------------------

# ONLY=Q4_0,Q4_K: these types alone; zero-points: the table of these. EFFORT=1: less work. About an hour for all at the default effort.
BENCH_FORMATS := $(BUILD)/bench/bench_formats
$(BUILD)/obj/test/bench/bench_formats.o: test/bench/bench_formats.cpp $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CXX)
	$(Q)$(CXX) $(NEEDED_CXX) -O2 $(CPPFLAGS) $(TEST_WARNINGS) $(GGUF_INCLUDES) -Itest/bsq-gguf -Itest/bench $(GGUF_BLAS_CFLAGS) $(CFLAGS) -c -o $@ $<

$(BENCH_FORMATS): $(BUILD)/obj/test/bench/bench_formats.o $(BUILD)/test/bsq-gguf/libsupport.a \
        $(BUILD)/examples/libbsq-gguf.a $(TOOL_LIBRARY) $(BUILD)/bench/libbench.a $(BUILD)/examples/libcommon.a $(STATIC)
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CXX) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o %.a,$^) $(CHECK_LIBS) $(BLAS_LIBS) -lm -ldl

.PHONY: bench-formats
bench-formats: $(BENCH_FORMATS) $(GGUF_TOOL)
	@mkdir -p $(BUILD)/bench/formats
	@if [ ! -e $(LLAMA_LIBRARIES)/libggml-base.so ]; then echo 'bench-formats: llama.cpp is not here (make deps-engines)'; \
	elif [ ! -d $(SHARED_DATA)/text ]; then echo 'bench-formats: there is no $(SHARED_DATA)/text'; \
	else $(BENCH_FORMATS) $(LLAMA_LIBRARIES) $(GGUF_TOOL) $(SHARED_DATA) $(BUILD)/bench/formats \
	    $(if $(ONLY),--types $(ONLY)) $(if $(EFFORT),--effort $(EFFORT)); fi
