# Tests of what is installed and packaged, and the packages that they need. Those that take long are part of check-long.

SCRIPTS += test/packages/consumers.sh test/packages/manual.sh test/packages/recipes.sh
PACKAGES_PACKAGES := cmake meson ninja-build doxygen man-db debhelper dh-python lintian dpkg-dev fakeroot python3-setuptools \
    python3-wheel golang-go rustc

.PHONY: check-packages check-consumers check-manual check-recipes check-bindings check-dist check-deb
check-packages: all
	@$(TOLD) $(RUNNER)/packages $(addprefix test/packages/,consumers.sh manual.sh recipes.sh bindings.sh dist.sh deb.sh)

check-consumers check-manual check-recipes check-bindings check-dist check-deb: check-%: all
	@$(TOLD) test/packages/$*.sh
