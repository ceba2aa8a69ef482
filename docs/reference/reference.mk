# The reference, made from the comments of bsq.h and what the programs say of themselves: man pages, and HTML by Doxygen.

MAN_SCRIPTS := docs/reference/man.py docs/reference/header.py
MAN_CALLS := $(BUILD)/man/man3/bsq.3
MAN_PROGRAMS := $(PROGRAMS:$(BUILD)/bin/%=$(BUILD)/man/man1/%.1)

.PHONY: man docs install-man install-man-onnx uninstall-man
man: $(MAN_CALLS) $(MAN_PROGRAMS)

$(MAN_CALLS): include/bsq.h $(MAN_SCRIPTS)
	@rm -rf $(@D)
	$(call say,MAN)
	$(Q)PYTHONDONTWRITEBYTECODE=1 $(PYTHON) docs/reference/man.py calls include/bsq.h $(@D) $(VERSION)

# Of libbsq-mpi, installed with it.
MPI_MAN_CALLS := $(if $(MPICC),$(BUILD)/man/mpi/man3/bsq_mpi.3)
man: $(MPI_MAN_CALLS)

$(BUILD)/man/mpi/man3/bsq_mpi.3: include/bsq_mpi.h $(MAN_SCRIPTS)
	@rm -rf $(@D)
	$(call say,MAN)
	$(Q)PYTHONDONTWRITEBYTECODE=1 $(PYTHON) docs/reference/man.py calls include/bsq_mpi.h $(@D) $(VERSION)

.PHONY: install-man-mpi
install-man-mpi: $(MPI_MAN_CALLS)
	$(INSTALL) -d $(TO)$(mandir)/man3
	$(INSTALL) -m 644 $(BUILD)/man/mpi/man3/*.3 $(TO)$(mandir)/man3

# A cross build cannot run its programs: EXEC='qemu-aarch64-static -L ROOT', or MAN_PROGRAMS= to leave these pages out.
$(BUILD)/man/man1/%.1: docs/reference/%.1.in $(BUILD)/bin/% $(MAN_SCRIPTS)
	@mkdir -p $(@D)
	$(call say,MAN)
	$(Q)$(EXEC) $(BUILD)/bin/$* --help > $@.help
	$(Q)PYTHONDONTWRITEBYTECODE=1 $(PYTHON) docs/reference/man.py program $< $@ $(VERSION) < $@.help
	@rm $@.help

# Packed pages, or pages that stand as they are, are the choice of who makes packages.
install-man:
	@if command -v $(PYTHON) >/dev/null; then $(MAKE) --no-print-directory install-man-pages; \
	else echo "man pages: left out, there is no $(PYTHON)"; fi

.PHONY: install-man-pages
install-man-pages: man
	$(INSTALL) -d $(TO)$(mandir)/man1 $(TO)$(mandir)/man3
	$(if $(MAN_PROGRAMS),$(INSTALL) -m 644 $(MAN_PROGRAMS) $(TO)$(mandir)/man1)
	$(INSTALL) -m 644 $(BUILD)/man/man3/*.3 $(TO)$(mandir)/man3

install-man-onnx: $(BUILD)/man/man1/bsq-onnx.1
	$(INSTALL) -d $(TO)$(mandir)/man1
	$(INSTALL) -m 644 $< $(TO)$(mandir)/man1

uninstall-man:
	rm -f $(addprefix $(TO)$(mandir)/man1/,bsq-layer.1 bsq-gguf.1 bsq-onnx.1) $(TO)$(mandir)/man3/bsq.3 \
	    $(TO)$(mandir)/man3/bsq_*.3

# Any warning is an error.
docs:
	@command -v doxygen >/dev/null || { echo "docs: doxygen is not here (make deps-packages)"; exit 1; }
	@rm -rf build/docs
	@mkdir -p build/docs
	$(call say,DOC,build/docs/index.html)
	$(Q){ cat docs/reference/Doxyfile; echo 'PROJECT_NUMBER = $(VERSION)'; echo 'OUTPUT_DIRECTORY = build/docs'; } | \
	    PYTHONDONTWRITEBYTECODE=1 PYTHON='$(PYTHON)' doxygen -
