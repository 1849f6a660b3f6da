# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A write fault copies a shared block to a new one, which is poisoned, and the disk is removed before
# the new block is cleared: that is SIGBUS, but no report of bad media.  XFS is on device mapper,
# because on the disk itself its removal waits for the fault.
#
# expect: rust pass
# timeout: 150

. "$(dirname "$0")/../lib.sh"
plan 9

namespace
dmsetup create gone --table "0 $(blockdev --getsz "$disk") linear $disk 0" || bail "dmsetup create"
wait_for 10 test -b /dev/mapper/gone || bail "there is no /dev/mapper/gone"
disk=/dev/mapper/gone
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

# What it is without a removal: the new block is cleared.
equal "a write fault repairs the new block" "1 byte 0x74" "$(echo write | mappers 1 shared-unread 3 "$f" | tail -n 1)"

hold_in dax_zero_page_range
mappers_of 1 shared-unread 5 "$f"
echo write >&6
check "the new block is about to be cleared" wait_for 20 held
unbind >/dev/null 2>&1 &
remover=$!
check "the removal waits for the fault" wait_for 20 blocked_in synchronize_srcu $remover
check "and the fault still waits" held
let_go
read -r -t 60 answer <&7
# Not MCEERR_AR.
matches "the task hears that the memory is not there" "1 SIGBUS code=other *" "$answer"
end_mappers
check "the removal ends" wait_for 30 ended $remover
rmmod dax_delay
check "it can be unmounted" umount "$mnt"
check "and the table removed" dmsetup remove gone
finish
