# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Two partitions of one pmem, each with XFS, reflink and dax=always.  The tasks that use the
# failed page are notified, also those that use it through a clone, and no others.  C refuses to
# mount them.
#
# expect: rust pass, c fail
# timeout: 150

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../xfs.sh"
plan $((2 + 38 * ours))

modprobe hwpoison-inject || bail "modprobe hwpoison-inject"
namespace
partitions 240 240
mkdir -p /mnt/p1 /mnt/p2
for p in 1 2; do
	# All by default, reflink and rmapbt too; only so small it has to be asked for.
	words=$(mkfs.xfs -q -f --unsupported "${disk}p$p" 2>&1) || bail "mkfs.xfs: $(head -n 1 <<<"$words")"
	defect check "partition $p is mounted with DAX" mount -t xfs -o dax=always "${disk}p$p" /mnt/p$p
done
# C refuses both.
if [ "$ours" = 0 ]; then finish; fi
for p in 1 2; do
	matches "partition $p: has DAX" "*dax=always*" "$(grep " /mnt/p$p " /proc/mounts)"
	matches "partition $p: and reflink" "*reflink=1*" "$(xfs_info /mnt/p$p)"
	poison fill /mnt/p$p/file 0 16 $p
	poison fill /mnt/p$p/other 0 16 $((p + 2))
	check "partition $p: a file is cloned" cp --reflink=always /mnt/p$p/file /mnt/p$p/clone
done
check "the whole disk has no room for a holder" sh -c "! mount -t xfs -o dax=always $disk $mnt 2>/dev/null"

# First: a fault of a page that is shared unmaps it from the file's other users.
pfn=$(pfn_of /mnt/p1/file 5)
for p in 1 2; do
	watch "file$p" /mnt/p$p/file 5
	watch "clone$p" /mnt/p$p/clone 5
	watch "next$p" /mnt/p$p/file 6
	watch "other$p" /mnt/p$p/other 5
done
check "poison in a page of partition 1" corrupt "$pfn"
stop_watching
for name in file1 clone1; do
	equal "$name: its user is told" "told SIGBUS offset=0x5000" "$(told $name)"
done
for name in next1 other1 file2 clone2 next2 other2; do
	equal "$name: its user is not" "not told" "$(told $name)"
done
matches "the other users read on" "byte *" "$(poison touch /mnt/p2/file 5)"
matches "the next page too" "byte *" "$(poison touch /mnt/p1/file 6)"
equal "the clone is bad in the same place" EIO "$(poison pread /mnt/p1/clone $((5 * 4096)) 4096)"
equal "the files of the other partition are whole" "same same" \
	"$(poison verify /mnt/p2/file 0 16 2) $(poison verify /mnt/p2/clone 0 16 2)"
for p in 1 2; do
	check "partition $p: is not shut down" dd if=/dev/zero of=/mnt/p$p/new bs=64k count=1 conv=fsync
done

# One goes, the other stays, and is told.
check "partition 1 is unmounted" umount /mnt/p1
pfn=$(pfn_of /mnt/p2/file 7)
watch left2 /mnt/p2/file 7
check "poison in partition 2, alone now" corrupt "$pfn"
stop_watching
equal "left2: its user is told" "told SIGBUS offset=0x7000" "$(told left2)"
check "partition 1 is mounted again" mount -t xfs -o dax=always "${disk}p1" /mnt/p1
equal "and has its data" same "$(poison verify /mnt/p1/other 0 16 3)"

# Removal is told to both.
poison fill /mnt/p1/file 8 8 1
poison fill /mnt/p2/file 8 8 2
unbind
check "the disk is gone" test ! -e "/sys/block/$dev"
for p in 1 2; do
	check "partition $p: writing fails then" sh -c "! dd if=/dev/zero of=/mnt/p$p/late bs=64k count=1 conv=fsync 2>/dev/null"
	check "partition $p: it can be unmounted" umount /mnt/p$p
done
bind
wait_for 10 test -b "${disk}p2"
for p in 1 2; do
	check "partition $p: and mounted again" mount -t xfs -o dax=always "${disk}p$p" /mnt/p$p
	equal "partition $p: with its data" same "$(poison verify /mnt/p$p/file 8 8 $p)"
	equal "partition $p: and its other file" same "$(poison verify /mnt/p$p/other 0 16 $((p + 2)))"
	umount /mnt/p$p
done
finish
