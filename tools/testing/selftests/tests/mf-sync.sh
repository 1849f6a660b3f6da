# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A write fault of a MAP_SYNC mapping finds its memory, and maps it when the file system has
# written its log.  What fails in between is not mapped when both are through.
#
# expect: rust pass, c fail
# timeout: 200
# c-sign: quick

. "$(dirname "$0")/../lib.sh"
plan 9

namespace
xfs
f=$mnt/file
poison fill "$f" 0 8 3
sync
phys=$(poison phys "$f" 5)
# The same block, but its file has something to log.
hold_in vfs_fsync_range
xfs_io -c "falloc -k 0 64m" "$f" || bail "xfs_io"
mappers_of 1 shared-unread,sync 5 "$f"
echo write >&6
check "the fault waits for the log" wait_for 20 held
# The failure does not wait for the fault, which another task can make last (a frozen file system):
# the fault looks again when the log is written.
echo "$phys" >/sys/devices/system/memory/hard_offline_page &
offline=$!
check "the failure is through before it" wait_for 20 ended $offline
check "the fault still waits for the log" held
let_go
wait "$offline"
equal "the failure is dealt with" 0 $?
# Whether the write still got through is chance.
read -r -t "$(patient 60)" _ <&7 || bail "the writer does not answer"
rmmod dax_delay
defect equal "nobody has the page then" 0 "$(ask mapped)"
defect matches "a touch is SIGBUS" "1 SIGBUS*offset=0x5000" "$(ask touch)"
end_mappers
equal "another is" "1 byte 0x74" "$(echo write | mappers 1 shared-unread,sync 4 "$f" | tail -n 1)"
equal "it can be repaired" 4096 "$(poison pwrite "$f" $((5 * 4096)) 4096 S)"
equal "and is mapped then" "1 byte 0x74" "$(echo write | mappers 1 shared-unread,sync 5 "$f" | tail -n 1)"
finish
