# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A write fault of a MAP_SYNC mapping finds its memory, and maps it when the file system has
# written its log.  What fails in between is not mapped.
#
# expect: rust pass, c fail

. "$(dirname "$0")/../lib.sh"

namespace
xfs
f=$mnt/file
poison fill "$f" 0 8 3
sync
phys=$(poison phys "$f" 5)
# The same block, but its file has something to log.
hold_in vfs_fsync_range
xfs_io -c "falloc -k 0 64m" "$f" || bail "xfs_io"
echo write | mappers 1 shared-unread,sync 5 "$f" >/tmp/out 2>&1 &
writer=$!
check "the fault waits for the log" wait_for 20 held
echo "$phys" >/sys/devices/system/memory/hard_offline_page
let_go
wait "$writer"
rmmod dax_delay
defect matches "the page is not mapped" "1 SIGBUS*offset=0x5000" "$(tail -n 1 /tmp/out)"
equal "another is" "1 byte 0x74" "$(echo write | mappers 1 shared-unread,sync 4 "$f" | tail -n 1)"
equal "it can be repaired" 4096 "$(poison pwrite "$f" $((5 * 4096)) 4096 S)"
equal "and is mapped then" "1 byte 0x74" "$(echo write | mappers 1 shared-unread,sync 5 "$f" | tail -n 1)"
finish
