# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A page of a file fails that has no owner which is told.  While memory_failure() looks for the
# file, a write repairs the page, and it becomes part of a huge page.  C follows a pointer of what is
# the middle of a folio then.
#
# expect: rust pass, c crash:dax_lock_folio, fixed pass
# timeout: 150

. "$(dirname "$0")/../lib.sh"
plan 5

page=5
namespace
ext4
f=$mnt/file
# One allocation for all of it.
dd if=/dev/zero of="$f" bs=4M count=1 conv=fsync status=none || bail dd
poison fill "$f" 0 1024 5
phys=$(poison phys "$f" $page)
umount "$mnt"
mount -t ext4 -o dax=always "$disk" "$mnt" || bail "mount again"
# By itself: no huge page fits into a mapping of one page.
python3 - "$f" $page <<-'END' || bail "python3"
	import mmap, sys
	page = int(sys.argv[2])
	with open(sys.argv[1], "r+b") as file:
	    print("#", hex(mmap.mmap(file.fileno(), 4096, offset=page * 4096)[0]))
END
hold_in dax_lock_folio
sh -c "echo $phys >/sys/devices/system/memory/hard_offline_page" 2>/tmp/offline &
failure=$!
wait_for 30 held || bail "memory_failure() looks for no file"
umount "$mnt"
mount -t ext4 -o dax=always "$disk" "$mnt" || bail "mount once more"
equal "a write repairs the page" 4096 "$(poison pwrite "$f" $((page * 4096)) 4096 w)"
mappers_of 1 shared,early $page "$f"
equal "the task has the page" 1 "$(ask mapped)"
equal "as a part of a huge one" 1 "$(ask next)"
let_go
check "memory_failure() comes to its end" wait_for 30 ended $failure
end_mappers
rmmod dax_delay
equal "the rest of the file is whole" same "$(poison verify "$f" 6 1018 5)"
finish
