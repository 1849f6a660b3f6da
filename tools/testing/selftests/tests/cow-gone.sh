# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A write fault copies a shared block to a new one, which is poisoned and has to be cleared first.
# If the device is gone by then, that is SIGBUS, but no report of bad media.  An unshare, and the
# zeroing of a part of a block, copy to new blocks, too.
#
# A removal stops the fault before the device is gone, and waits for it (xfs-removal), so the answer
# of a device that is gone is made by a probe.
#
# expect: rust pass
# timeout: 150

. "$(dirname "$0")/../lib.sh"
plan 12

namespace
xfs
f=$mnt/file
poison fill "$f" 0 8 3
cp --reflink=always "$f" "$f.clone"
sync
# All that is free, since the file system chooses.
xfs_io -r -c "fsmap -d" "$mnt" | sed -n 's/.*\[\([0-9]*\)\.\.\([0-9]*\)\]: free space.*/\1 \2/p' >/tmp/free
while read -r first last; do
	echo "$((first * 512)) $(((last - first + 1) * 512))" >"/sys/block/$dev/dax/report_failure"
done </tmp/free
read -r first last </tmp/free
equal "free space is poisoned" 1 "$(dd if="/dev/$dev" of=/dev/null bs=512 skip="$first" count=1 iflag=direct 2>/dev/null; echo $?)"

# written PAGE: what a task hears that writes to this page.
written() {
	echo write | mappers 1 shared-unread "$1" "$f" | tail -n 1
}

equal "a write fault clears the new block" "1 byte 0x74" "$(written 3)"

fail_in dax_zero_page_range 5
matches "a new block that stays bad is reported as bad media" "1 SIGBUS code=MCEERR_AR *" "$(written 4)"
check "it could not be cleared" failed_in
fail_in dax_zero_page_range 6
matches "that of a device that is gone is not" "1 SIGBUS code=other *" "$(written 5)"
check "it could not be cleared, either" failed_in
rmmod dax_delay

# The new blocks have been there since the first of these faults, and are poisoned still.
equal "a part of a block is zeroed" "" "$(xfs_io -c "fpunch $((6 * 4096 + 200)) 100" "$f" 2>&1)"
check "the part before it is copied" cmp -n 200 -i $((6 * 4096)) "$f" "$f.clone"
check "the part after it is" cmp -n $((4096 - 300)) -i $((6 * 4096 + 300)) "$f" "$f.clone"
equal "blocks are unshared" "" "$(xfs_io -c "funshare 0 12k" "$f" 2>&1)"
equal "and have the data" same "$(poison verify "$f" 0 3 3)"
equal "the clone is as it was" same "$(poison verify "$f.clone" 0 8 3)"
umount "$mnt"
finish
