# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A page that two files share fails, and their file system cannot say whose it is: the files that
# processes map are searched.  The processes end and the file system is unmounted meanwhile: what the
# search has of it must stay until the search is through.
#
# expect: rust pass
# timeout: 150

. "$(dirname "$0")/../lib.sh"
plan 7

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
# A shared folio names none of its files.
poison touch "$f" 5
poison touch "$f.clone" 5
mappers_of 1 shared 5 "$f.clone"
pfn=$(pfn_of "$f" 5)
hold_in dax_walk_memory
# Not with the pipes of the mappers.
corrupt "$pfn" 6>&- 7<&- &
reporter=$!
check "the first of the mapped files is looked at" wait_for 60 held
end_mappers
check "umount ends" wait_for 60 umount "$mnt"
let_go
check "the failure ends" wait_for 60 ended $reporter
rmmod dax_delay
# What the search keeps it gives back.
check "the disk is free again" wait_for 60 python3 -c 'import os, sys; os.open(sys.argv[1], os.O_RDONLY | os.O_EXCL)' "$disk"
check "and can be mounted" mount -t xfs -o dax=always "$disk" "$mnt"

check "and unmounted" umount "$mnt"
equal "nothing is wrong" "" "$(complaints)"
finish
