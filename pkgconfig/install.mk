# What `make install` puts into PREFIX, below DESTDIR, and `make uninstall` takes away.

DOCUMENTS := $(wildcard README.md CHANGELOG.md LICENSE docs/*.md)
TO := $(DESTDIR)

# Debug information is for who works on the library, not for who installs it: INSTALL_DEBUG=1 keeps it, STRIP= too.
STRIP ?= strip
without_debug = $(if $(STRIP),$(if $(INSTALL_DEBUG),,$(STRIP) $(1)))

# The .pc file and the CMake files find the prefix from where they lie, so the tree may be moved; folders elsewhere stay as
# they are.
above = $$(realpath -ms --relative-to=$(1) $(PREFIX))
below = $(patsubst $(PREFIX)/%,$${$(2)}/%,$(1))

# $(call fill,SOURCE,FOLDER,WHERE IT LIES,NAME OF THE PREFIX): a file with the places of this installation in it.
filled = $(TO)$(2)/$(basename $(notdir $(1)))
fill = sed -e 's|@PREFIX@|$${$(3)}/'"$(call above,$(2))"'|' -e 's|@LIBDIR@|$(call below,$(libdir),$(4))|' \
    -e 's|@INCLUDEDIR@|$(call below,$(includedir),$(4))|' -e 's|@ABI@|$(ABI)|g' -e 's|@VERSION@|$(VERSION)|g' $(1) > $(filled) && \
    chmod 644 $(filled)

.PHONY: install install-library install-headers install-static install-shared install-tools install-onnx \
    install-onnx-program install-docs uninstall
install: install-library install-tools install-docs install-man $(if $(wildcard $(ONNX_TOOL)),install-onnx)

install-library: install-static install-shared

install-headers:
	$(INSTALL) -d $(TO)$(includedir) $(TO)$(pkgconfigdir) $(TO)$(cmakedir)
	$(INSTALL) -m 644 include/bsq.h include/bsq.hpp $(TO)$(includedir)
	$(call fill,pkgconfig/bsq.pc.in,$(pkgconfigdir),pcfiledir,prefix)
	$(call fill,pkgconfig/cmake/bsq-config.cmake.in,$(cmakedir),bsq_here,bsq_prefix)
	$(call fill,pkgconfig/cmake/bsq-config-version.cmake.in,$(cmakedir),bsq_here,bsq_prefix)

install-static: $(STATIC) install-headers
	$(INSTALL) -d $(TO)$(libdir)
	$(INSTALL) -m 644 $(STATIC) $(TO)$(libdir)/libbsq.a
	$(call without_debug,--strip-debug $(TO)$(libdir)/libbsq.a)

install-shared: $(LINK) install-headers
	$(INSTALL) -d $(TO)$(libdir)
	$(INSTALL) -m 755 $(SHARED) $(TO)$(libdir)/libbsq.so.$(ABI)
	$(call without_debug,--strip-unneeded $(TO)$(libdir)/libbsq.so.$(ABI))
	ln -sf libbsq.so.$(ABI) $(TO)$(libdir)/libbsq.so

# The programs that need no more than the library does; each carries it in itself.
PROGRAMS := $(TOOL) $(GGUF_TOOL)

install-tools: $(PROGRAMS)
	$(INSTALL) -d $(TO)$(bindir)
	$(INSTALL) -m 755 $(PROGRAMS) $(TO)$(bindir)
	$(call without_debug,$(addprefix $(TO)$(bindir)/,$(notdir $(PROGRAMS))))

# Apart from the others, for it needs OpenCV, protobuf and ONNX: left out, saying so, where they are not.
install-onnx: $(STATIC) $(BUILD)/examples/libcommon.a $(TOOL_LIBRARY)
	+@$(call BUILD_ONNX,install-onnx-program,bsq-onnx)

install-onnx-program: $(BUILD)/bin/bsq-onnx install-man-onnx
	$(INSTALL) -d $(TO)$(bindir)
	$(INSTALL) -m 755 $(BUILD)/bin/bsq-onnx $(TO)$(bindir)/bsq-onnx
	$(call without_debug,$(TO)$(bindir)/bsq-onnx)

# libbsq-mpi and bsq-layer-mpi: left out, saying so, where there is no mpicc.
.PHONY: install-mpi install-mpi-files
install-mpi:
	+@$(if $(MPICC),$(MAKE) --no-print-directory install-mpi-files,echo 'install-mpi: skipped, there is no mpicc (make deps-mpi)')

install-mpi-files: install-man-mpi $(MPI_STATIC) $(MPI_LINK) $(MPI_TOOL)
	$(INSTALL) -d $(TO)$(includedir) $(TO)$(pkgconfigdir) $(TO)$(libdir) $(TO)$(bindir)
	$(INSTALL) -m 644 include/bsq_mpi.h $(TO)$(includedir)
	$(call fill,pkgconfig/bsq-mpi.pc.in,$(pkgconfigdir),pcfiledir,prefix)
	$(INSTALL) -m 644 $(LIB)/libbsq-mpi.a $(TO)$(libdir)/libbsq-mpi.a
	$(INSTALL) -m 755 $(MPI_SHARED) $(TO)$(libdir)/libbsq-mpi.so.$(ABI)
	$(INSTALL) -m 755 $(MPI_TOOL) $(TO)$(bindir)
	$(call without_debug,--strip-debug $(TO)$(libdir)/libbsq-mpi.a)
	$(call without_debug,--strip-unneeded $(TO)$(libdir)/libbsq-mpi.so.$(ABI))
	$(call without_debug,$(TO)$(bindir)/bsq-layer-mpi)
	ln -sf libbsq-mpi.so.$(ABI) $(TO)$(libdir)/libbsq-mpi.so

install-docs:
	$(INSTALL) -d $(TO)$(docdir)
	$(INSTALL) -m 644 $(DOCUMENTS) $(TO)$(docdir)

uninstall: uninstall-man
	rm -f $(TO)$(libdir)/libbsq.a $(TO)$(libdir)/libbsq.so.$(ABI) $(TO)$(libdir)/libbsq.so $(TO)$(includedir)/bsq.h \
	    $(TO)$(includedir)/bsq.hpp $(TO)$(pkgconfigdir)/bsq.pc $(TO)$(cmakedir)/bsq-config.cmake \
	    $(TO)$(cmakedir)/bsq-config-version.cmake $(addprefix $(TO)$(bindir)/,bsq-layer bsq-gguf bsq-onnx) \
	    $(addprefix $(TO)$(docdir)/,$(notdir $(DOCUMENTS))) $(TO)$(includedir)/bsq_mpi.h \
	    $(TO)$(pkgconfigdir)/bsq-mpi.pc $(TO)$(libdir)/libbsq-mpi.a $(TO)$(libdir)/libbsq-mpi.so \
	    $(TO)$(libdir)/libbsq-mpi.so.$(ABI) $(TO)$(bindir)/bsq-layer-mpi
	-rmdir $(TO)$(docdir) $(TO)$(cmakedir) 2>/dev/null
