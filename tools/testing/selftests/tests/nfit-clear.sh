# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Firmware is asked to clear poison page by page, because it has been seen to clear long ranges
# unreliably, also when one segment of a write covers many pages.  The calls are counted, and
# nfit_test's firmware clears each of them.  It was not seen to fail: it is later than the code.
#
# expect: rust pass, c pass
# regions: 0
# alone: c debug-c fixed
# boot: --modules mods-nfit
# timeout: 150

. "$(dirname "$0")/../lib.sh"
plan 10

# write_whole DISK OFFSET LENGTH: one write() from memory that is contiguous, so that the block layer
# makes one segment of it.
write_whole() {
	python3 - "$@" <<-'END'
		import ctypes, mmap, os, struct, sys
		HUGE = 1 << 21
		offset, length = int(sys.argv[2]), int(sys.argv[3])
		memory = mmap.mmap(-1, 2 * HUGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
		address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
		start = -address % HUGE
		memory.madvise(mmap.MADV_HUGEPAGE)
		memory[start:start + length] = b"w" * length
		with open("/proc/self/pagemap", "rb", buffering=0) as pagemap:
		    pagemap.seek((address + start) // 4096 * 8)
		    words = struct.unpack(f"{length // 4096}Q", pagemap.read(length // 4096 * 8))
		frames = [word & (1 << 55) - 1 for word in words]
		contiguous = all(frame == frames[0] + i for i, frame in enumerate(frames))
		disk = os.open(sys.argv[1], os.O_WRONLY | os.O_DIRECT)
		print(os.pwrite(disk, memoryview(memory)[start:start + length], offset), "contiguous" if contiguous else "in pages")
	END
}

nfit_bus
json=$(ndctl create-namespace -b $bus -t pmem -m raw 2>/tmp/err) || bail "create-namespace: $(tail -n 1 /tmp/err)"
ns=$(jq -r .dev <<<"$json") dev=$(jq -r .blockdev <<<"$json")
disk=/dev/$dev bb=/sys/block/$dev/badblocks
check "errors are injected" ndctl inject-error "$ns" -b $bus -B 64 -n 128
wait_for 30 recorded 0
scrub_ends
equal "16 pages are bad" "64 128" "$(bad_sectors)"

# It lets all calls pass, and counts them.
hold_in nvdimm_clear_poison skip=2000000000
calls=/sys/module/dax_delay/parameters/hits
equal "a write of the 16 pages succeeds" "65536 contiguous" "$(write_whole "$disk" $((64 * 512)) 65536)"
equal "firmware was asked 16 times" 16 "$(<$calls)"
equal "nothing is bad" - "$(bad_sectors)"
equal "the pages hold what was written" "w 65536" \
	"$(dd if="$disk" bs=32768 skip=1 count=2 iflag=direct status=none | fold -w1 | sort | uniq -c | awk '{ print $2, $1 }')"
rmmod dax_delay

check "the namespace is destroyed" ndctl destroy-namespace -f "$ns"
nfit_gone
finish
