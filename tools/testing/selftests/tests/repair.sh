# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A page-aligned pwrite repairs poison: data, record, HWPoison flag and mapping are good
# again, and the neighbours untouched.  What is not aligned, or has nothing to write,
# changes nothing.  C answers EFAULT for ever, and leaves the flag.
#
# expect: rust pass, c fail
# c-sign: quick

. "$(dirname "$0")/../lib.sh"
plan 38

namespace
xfs
page=4096

# write_absent FILE PAGE: that page is written by pwrite, the first half with the letter a, the second
# from memory that is yet to be brought in, and is zero then.
write_absent() {
	python3 - "$1" "$2" <<-'END'
		import mmap, os, sys
		memory = mmap.mmap(-1, 8192, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
		memory.madvise(mmap.MADV_NOHUGEPAGE)
		memory[:4096] = b"a" * 4096
		try:
		    print(os.pwrite(os.open(sys.argv[1], os.O_WRONLY), memoryview(memory)[2048:6144], int(sys.argv[2]) * 4096))
		except OSError as error:
		    print(error)
	END
}

for how in madv hw; do
	f=$mnt/$how
	poison fill "$f" 0 32 3
	phys=$(poison phys "$f" 7)
	inject $how "$f" 7
	bad=$(bad_sectors)
	at=$((7 * page))

	equal "$how: the page is marked" 0 "$(poison flags "$phys" 1)"
	defect equal "$how: a pwrite of half the page is EIO" EIO "$(poison pwrite "$f" $at 2048 x)"
	madv_defect equal "$how: one that starts before it and ends in it stops before it" $page \
		"$(poison pwrite "$f" $((at - page)) $((page + 512)) x)"
	poison fill "$f" 6 1 3
	matches "$how: a source that is not there is EFAULT or EIO" "E@(FAULT|IO)" "$(poison pwrite "$f" $at $page x badbuf)"
	early="$how: a source that ends too early is no repair"
	if [ "$how" = hw ] || [ "$ours" = 1 ]; then
		matches "$early" "E@(FAULT|IO)" "$(poison pwrite "$f" $at $page x badtail)"
	else
		skip "$early" "C knows of no poison, and writes what there is of the source"
	fi
	equal "$how: the record is as it was" "$bad" "$(bad_sectors)"
	madv_defect equal "$how: and the page bad" EIO "$(poison pread "$f" $at $page)"

	hw_defect equal "$how: a pwrite of the whole page succeeds" $page "$(poison pwrite "$f" $at $page R)"
	hw_defect equal "$how: nothing is bad any more" - "$(bad_sectors)"
	defect equal "$how: the page is not marked any more" none "$(poison flags "$phys" 1)"
	hw_defect equal "$how: it can be mapped" "byte 0x52" "$(poison touch "$f" 7)"
	hw_defect equal "$how: it has what was written" "$(printf 'R%.0s' {1..4096} | md5sum)" \
		"$(dd if="$f" bs=4096 skip=7 count=1 status=none 2>/dev/null | md5sum)"
	equal "$how: the pages before it are intact" same "$(poison verify "$f" 0 7 3)"
	equal "$how: the pages after it are intact" same "$(poison verify "$f" 8 24 3)"
	umount "$mnt"
	mount -t xfs -o dax=always "$disk" "$mnt" || bail "mount again"
	hw_defect equal "$how: all is good after a remount" $((32 * page)) "$(poison pread "$f" 0 $((32 * page)))"

	# Several at once, with good pages between them.
	for p in 12 13 20; do
		inject $how "$f" $p >/dev/null
	done
	poison fill "$f" 10 15 4 2>/dev/null
	hw_defect equal "$how: a write over good and bad pages repairs all of them" same "$(poison verify "$f" 10 15 4)"
	hw_defect equal "$how: nothing is bad after it" - "$(bad_sectors)"

	inject $how "$f" 25 >/dev/null
	hw_defect equal "$how: a source that has to be brought in repairs" $page "$(write_absent "$f" 25)"
	hw_defect equal "$how: with what is there" "$({ printf 'a%.0s' {1..2048} && head -c 2048 /dev/zero; } | md5sum)" \
		"$(dd if="$f" bs=4096 skip=25 count=1 status=none 2>/dev/null | md5sum)"
done
finish
