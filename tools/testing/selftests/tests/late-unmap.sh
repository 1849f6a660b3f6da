# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The kernel takes a page that failed out of its map after memory_failure() has returned.  A virtual
# machine that is paused in between does that as late as it likes, here long after the page was
# repaired.  The page is good then and not mapped, and whatever uses it has to find it: a load, a
# read, a write, a store of the kernel's own (part of a page is zeroed), and the disk.
#
# expect: rust pass
# regions: 0
# alone: yes
# sleeps: yes
# boot: --virtio-pmem 512M
# timeout: 200

. "$(dirname "$0")/../lib.sh"
plan 42

# How long the pause is, in seconds: longer than any time that a driver would wait.
pause=8
page=4096

# nfit would report the failure once more, after that.
other_namespace virtio_pmem
xfs
f=$mnt/file
poison fill "$f" 0 64 21

# fails_late PAGE: that page fails, is repaired, and leaves the kernel's map after the pause.
fails_late() {
	local phys
	phys=$(poison phys "$f" "$1")
	hold_in set_mce_nospec
	hw-poison "$phys"
	check "page $1: the kernel is about to unmap it" wait_for 20 held
	equal "page $1: it is on record by then" EIO "$(poison pread "$f" $(($1 * page)) $page)"
	equal "page $1: a write repairs it" $page "$(poison pwrite "$f" $(($1 * page)) $page L)"
	equal "page $1: nothing is bad" - "$(bad_sectors)"
	sleep $pause
	let_go
	check "page $1: the kernel goes on" wait_for 10 is 0 cat /sys/module/dax_delay/parameters/delaying
	rmmod dax_delay
	sleep 1
}

# What comes first has to find the page: it is mapped again then.
fails_late 5
equal "page 5: it is read" $page "$(poison pread "$f" $((5 * page)) $page)"
fails_late 9
equal "page 9: part of it is zeroed" "" "$(xfs_io -c "fpunch $((9 * page + 200)) 100" "$f" 2>&1)"
equal "page 9: and nothing else of it" 3996 "$(dd if="$f" bs="$page" skip=9 count=1 status=none | tr -dc L | wc -c)"
fails_late 13
equal "page 13: it is written" $page "$(poison pwrite "$f" $((13 * page)) $page M)"
fails_late 17
equal "page 17: it is loaded" "byte 0x4c" "$(poison touch "$f" 17)"
fails_late 21
at=$(($(poison phys "$f" 21) - $(data_start)))
equal "page 21: the disk reads it" $page "$(poison pread "$disk" $at $page direct)"

equal "the pages before them are whole" same "$(poison verify "$f" 0 5 21)"
equal "those between them are" same "$(poison verify "$f" 10 3 21)"
equal "those after them are" same "$(poison verify "$f" 22 42 21)"
equal "nothing is bad in the end" - "$(bad_sectors)"

# The device goes meanwhile: the page must not be another's by then.
phys=$(poison phys "$f" 25)
at=$((phys - $(data_start)))
hold_in set_mce_nospec
hw-poison "$phys"
check "unbind: the kernel is about to unmap a page" wait_for 20 held
umount "$mnt"
unbind &
unbinder=$!
check "unbind: it waits for that" wait_for 20 blocked_or_ended memunmap_pages $unbinder
# It sleeps there for other reasons, too.
check "unbind: and has not ended" sh -c "sleep $(patient 1); kill -0 $unbinder"
let_go
check "unbind: and goes on" wait_for 30 ended $unbinder
rmmod dax_delay
bind
check "unbind: the disk is back" test -b "$disk"
equal "unbind: the page is written" $page "$(poison pwrite "$disk" $at $page N direct)"
equal "unbind: and read" $page "$(poison pread "$disk" $at $page direct)"
finish
