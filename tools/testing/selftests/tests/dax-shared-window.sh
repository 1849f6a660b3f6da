# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A page of a cloned file is loaded between the copy of its block by a write and the moment when the
# file gets the copy.  C leaves it mapped: it shows the old block for ever, and a new mapping is
# SIGBUS.
#
# expect: rust pass, c fail, fixed pass
# splat: c
# timeout: 200

. "$(dirname "$0")/../lib.sh"
plan 7

namespace
xfs
f=$mnt/file
poison fill "$f" 0 16 1
cp --reflink=always "$f" "$f.clone"
sync
hold_in xfs_reflink_end_cow
poison pwrite "$f" $((5 * 4096)) 4096 W >/tmp/pwrite &
writer=$!
check "the file is about to get the copy" wait_for 60 held
mappers_of 1 shared 5 "$f"
let_go
check "the write ends" wait_for 60 ended $writer
equal "it wrote all" 4096 "$(cat /tmp/pwrite)"
defect equal "the mapping shows what was written" "1 byte 0x57" "$(ask touch)"
end_mappers
defect equal "a new mapping does, too" "1 byte 0x57" "$(echo touch | mappers 1 shared 5 "$f" | tail -n 1)"
rmmod dax_delay
equal "the clone is as it was" same "$(poison verify "$f.clone" 0 16 1)"
check "the file system is unmounted" umount "$mnt"
finish
