# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A page of a file fails, and while memory_failure() has the file's entry of it locked, a process
# loads the page of the file's clone: now the folio is both files', and says of neither that it has
# it.  C oopses when it unlocks the entry.  Without rmapbt XFS cannot say whose a page is, so the
# folio is asked.
#
# expect: rust pass, c crash:dax_unlock_folio|collect_procs|unmap_mapping_range
# timeout: 200

. "$(dirname "$0")/../lib.sh"
plan 8

# For xfs.
# shellcheck disable=SC2034
mkfs_options="-m rmapbt=0,reflink=1"
namespace
xfs
modprobe hwpoison-inject || bail "modprobe hwpoison-inject"
f=$mnt/file
poison fill "$f" 0 16 3
cp --reflink=always "$f" "$f.clone"
sync
mappers_of 1 shared 5 "$f"
pfn=$(pfn_of "$f" 5)
hold_in dax_unlock_folio
corrupt "$pfn" &
reporter=$!
check "the entry is about to be unlocked" wait_for 60 held
equal "the page is taken from the file's user" 0 "$(ask mapped)"
# Its memory is bad, but that is not what this is about.
poison touch "$f.clone" 5 >/tmp/touch 2>&1 &
toucher=$!
check "the page of the clone is asked for" wait_for 60 ended $toucher
let_go
check "the report ends" wait_for 60 ended $reporter
poison touch "$f" 5 >/tmp/touch 2>&1 &
check "the entry is not locked any more" wait_for 60 ended $!
end_mappers
check "the clone is removed" rm "$f.clone"
check "and the file" rm "$f"
rmmod dax_delay
check "the file system is unmounted" umount "$mnt"
finish
