# What the programs in C++ share: progress, files, work folders, activations on disk, HTML.

TOOL_CXX_SOURCES := $(wildcard examples/tool/*.cpp)

$(BUILD)/obj/examples/tool/%.o: examples/tool/%.cpp $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CXX)
	$(Q)$(CXX) $(NEEDED_CXX) -O2 $(CPPFLAGS) $(WARNINGS) -Iinclude -Iexamples $(CFLAGS) -c -o $@ $<

$(TOOL_LIBRARY): $(patsubst %.cpp,$(BUILD)/obj/%.o,$(TOOL_CXX_SOURCES))
	@mkdir -p $(@D)
	@rm -f $@
	@$(AR) rcs $@ $^
