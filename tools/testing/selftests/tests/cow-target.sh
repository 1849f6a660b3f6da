# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Files whose extents go across the ends of device mapper targets.  Behind each end is the memory
# of another part of the file system, so that a copy or a comparison that does not stop there
# takes the wrong data, or overwrites it.
#
# expect: rust pass, c fail, fixed pass

. "$(dirname "$0")/../lib.sh"
plan 9

MIB=384
# In sectors: each target is 2 MiB, and they are in reverse order.
TARGET=4096

table() {
	local i count=$((MIB / 2))
	for ((i = 0; i < count; i++)); do
		echo "$((i * TARGET)) $TARGET linear $1 $(((count - 1 - i) * TARGET))"
	done
}

# dedupe FROM TO: what comes of it.
dedupe() {
	xfs_io -c "dedupe $1 0 0 32m" "$2" 2>&1 | tail -n 1
}

namespace
pmem=$disk
table "$pmem" | dmsetup create targets || bail "dmsetup create"
wait_for 10 test -b /dev/mapper/targets || bail "there is no /dev/mapper/targets"
disk=/dev/mapper/targets
xfs
a=$mnt/a b=$mnt/b c=$mnt/c d=$mnt/d e=$mnt/e
for f in "$a" "$d" "$e"; do poison fill "$f" 0 8192 7; done
poison pwrite "$e" $((5000 * 4096)) 4096 x >/dev/null
cp --reflink=always "$a" "$b"
cp --reflink=always "$a" "$c"
sync
matches "a file with another page is not shared" "*did not match*" "$(dedupe "$a" "$e")"
defect matches "one that is the same is" "*ops*" "$(dedupe "$a" "$d")"
equal "and stays the same" same "$(poison verify "$d" 0 8192 7)"

equal "a clone is unshared" "" "$(xfs_io -c "funshare 0 32m" "$b" 2>&1)"
defect equal "and has the data" same "$(poison verify "$b" 0 8192 7)"

# One write of 20 MiB that begins and ends in the middle of a page.
equal "a clone is written to" $((20 << 20)) "$(poison pwrite "$c" 100 $((20 << 20)) w)"
defect equal "and keeps what comes after it" same "$(poison verify "$c" 5121 3071 7)"
# What the write leaves of its last page.
head=$(dd if="$a" bs=1 skip=$((100 + (20 << 20))) count=64 status=none | sha256sum)
tail=$(dd if="$c" bs=1 skip=$((100 + (20 << 20))) count=64 status=none | sha256sum)
defect equal "and the rest of its last page" "$head" "$tail"
equal "the original has its data" same "$(poison verify "$a" 0 8192 7)"
release
dmsetup remove targets
finish
