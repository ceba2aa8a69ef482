# Source archives, and packages from them.

DIST := build/dist/libbsq-$(VERSION).tar.gz

.PHONY: dist deb
# What git knows at HEAD, nothing else: the same commit gives the same bytes on every machine.
dist:
	@git rev-parse --is-inside-work-tree >/dev/null 2>&1 || { echo "dist: this is no git work tree"; exit 1; }
	@git diff --quiet HEAD || echo "dist: changes that are not committed are left out"
	@mkdir -p $(dir $(DIST))
	$(call say,DIST,$(DIST))
	$(Q)git -c tar.umask=0022 archive --format=tar --prefix=libbsq-$(VERSION)/ HEAD > $(DIST:.gz=)
	$(Q)gzip -9 -n -f $(DIST:.gz=)

# Debian packages in build/deb, from that archive.
deb: dist
	@command -v dpkg-buildpackage >/dev/null || { echo "deb: dpkg-buildpackage is not here (make deps-packages)"; exit 1; }
	docs/packaging/deb $(DIST) build/deb
