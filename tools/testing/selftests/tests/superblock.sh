# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The information block of an fsdax namespace is on the media, and may say anything.  A
# block that is wrong gives no disk, or a raw one where the bus sees no block at all; it
# never gives a disk of another shape, and never costs data.
#
# expect: rust pass, c pass
# timeout: 200

. "$(dirname "$0")/../lib.sh"
plan 79

namespace -m fsdax -M dev
devices=/sys/bus/nd/devices
driver=/sys/bus/nd/drivers/nd_pmem
full=$(cat "/sys/block/$dev/size")
head -c 2M /dev/urandom >/tmp/data
# The first and the last MiB of the data.
ends=(0 $((full / 2048 - 1)))
for i in 0 1; do
	dd if=/tmp/data of="$disk" bs=1M count=1 skip=$i seek="${ends[i]}" oflag=direct conv=notrunc status=none
done

# free: nothing has the namespace, neither the driver nor a pfn device.
free() {
	local claim
	claim=$(cat "$devices/$ns/holder")
	for holder in $claim $ns; do
		[ ! -e "$driver/$holder" ] || unbind
	done
	[ -z "$claim" ] || echo >"$devices/$claim/namespace"
}

# probe RAW: the driver takes the namespace, as a raw one (1) or as what its block says (0).
probe() {
	free
	echo "$1" >"$devices/$ns/force_raw"
	# That a pfn device gets the namespace is an error of this one.
	holder=$ns
	bind 2>/dev/null
	cat "$devices"/ndbus*/wait_probe >/dev/null
}

# shape: what disk there is.
shape() {
	if [ ! -b "$disk" ] || [ ! -e "/sys/block/$dev" ]; then
		echo none
	elif [ "$(cat "/sys/block/$dev/queue/dax")" = 1 ]; then
		echo "fsdax $(cat "/sys/block/$dev/size")"
	else
		echo "raw $(cat "/sys/block/$dev/size")"
	fi
}

# blocks: for each line "NAME FIELD=VALUE..." of its input /tmp/block.NAME, the good block with these
# fields changed, and a checksum that is right, unless it is one of them.
blocks() {
	python3 /dev/fd/3 3<<-'END'
		import struct, sys
		fields = {"signature": (0, "16s"), "parent_uuid": (32, "16s"), "dataoff": (56, "<Q"),
		          "npfns": (64, "<Q"), "mode": (72, "<I"), "start_pad": (76, "<I"), "end_trunc": (80, "<I"),
		          "align": (84, "<I"), "page_size": (88, "<I"), "page_struct_size": (92, "<H"),
		          "checksum": (4088, "<Q")}

		def put(block, name, value):
		    at, kind = fields[name]
		    struct.pack_into(kind, block, at, value.encode() if kind == "16s" else int(value, 0))

		for line in sys.stdin:
		    name, *changes = line.split()
		    changes = dict(change.split("=") for change in changes)
		    block = bytearray(open("/tmp/good", "rb").read())
		    struct.pack_into("<Q", block, 4088, 0)
		    for field, value in changes.items():
		        if field != "checksum":
		            put(block, field, value)
		    low = high = 0
		    for word in struct.unpack("<1024I", block):
		        low = (low + word) & 0xffffffff
		        high = (high + low) & 0xffffffff
		    put(block, "checksum", changes.get("checksum", str(high << 32 | low)))
		    open("/tmp/block." + name, "wb").write(block)
	END
}

# intact: the data is where it was, seen through the raw disk.
# Called by `check`.
# shellcheck disable=SC2317
intact() {
	local i
	for i in 0 1; do
		cmp -n 1048576 <(tail -c +$((i * 1048576 + 1)) /tmp/data) \
			<(dd if="$disk" bs=1M skip=$((dataoff / 1048576 + ends[i])) count=1 iflag=direct status=none) || return
	done
}

probe 1
equal "without its block, all of the namespace is a raw disk" "raw" "$(shape | cut -d' ' -f1)"
whole=$(cat "/sys/block/$dev/size")
dd if="$disk" of=/tmp/good bs=4096 skip=1 count=1 iflag=direct status=none
equal "the block is 4096 bytes into it" NVDIMM_PFN_INFO "$(head -c 15 /tmp/good)"
dataoff=$(od -An -t u8 -j 56 -N 8 /tmp/good | tr -d ' ')
blocks <<<"same mode=2"
check "the test's checksum is the kernel's" cmp /tmp/good /tmp/block.same

