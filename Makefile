# SPDX-License-Identifier: GPL-2.0
#
# What a person types.  Inside a kernel tree kbuild reads Kbuild and not this file.

.DEFAULT_GOAL := help
.PHONY: help demo demo-removal demo-virtiofs check check-debug kernel deb lint bench bench-virtiofs series clean

help:
	@echo 'rdax: the Linux DAX error-handling stack in Rust'
	@echo
	@echo '  make demo         boot the kernel under QEMU and see poison handled'
	@echo '  make demo KERNEL=c  the same story with the C driver, for comparison'
	@echo '  make demo-removal   an NVDIMM is taken away under a mounted XFS; KERNEL=c, too'
	@echo '  make demo-virtiofs  a directory of the host through a DAX window (KERNEL=c)'
	@echo '  make check        lint, host tests, both kernels, guest tests'
	@echo '  make check-debug  the guest tests with KASAN, lockdep and kmemleak'
	@echo '  make kernel       build the patched kernel; prints where it is'
	@echo '  make deb          the same as Debian packages for a real machine, in ./deb'
	@echo '  make lint         rustfmt, clippy, checkpatch, shellcheck'
	@echo '  make bench        Rust against C, in exact guest instructions'
	@echo '  make bench-virtiofs  the virtio-fs window: Rust, C, and no window'
	@echo '  make series       the whole stack as a mailbox of patches, in rdax.mbox'
	@echo '  make clean        remove the kernel builds from the cache'
	@echo
	@echo 'As root.  Everything is kept in $${RDAX_CACHE:-~/.cache/rdax}; the first run'
	@echo 'downloads a Debian root and builds a kernel in it.'

demo:
	@scripts/demo $(KERNEL)

demo-removal:
	@scripts/demo --removal $(KERNEL)

demo-virtiofs:
	@scripts/demo-virtiofs $(KERNEL)

check:
	@scripts/check

check-debug:
	@scripts/check --debug

kernel:
	@scripts/build rust

deb:
	@scripts/deb $(DEB)

lint:
	@scripts/lint

bench:
	@tools/testing/bench/run

bench-virtiofs:
	@tools/testing/bench/virtiofs

series:
	@scripts/series >rdax.mbox.part && mv rdax.mbox.part rdax.mbox && echo rdax.mbox

clean:
	@scripts/clean
