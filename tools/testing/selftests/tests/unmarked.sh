# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A machine check on memory that no file has in use: a block of a file that is not in core, or one
# that is free.  XFS has nothing to do then, and the kernel takes the page out of its map.  The page
# is marked, so that the write that repairs it has it mapped again.  C oopses there.
#
# What is on record on C is what the test writes: there is no nfit driver.  virtio-pmem has no
# command to clear poison, and C takes that for success.
#
# expect: rust pass, c crash:__memcpy_flushcache, fixed pass
# regions: 0
# boot: --virtio-pmem 512M

. "$(dirname "$0")/../lib.sh"
plan 16

other_namespace virtio_pmem
xfs
f=$mnt/file
poison fill "$f" 0 16 13
poison fill "$mnt/gone" 0 16 13
sync
declare -A places
places[cold]=$(poison phys "$f" 5)
places[file]=$(poison phys "$f" 9)
places[free]=$(poison phys "$mnt/gone" 5)
rm "$mnt/gone"
umount "$mnt"
mount -t xfs -o dax=always "$disk" "$mnt" || bail "mount again"

for case in cold free file; do
	phys=${places[$case]}
	at=$((phys - $(data_start)))
	sectors="$((at / 512)) 8"
	hw_poison "$phys"
	[ "$(bad_sectors)" = "$sectors" ] || echo "$sectors" >"$bb"
	equal "$case: it is on record" "$sectors" "$(bad_sectors)"
	if [ $case = file ]; then
		equal "$case: a write repairs it" 4096 "$(poison pwrite "$f" $((9 * 4096)) 4096 u)"
	else
		equal "$case: a write repairs it" 4096 "$(poison pwrite "$disk" $at 4096 u direct)"
	fi
	equal "$case: it is not marked" none "$(poison flags "$phys" 1)"
	equal "$case: nothing is on record" - "$(bad_sectors)"
	equal "$case: and it can be read" 4096 "$(poison pread "$disk" $at 4096 direct)"
done
equal "the rest of the file is whole" same "$(poison verify "$f" 10 6 13)"
finish
