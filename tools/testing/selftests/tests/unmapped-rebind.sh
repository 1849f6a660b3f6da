# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The kernel has a page of a disk out of its map, because it failed once, when the disk is unbound.
# The memory is good by the time that it is bound again: the page is mapped as any other.  On C it
# stays out of the map, and no mark says so.
#
# expect: rust pass, c fail, fixed pass

. "$(dirname "$0")/../lib.sh"
plan 6

namespace
dd if=/dev/urandom of="$disk" bs=1M count=4 oflag=direct status=none || bail "dd"
at=$((2 * 1048576 + 5 * 4096))
before=$(dd if="$disk" bs=4096 skip=$((at / 4096)) count=1 iflag=direct status=none | sha256sum)
modprobe dax_hide "phys=$(($(data_start) + at))" || bail "modprobe dax_hide"
hidden() {
	cat /sys/module/dax_hide/parameters/hidden
}
equal "the page is out of the map" 1 "$(hidden)"
unbind
check "the disk is gone" test ! -e "/sys/block/$dev"
bind
equal "the disk is back, and knows of nothing" - "$(bad_sectors)"
defect equal "the page is in the map" 0 "$(hidden)"
# Nothing but an oops would come of that.
if [ "$(hidden)" = 1 ]; then
	skip "its contents are there" "the kernel has no map of the page"
	skip "and it is written" "the kernel has no map of the page"
	rmmod dax_hide
	finish
fi
equal "its contents are there" "$before" "$(dd if="$disk" bs=4096 skip=$((at / 4096)) count=1 iflag=direct status=none | sha256sum)"
equal "and it is written" 4096 "$(poison pwrite "$disk" $at 4096 u direct)"
rmmod dax_hide
finish
