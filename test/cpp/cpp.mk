# bsq.hpp: its tests, in two language versions, its examples and its bench.

CPP_CHECKS := $(BUILD)/test/check_cpp17 $(BUILD)/test/check_cpp20
CPP_EXAMPLES := $(patsubst examples/cpp/%.cpp,$(BUILD)/examples/cpp/%,$(wildcard examples/cpp/*.cpp))
COMPILE_CXX = $(CXX) $(SHARED_FLAGS) -O2 $(CPPFLAGS) $(WARNINGS) -Iinclude -Iexamples $(CFLAGS)

CHECKS += $(CPP_CHECKS)
SCRIPTS += test/cpp/header.sh
check check-programs: $(CPP_CHECKS)
programs: $(CPP_EXAMPLES)

$(CPP_CHECKS:$(BUILD)/test/check_cpp%=$(BUILD)/obj/test/cpp/check_%.o): $(BUILD)/obj/test/cpp/check_%.o: \
        test/cpp/check_cpp.cpp $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CXX)
	$(Q)$(CXX) -std=c++$* $(SHARED_FLAGS) -O1 $(CPPFLAGS) $(TEST_WARNINGS) -Iinclude -Itest $(CHECK_CFLAGS) $(CFLAGS) -c -o $@ $<

$(CPP_CHECKS): $(BUILD)/test/check_cpp%: $(BUILD)/obj/test/cpp/check_%.o $(CHECK_MAIN) $(TEST_LIBRARIES) $(LINK)
	$(call say,LINK)
	$(Q)$(CXX) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o %.a %.so,$^) $(RUN_PATH) $(CHECK_LIBS) -lm

$(BUILD)/obj/examples/cpp/%.o: examples/cpp/%.cpp $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CXX)
	$(Q)$(COMPILE_CXX) -std=c++20 -c -o $@ $<

$(CPP_EXAMPLES): $(BUILD)/examples/cpp/%: $(BUILD)/obj/examples/cpp/%.o $(BUILD)/examples/libcommon.a $(LINK)
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CXX) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $^ $(RUN_PATH) -lm

$(BUILD)/bench/bench_cpp: test/cpp/bench_cpp.cpp include/bsq.hpp $(BUILD)/examples/libcommon.a $(LINK)
	@mkdir -p $(@D)
	$(call say,CXX)
	$(Q)$(COMPILE_CXX) -std=c++17 $(LDFLAGS) -o $@ $< $(BUILD)/examples/libcommon.a $(LINK) $(RUN_PATH) -lm

.PHONY: bench-cpp
bench-cpp: export OPENBLAS_NUM_THREADS := 1
bench-cpp: $(BUILD)/bench/bench_cpp
	$<
