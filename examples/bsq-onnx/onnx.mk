# bsq-onnx and its tests.

ONNX_SOURCES := $(wildcard $(addsuffix .cpp,$(addprefix examples/bsq-onnx/,* */* judge/tasks/*)))
ONNX_CHECK_SOURCES := $(wildcard test/bsq-onnx/check_*.cpp)
ONNX_PROGRAM_SOURCES := $(ONNX_CHECK_SOURCES) $(wildcard $(addprefix test/bsq-onnx/,roundtrip.cpp in_engine.cpp bench_engines.cpp bench_transformers.cpp))
ONNX_SUPPORT_SOURCES := $(filter-out $(ONNX_PROGRAM_SOURCES),$(wildcard test/bsq-onnx/*.cpp))
ONNX_SCRIPTS := $(wildcard test/bsq-onnx/*.sh)

# C++, and built where OpenCV, protobuf, libzip and ONNX are. That is looked at when a recipe runs, by a second make, so that
# `make deps-onnx all` works.
ONNX_OBJECTS := $(patsubst %.cpp,$(BUILD)/obj/%.o,$(ONNX_SOURCES))
ONNX_PARTS := $(filter-out %/bsq-onnx/main.o,$(ONNX_OBJECTS))
ONNX_TOOL := $(if $(wildcard examples/bsq-onnx/main.cpp),$(BUILD)/examples/bsq-onnx)
ONNX_CHECKS := $(patsubst test/bsq-onnx/%.cpp,$(BUILD)/test/bsq-onnx/%,$(ONNX_CHECK_SOURCES))
ONNX_PROGRAMS := $(patsubst test/bsq-onnx/%.cpp,$(BUILD)/test/bsq-onnx/%,$(ONNX_PROGRAM_SOURCES))
ONNX_DEFINES := -DONNX_ML=1 -DONNX_NAMESPACE=onnx
ONNX_CFLAGS = $(ONNX_DEFINES) $(patsubst -I%,-isystem %,$(shell $(PKG_CONFIG) --cflags opencv4 protobuf libzip))
ONNX_LIBS = $(shell $(PKG_CONFIG) --libs-only-L opencv4 protobuf libzip) -lonnx -lonnx_proto -lopencv_dnn -lopencv_imgcodecs \
    -lopencv_imgproc -lopencv_core -lprotobuf -lzip -ldl
# What is missing, or nothing.
onnx_missing = if ! $(PKG_CONFIG) --exists opencv4; then echo OpenCV; \
    elif ! $(PKG_CONFIG) --exists protobuf; then echo protobuf; \
    elif ! $(PKG_CONFIG) --exists libzip; then echo libzip; \
    elif ! echo '\#include <onnx/onnx_pb.h>' | $(CXX) $(ONNX_DEFINES) -x c++ -fsyntax-only - 2>/dev/null; then \
        echo ONNX; fi
BUILD_ONNX = missing=$$($(onnx_missing)); \
    if [ -z "$$missing" ]; then $(MAKE) --no-print-directory $(1); \
    else echo "$(2): left out, $$missing is not here (make deps-onnx)"; fi

programs: onnx

.PHONY: onnx onnx-parts onnx-checks check-onnx
onnx: $(LINK) $(BUILD)/examples/libcommon.a
	$(if $(ONNX_SOURCES),+@$(call BUILD_ONNX,onnx-parts,bsq-onnx))

onnx-parts: $(BUILD)/examples/libbsq-onnx.a $(ONNX_TOOL)

$(BUILD)/obj/examples/bsq-onnx/%.o: examples/bsq-onnx/%.cpp $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CXX)
	$(Q)$(CXX) $(NEEDED_CXX) -O2 $(CPPFLAGS) $(WARNINGS) -Iinclude -Iexamples -Iexamples/bsq-onnx -Iexamples/common $(ONNX_CFLAGS) $(CFLAGS) \
	    -c -o $@ $<

$(BUILD)/examples/libbsq-onnx.a: $(ONNX_PARTS)
	@mkdir -p $(@D)
	@rm -f $@
	@$(AR) rcs $@ $^

$(BUILD)/examples/bsq-onnx: $(BUILD)/obj/examples/bsq-onnx/main.o $(BUILD)/examples/libbsq-onnx.a \
        $(TOOL_LIBRARY) $(BUILD)/examples/libcommon.a $(LINK)
	$(call say,LINK)
	$(Q)$(CXX) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $^ $(RUN_PATH) $(ONNX_LIBS) -lm

# As it is installed: with the library in itself.
$(BUILD)/bin/bsq-onnx: $(BUILD)/obj/examples/bsq-onnx/main.o $(BUILD)/examples/libbsq-onnx.a $(TOOL_LIBRARY) \
        $(BUILD)/examples/libcommon.a $(STATIC)
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CXX) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $^ $(BLAS_LIBS) $(ONNX_LIBS) -lm

$(BUILD)/obj/test/bsq-onnx/%.o: test/bsq-onnx/%.cpp $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CXX)
	$(Q)$(CXX) $(NEEDED_CXX) -O1 $(CPPFLAGS) $(TEST_WARNINGS) -Iinclude -Iexamples -Iexamples/bsq-onnx -Iexamples/common -Itest \
	    $(ONNX_CFLAGS) $(CHECK_CFLAGS) $(CFLAGS) -c -o $@ $<

$(BUILD)/test/bsq-onnx/libsupport.a: $(patsubst %.cpp,$(BUILD)/obj/%.o,$(ONNX_SUPPORT_SOURCES))
	@mkdir -p $(@D)
	@rm -f $@
	@$(AR) rcs $@ $^

$(ONNX_CHECKS): $(CHECK_MAIN)
$(ONNX_PROGRAMS): $(BUILD)/test/bsq-onnx/%: $(BUILD)/obj/test/bsq-onnx/%.o $(BUILD)/test/bsq-onnx/libsupport.a \
        $(BUILD)/examples/libbsq-onnx.a $(TOOL_LIBRARY) $(TEST_LIBRARIES) $(LINK)
	$(call say,LINK)
	$(Q)$(CXX) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o %.a %.so,$^) $(RUN_PATH) $(CHECK_LIBS) $(MORE_LIBS) $(ONNX_LIBS) -lm

# It runs GPTQ beside the library.
$(BUILD)/test/bsq-onnx/bench_transformers: MORE_LIBS = $(BLAS_LIBS)
$(BUILD)/test/bsq-onnx/bench_transformers: $(BUILD)/bench/libbench.a

# The tests of bsq-onnx alone.
check-onnx: onnx $(TEST_LIBRARIES)
	+@$(call BUILD_ONNX,onnx-checks,check-onnx)

# The first takes as long as all others: with -j they run side by side, each in folders of its own.
.PHONY: onnx-program onnx-others
onnx-checks: onnx-program onnx-others
onnx-program: $(ONNX_PROGRAMS)
	@$(TOLD) $(RUNNER)/bsq-onnx test/bsq-onnx/bsq-onnx.sh
onnx-others: $(ONNX_PROGRAMS)
	@$(TOLD) $(RUNNER)/bsq-onnx-others $(filter-out %/bsq-onnx.sh,$(ONNX_SCRIPTS)) $(ONNX_CHECKS)
