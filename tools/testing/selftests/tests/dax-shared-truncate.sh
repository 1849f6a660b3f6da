# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Two files share a huge page, and one is truncated.  When that has found no page in use, the other
# file's page is put into a pipe and written: now the truncation has the last entry of a folio with a
# reference.  The folio must stay whole: C takes it apart, and warns.
#
# expect: rust pass, c fail, fixed pass
# alone: c debug-c
# splat: c
# timeout: 200

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../sharers.sh"
plan 10

namespace
xfs

f=$mnt/file
xfs_io -f -c "extsize 2m" -c "falloc 0 4m" "$f" || bail "xfs_io"
poison fill "$f" 0 1024 1
byte=$(printf '%#x' "$(head -c $((7 * 4096 + 1)) "$f" | tail -c 1 | od -An -tu1)")
cp --reflink=always "$f" "$f.clone"
sync
equal "the mapping is huge" 1 "$(poison faults "$f" 0)"
hold_in dax_delete_mapping_range
truncate -s 0 "$f" &
truncating=$!
check "the truncation has found no page in use" wait_for 60 held

pinned "$f.clone" 7
equal "a page of the clone is in a pipe, and is written" "done" "$(tell pwrite)"
before=$(warned)
let_go
check "the truncation ends" wait_for 60 ended $truncating
defect equal "nothing is said of it" "$before" "$(warned)"
rmmod dax_delay

equal "the pipe has what was in the page" "$byte" "$(tell drain)"
let_go_of
equal "the clone is as it was before the page that was written" same "$(poison verify "$f.clone" 0 7 1)"
equal "and after it" same "$(poison verify "$f.clone" 8 1016 1)"
truncate -s 0 "$f.clone" &
check "the clone can be truncated" wait_for 60 ended $!
check "the file system is unmounted" umount "$mnt"
finish
