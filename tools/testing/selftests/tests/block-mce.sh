# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A machine check on memory that no file has: parts of the page can be repaired sector by
# sector though the kernel unmapped the page, and the page is unmarked with the last one.
#
# expect: rust pass, c fail
# c-sign: quick
# splat: c

. "$(dirname "$0")/../lib.sh"
plan 19

namespace
page=4096
at=$((1000 * page))
phys=$(($(data_start) + at))
poison each-write "$disk" $at 512 8 512 >/dev/null
hw_poison $phys
wait_for 10 recorded 0
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
before=$(grep -c . "$bb")
hw_poison $((phys + 16 * page))
wait_for 10 recorded "$before"
matches "another page is on record" "*8128 8" "$(bad_sectors)"
blockdev --flushbufs "$disk"
defect check "a buffered write repairs" dd if=/dev/zero of="$disk" bs=4096 seek=1016 count=1 conv=fsync,notrunc
defect equal "and nothing is bad" - "$(bad_sectors)"

# The information block and other people's memory are not ours to record.
before=$(bad_sectors)
region=/sys/bus/nd/devices/region$region
outside=$((($(data_start) - page - $(cat "$region/resource")) / 512))
hw_poison $(($(data_start) - page))
check "poison outside the data is on the region's list" wait_for 10 grep -q "^$outside " "$region/badblocks"
equal "and not on the disk's" "$before" "$(bad_sectors)"
finish
