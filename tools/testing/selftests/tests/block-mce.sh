# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A machine check on memory that no file has: parts of the page can be repaired sector by
# sector though the kernel unmapped the page, and the page is unmarked with the last one.
#
# expect: rust pass, c fail
# splat: c

. "$(dirname "$0")/../lib.sh"

namespace
page=4096
at=$((1000 * page))
phys=$(($(data_start) + at))
poison each-write "$disk" $at 512 8 512 >/dev/null
hw-poison $phys
for _ in {1..30}; do
	[ "$(bad_sectors)" = - ] || break
	sleep 0.1
done
equal "the page's sectors are bad" "8000 8" "$(bad_sectors)"
equal "none can be read" "good=0 bad=8 other=0" "$(poison each "$disk" $at 512 8 512)"
for s in 3 0 7; do
	defect equal "sector $s is repaired by a write of 512 bytes" 512 "$(poison pwrite "$disk" $((at + s * 512)) 512 S direct)"
	defect equal "sector $s can be read" 512 "$(poison pread "$disk" $((at + s * 512)) 512 direct)"
done
defect equal "the others stay bad" "8001 2,8004 3" "$(bad_sectors)"
equal "and cannot be read" EIO "$(poison pread "$disk" $at $page direct)"
defect equal "the rest is repaired" $page "$(poison pwrite "$disk" $at $page T direct)"
defect equal "nothing is bad" - "$(bad_sectors)"
equal "the page is not marked" none "$(poison flags $phys 1)"
defect equal "and can be read" $page "$(poison pread "$disk" $at $page direct)"

# Buffered, by way of the page cache.
hw-poison $((phys + 16 * page))
sleep 0.5
blockdev --flushbufs "$disk"
defect check "a buffered write repairs" dd if=/dev/zero of="$disk" bs=4096 seek=1016 count=1 conv=fsync,notrunc
defect equal "and nothing is bad" - "$(bad_sectors)"

# The information block and other people's memory are not ours to record.
before=$(bad_sectors)
hw-poison $(($(data_start) - page))
sleep 0.5
equal "poison outside the data is not on the disk's list" "$before" "$(bad_sectors)"
finish
