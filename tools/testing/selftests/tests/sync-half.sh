# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A file has a block in a huge page, and its clone has the same block in a page.  The file gives its
# entry up, by a write.  A store to the clone, through a mapping with MAP_SYNC, has to go to the page
# that it is for.  C maps the first page of what is still a huge folio.
#
# expect: rust pass, c fail, fixed pass
# splat: c
# alone: c debug-c
# timeout: 150

. "$(dirname "$0")/../lib.sh"
plan 9

page=511

# last_pages HOW: maps the last three pages of the clone, and reads or stores a byte of the last.
last_pages() {
	timeout "$(patient 60)" python3 - "$mnt/clone" "$1" <<-'END' 2>&1
		import mmap, os, sys
		flags = mmap.MAP_SHARED
		if sys.argv[2] == "store":
		    flags = 0x3 | 0x80000    # MAP_SHARED_VALIDATE | MAP_SYNC
		with open(sys.argv[1], "r+b") as file:
		    pages = mmap.mmap(file.fileno(), 3 * 4096 - 100, flags, offset=509 * 4096)
		if sys.argv[2] == "store":
		    pages[2 * 4096] = 0x53
		print("byte", hex(pages[2 * 4096]), flush=True)
		os._exit(0)
	END
}

# For xfs.
# shellcheck disable=SC2034
mkfs_options="-d su=2m,sw=1,agcount=2 -l size=65m"
namespace
xfs
f=$mnt/file
xfs_io -f -c "extsize 2m" -c "falloc 0 2m" "$f" || bail "xfs_io"
poison fill "$f" 0 512 5
# A fault of the last page finds a size that is not on disk yet: it needs an fsync.
truncate -s $((512 * 4096 - 100)) "$f"
sync
xfs_io -f -c "reflink $f" "$mnt/clone" >/dev/null || bail "reflink"
sync
equal "the file is mapped by a huge page" 1 "$(poison faults "$f" 0)"
before=$(last_pages load)
matches "the clone has its last page by itself" "byte 0x*" "$before"
phys=$(poison phys "$mnt/clone" $page)
equal "it is the file's" "$(poison phys "$f" $page)" "$phys"
dd if=/dev/zero of="$f" bs=$((512 * 4096 - 100)) count=1 conv=notrunc status=none || bail "dd"
sync
equal "the file has another block" no "$([ "$(poison phys "$f" $page)" = "$phys" ] || echo no)"
equal "the clone has this one" "$phys" "$(poison phys "$mnt/clone" $page)"
equal "a store to the clone" "byte 0x53" "$(last_pages store)"
defect equal "is in its page" 0x53 "0x$(tail -c +$((page * 4096 + 1)) "$mnt/clone" | head -c 1 | od -An -tx1 | tr -d ' ')"
defect equal "and in no other" same "$(poison verify "$mnt/clone" 0 511 5)"
defect equal "the kernel has nothing to say" 0 "$(dmesg | grep -c 'WARNING: ')"
finish
