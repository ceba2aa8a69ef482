# Tests of what is installed and packaged. Those that take long are part of check-long.

PACKAGES_SHORT := consumers manual recipes
PACKAGES_LONG := bindings dist deb
SCRIPTS += $(PACKAGES_SHORT:%=test/packages/%.sh)

.PHONY: check-packages $(addprefix check-,$(PACKAGES_SHORT) $(PACKAGES_LONG))
check-packages: all
	@$(TOLD) $(RUNNER)/packages $(PACKAGES_LONG:%=test/packages/%.sh)

$(addprefix check-,$(PACKAGES_SHORT) $(PACKAGES_LONG)): check-%: all
	@$(TOLD) test/packages/$*.sh