# put_block FILE: it becomes the block of the namespace, whose disk is raw.
put_block() {
	dd if="$1" of="$disk" bs=4096 seek=1 count=1 oflag=direct conv=notrunc status=none
}

# try NAME WANTED FIELD=VALUE...: notes what is tried by `try_all`.
names=() wanted=() changes=()
try() {
	names+=("$1") wanted+=("$2")
	shift 2
	changes+=("${#changes[@]} $*")
}

# try_all: the shape of the disk with each of these blocks, and what is left.
try_all() {
	local i name
	printf '%s\n' "${changes[@]}" | blocks
	for i in "${!names[@]}"; do
		name=${names[i]}
		put_block "/tmp/block.$i"
		probe 0
		equal "$name: the disk" "${wanted[i]}" "$(shape)"
		probe 1
		check "$name: the data is unharmed" intact
		check "$name: and so is the block" cmp -n 4096 "/tmp/block.$i" <(dd if="$disk" bs=4096 skip=1 count=1 iflag=direct status=none)
	done
}

try "a wrong checksum" "raw $whole" checksum=1
try "another signature" "raw $whole" signature=NVDIMM_PFN_INFX
try "another namespace's" "raw $whole" parent_uuid=0123456789abcdef
try "no mode" "raw $whole" mode=0
try "an unknown mode" "raw $whole" mode=77
try "data past the end" none dataoff=$((whole * 512))
try "data far past the end" none dataoff=0x8000000000000000
try "data in the middle of a page" none dataoff=$((dataoff + 512)) align=512
try "an alignment above the size" none align=0x80000000
try "a start that is not aligned" none start_pad=4096
try "an end that is not aligned" none end_trunc=4096
try "all cut off at the end" none end_trunc=$((whole * 512))
try "all cut off at the start" none start_pad=$((whole * 512))
# What is cut off is 32 bits, and the sum may wrap: no check of the bus sees that.
try "more cut off at the end than there is" none end_trunc=0xffe00000
try "more cut off at the start than there is" none start_pad=0xffe00000
try "larger pages" none page_size=65536
try "smaller page structs" none page_struct_size=8
try "more pages than there are" "fsdax $full" npfns=0xffffffffffffffff
try "no pages" "fsdax $full" npfns=0
try "page structs in memory" "fsdax $full" mode=1
# These are good ones, of another shape.
try "data that begins later" "fsdax $((full - 4096))" dataoff=$((dataoff + 2097152))
try "an end that is cut off" "fsdax $((full - 4096))" end_trunc=2097152
try "a start that is cut off" "fsdax $((full - 4096))" start_pad=2097152
try_all

put_block /tmp/good
probe 0
equal "the good block brings the disk back" "fsdax $full" "$(shape)"
for i in 0 1; do
	check "with its data ($i)" cmp -n 1048576 <(tail -c +$((i * 1048576 + 1)) /tmp/data) \
		<(dd if="$disk" bs=1M skip="${ends[i]}" count=1 iflag=direct status=none)
done

# Legacy namespaces have a start that is cut off, and their data begins that much later:
# both for I/O and for poison that firmware reports by its physical address.
probe 1
blocks <<<"later start_pad=2097152"
put_block /tmp/block.later
probe 0
holder=$(basename "$(readlink -f "/sys/block/$dev/device")")
equal "a page is written" 4096 "$(poison pwrite "$disk" $((1000 * 4096)) 4096 p direct)"
first=$(($(cat "$devices/$ns/resource") + dataoff + 2097152))
hw_poison $((first + 1001 * 4096))
wait_for 10 recorded 0
equal "poison after a start that is cut off is on record where it is" "8008 8" "$(bad_sectors)"
equal "and the page before it can be read" 4096 "$(poison pread "$disk" $((1000 * 4096)) 4096 direct)"
probe 1
equal "its data begins as much later" "$(printf 'p%.0s' {1..4096} | md5sum)" \
	"$(dd if="$disk" bs=4096 skip=$(((dataoff + 2097152) / 4096 + 1000)) count=1 iflag=direct status=none | md5sum)"
finish
