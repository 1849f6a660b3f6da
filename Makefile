# SPDX-License-Identifier: GPL-2.0
#
# What a person types.  Inside a kernel tree kbuild reads Kbuild and not this file.

.DEFAULT_GOAL := help
.PHONY: help demo demo-removal demo-layers demo-virtiofs check check-debug check-c check-fixed check-all check-suites kernel deb lint bench bench-virtiofs series series-build clean

help:
	@echo 'rdax: the Linux DAX error-handling stack in Rust'
	@echo
	@echo '  make demo         boot the kernel under QEMU and see poison handled'
	@echo '  make demo KERNEL=c  the same story with the C driver, for comparison'
	@echo '  make demo-removal   an NVDIMM is taken away under a mounted XFS; KERNEL=c, too'
	@echo '  make demo-layers    XFS on volumes over two NVDIMMs: a page fails, one goes away'
	@echo '  make demo-virtiofs  a directory of the host through a DAX window (KERNEL=c)'
	@echo '  make check        lint, host tests, guest tests on rust and some on debug'
	@echo '  make check-debug  all guest tests with KASAN, lockdep and kmemleak'
	@echo '  make check-c      the guest tests on plain C, for comparison; kept for make check'
	@echo '  make check-fixed  those that C passes with the fixes of patches/ alone'
	@echo '  make check-all    all of these, make doctests, the combinations of switches'
	@echo '  make check-suites suites of others: ndctl; XFSTESTS=DIR for a built xfstests'
	@echo '  make kernel       build the patched kernel; prints where it is'
	@echo '  make deb          the same as Debian packages for a real machine, in ./deb'
	@echo '  make lint         rustfmt, clippy, rustdoc, checkpatch, shellcheck'
	@echo '  make doctests     the examples in comments of rust/kernel, as a KUnit suite'
	@echo '  make htmldocs     the documents as pages of the kernel, and where they are'
	@echo '  make bench        Rust against C, in exact guest instructions'
	@echo '  make bench-virtiofs  the virtio-fs window: Rust, C, and no window'
	@echo '  make series       the whole stack as a mailbox of patches, in rdax.mbox'
	@echo '  make series-build  does each of these patches build and boot?'
	@echo '  make clean        remove what was built from the cache'
	@echo
	@echo 'As root.  The first run downloads a Debian root and builds a kernel in it.'
	@echo
	@echo 'Variables, on the command line or in the environment:'
	@echo '  KERNEL=c          for the demos: plain C instead of rdax'
	@echo '  RDAX_CACHE=DIR    where all of that is kept; ~/.cache/rdax'
	@echo '  SYSROOT=/         the tools of this machine (Debian trixie or later), without root'
	@echo '  KERNEL_SRC=DIR    a Linux 7.3 tree to start from; it is copied, never changed'
	@echo '  KERNEL_TARBALL=FILE   the same from linux-7.3.4.tar.xz, sha256sums.asc beside it'
	@echo '  RDAX_JOBS=N       compilers at a time; one for each processor'
	@echo '  RDAX_TEST_JOBS=N  processors of test guests at a time; as many as there are'
	@echo '  RDAX_CPUS=N       processors of each test guest; otherwise what its tests ask for'
	@echo '  RDAX_ROUNDS=N     rounds of the tests that go round and round'
	@echo '  RDAX_ACCEL=kvm    KVM for the guests, where it works'
	@echo '  XFSTESTS=DIR      for check-suites: a tree of xfstests that is built'
	@echo '  BASE=TREE         for series: the kernel that it is for; the one of the cache'
	@echo '  SIGNOFF="NAME <MAIL>"   for series: signs each patch off, as its author'
	@echo '  STEPS=FIRST-LAST  for series-build: only these'
	@echo '  DEB=DIR           for deb: where the packages go; ./deb'

demo:
	@scripts/demo $(KERNEL)

demo-removal:
	@scripts/demo --removal $(KERNEL)

demo-layers:
	@scripts/demo --layers $(KERNEL)

demo-virtiofs:
	@scripts/demo-virtiofs $(KERNEL)

check:
	@scripts/check

check-debug:
	@scripts/check --debug

check-c:
	@scripts/check --c

check-fixed:
	@scripts/check --fixed

check-all:
	@scripts/check --all

check-suites:
	@XFSTESTS=$(XFSTESTS) scripts/check --suites

kernel:
	@scripts/build rust

deb:
	@scripts/deb $(DEB)

lint:
	@scripts/lint

.PHONY: doctests
doctests:
	@scripts/doctests

.PHONY: htmldocs
htmldocs:
	@scripts/htmldocs

bench:
	@tools/testing/bench/run

bench-virtiofs:
	@tools/testing/bench/virtiofs

series:
	@scripts/series $(if $(SIGNOFF),--signoff "$(SIGNOFF)") $(BASE) >rdax.mbox.part && mv rdax.mbox.part rdax.mbox && echo rdax.mbox

series-build:
	@scripts/series-build $(STEPS)

clean:
	@scripts/clean
