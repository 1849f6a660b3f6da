# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The badblocks file holds 512 entries, the record any number of ranges.  A repair in the
# middle of an entry needs one entry more.  When the file is full, the repaired sector has to
# stay good, whatever is written to the file later.  C answers an error for ever.
#
# expect: rust pass, c fail

. "$(dirname "$0")/../lib.sh"
plan $((14 + ours))

# read_at SECTOR, write_at SECTOR COUNT: what a direct read of it says, or a write.
read_at() {
	poison pread "$disk" $(($1 * 512)) 512 direct
}
write_at() {
	poison pwrite "$disk" $(($1 * 512)) $(($2 * 512)) x direct
}

namespace
for n in {0..511}; do
	echo "$((n * 16)) 8" >"$bb"
done
equal "the file is full" 512 "$(grep -c . "$bb")"
check "nothing more fits" sh -c "! echo 100000 8 >$bb"

defect equal "a sector in the middle of an entry is repaired" 512 "$(write_at 2 1)"
defect equal "it can be read" 512 "$(read_at 2)"
defect equal "the file does not name it" "0 2" "$(head -n 1 "$bb")"
equal "the sector before it is bad" EIO "$(read_at 1)"
equal "the sector behind it is bad" EIO "$(read_at 3)"
equal "what the file has no room for now is still bad" EIO "$(read_at $((511 * 16)))"

# By hand, what is there already.  A full file refuses even that, but its counter of changes
# grows, and the driver looks at all of it.
echo "$((100 * 16)) 8" 2>/dev/null >"$bb"
equal "what was written to the file is bad" EIO "$(read_at $((100 * 16)))"
defect equal "the repaired sector is not" 512 "$(read_at 2)"

defect equal "an entry is repaired as a whole" 4096 "$(write_at $((5 * 16)) 8)"
matches "the file shows what it had no room for" "*$((511 * 16)) 8" "$(bad_sectors)"
equal "all of it" 512 "$(grep -c . "$bb")"
defect equal "the repaired sector is still good" 512 "$(read_at 2)"
if [ "$kernel" = rust ]; then
	matches "the record had memory" $'ranges: 512\n*failed: 0\n*bad: 0' "$(cat "/sys/kernel/debug/nd_pmem-$dev/poison")"
fi
finish
