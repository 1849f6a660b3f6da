# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A page that two files share fails, and one of them gets another block for it while it is being
# told.  The reverse map was not locked meanwhile, so where the file is has to be looked at again:
# that file has lost nothing, its user is not told, and nothing is reported as lost.
#
# expect: rust pass
# timeout: 200

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../xfs.sh"
plan 10

modprobe dax_holder_test || bail "modprobe dax_holder_test"
namespace
holder_open "$disk"
mkfs_xfs
poison fill "$mnt/file" 0 16 5
cp --reflink=always "$mnt/file" "$mnt/clone"
sync
at=$(place_of "$mnt/file" 3)

monitor_losses
mappers_of 1 shared,early 3 "$mnt/file"

# With the inode at hand, and before its extents are looked at.
hold_in xfs_dax_next_extent
notify "$at" 4096 >/tmp/notify &
notifier=$!
check "a file is about to be told" wait_for 20 held
equal "the file gets another block" 4096 "$(poison pwrite "$mnt/file" $((3 * 4096)) 4096 N)"
check "it is elsewhere" test "$(place_of "$mnt/file" 3)" != "$at"
let_go
check "the failure is told" wait_for 20 ended $notifier
equal "without an error" 0 "$(cat /tmp/notify)"
equal "the user of the file is not told" none "$(ask told)"
equal "and has what was written" "1 byte 0x4e" "$(ask touch)"
end_mappers
rmmod dax_delay
check "the clone has lost something" wait_for 20 lost "$mnt/clone"
check "the file has not" sh -c "! grep -q 'lost $(stat -c %i "$mnt/file")' /tmp/lost"
kill $listener
wait $listener
equal "the page of the file is not marked" none "$(poison flags "$(poison phys "$mnt/file" 3)" 1)"
finish
