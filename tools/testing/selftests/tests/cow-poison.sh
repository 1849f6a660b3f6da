# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Memory that is bad without anybody knowing, and is met by the first write to a private
# mapping, for which the kernel copies the page: SIGBUS, and neither the machine nor anything
# else is lost.  C oopses there.
#
# expect: rust pass, c crash:copy_cow_page_dax|dax_fault_cow_page|dax_fault_iter, fixed pass
# c-sign: quick

. "$(dirname "$0")/../lib.sh"
plan 6

namespace
xfs
f=$mnt/file
poison fill "$f" 0 8 3
sync
phys=$(poison phys "$f" 5)
modprobe dax_hide "phys=$phys" || bail "modprobe dax_hide"
matches "the first write to a private mapping" "1 SIGBUS code=MCEERR_AR lsb=12 offset=0x5000" \
	"$(echo write | mappers 1 unread 5 "$f" | tail -n 1)"
equal "of another page" "1 byte 0x74" "$(echo write | mappers 1 unread 4 "$f" | tail -n 1)"
equal "it is not read either" EIO "$(poison pread "$f" $((5 * 4096)) 4096)"
rmmod dax_hide
equal "when it is good, it is what it was" same "$(poison verify "$f" 0 8 3)"
equal "and the write succeeds" "1 byte 0x74" "$(echo write | mappers 1 unread 5 "$f" | tail -n 1)"
equal "of which the file has nothing" same "$(poison verify "$f" 0 8 3)"
finish
