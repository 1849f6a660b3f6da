# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The block device: reads of bad sectors fail and no others, a write repairs just what it
# covers, and any number of bad ranges is known.  Firmware cannot clear (QEMU's has no
# such command), so C cannot repair.
#
# expect: rust pass, c fail
# c-sign: quick

. "$(dirname "$0")/../lib.sh"
plan 31

namespace
equal "sectors are 512 bytes" 512 "$(cat "/sys/block/$dev/queue/logical_block_size")"
at() { echo $(($1 * 512)); }

echo "80 8" >"$bb"
equal "an injected range is shown" "80 8" "$(bad_sectors)"
equal "a bad sector reads EIO" EIO "$(poison pread "$disk" "$(at 80)" 512 direct)"
equal "the last bad sector too" EIO "$(poison pread "$disk" "$(at 87)" 512 direct)"
equal "the sector before is good" 512 "$(poison pread "$disk" "$(at 79)" 512 direct)"
equal "the sector after is good" 512 "$(poison pread "$disk" "$(at 88)" 512 direct)"
equal "a large read over it is EIO" EIO "$(poison pread "$disk" 0 65536 direct)"
defect equal "a NOWAIT write over it is EAGAIN" EAGAIN "$(poison pwrite "$disk" "$(at 80)" 4096 x direct,nowait)"
equal "and changes nothing" "80 8" "$(bad_sectors)"
defect equal "a NOWAIT write elsewhere is done" 4096 "$(poison pwrite "$disk" 0 4096 x direct,nowait)"
defect equal "a NOWAIT read is done" 4096 "$(poison pread "$disk" 0 4096 direct,nowait)"
defect equal "a write of one sector succeeds" 512 "$(poison pwrite "$disk" "$(at 82)" 512 W direct)"
defect equal "and repairs that sector" "80 2,83 5" "$(bad_sectors)"
defect equal "which can be read" 512 "$(poison pread "$disk" "$(at 82)" 512 direct)"
equal "its neighbours cannot" EIO "$(poison pread "$disk" "$(at 83)" 512 direct)"
defect equal "a write of 4096 repairs the rest" 4096 "$(poison pwrite "$disk" "$(at 80)" 4096 W direct)"
defect equal "nothing is bad" - "$(bad_sectors)"

# 200 ranges of 7 sectors; every second sector of each repaired makes 800.
for ((i = 0; i < 200; i++)); do
	echo "$((8192 + 16 * i)) 7" >"$bb"
done
for s in 1 3 5; do
	defect equal "sector $s of 200 ranges is repaired" "good=200 bad=0 other=0" \
		"$(poison each-write "$disk" "$(at $((8192 + s)))" 8192 200 512)"
done
for s in 0 2 4 6; do
	equal "sector $s stays bad in each" "good=0 bad=200 other=0" \
		"$(poison each "$disk" "$(at $((8192 + s)))" 8192 200 512)"
done
defect equal "the repaired ones can be read" "good=200 bad=0 other=0" \
	"$(poison each "$disk" "$(at 8193)" 8192 200 512)"
defect equal "a large write repairs all of it" $((200 * 8192)) \
	"$(poison pwrite "$disk" "$(at 8192)" $((200 * 8192)) Z direct)"
defect equal "all can be read" "good=3200 bad=0 other=0" "$(poison each "$disk" "$(at 8192)" 512 3200 512)"
defect equal "nothing is bad any more" - "$(bad_sectors)"

# At the end of the device.
sectors=$(cat "/sys/block/$dev/size")
echo "$((sectors - 4)) 8" >"$bb"
equal "a range over the end is bad up to the end" "good=4 bad=4 other=0" \
	"$(poison each "$disk" "$(at $((sectors - 8)))" 512 8 512)"
defect equal "and repaired" 4096 "$(poison pwrite "$disk" "$(at $((sectors - 8)))" 4096 Z direct)"
echo "18446744073709551000 8" >"$bb" 2>/dev/null
equal "nonsense does not disturb" 512 "$(poison pread "$disk" 0 512 direct)"
finish
