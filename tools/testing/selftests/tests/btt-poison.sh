# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Poison under a block translation table: the table is C, but it hears of poison only
# through the driver of its namespace.  A bad block is EIO and not what the memory happens
# to hold, writing to it makes it good, and the table is there after a rebind.
#
# expect: rust pass, c pass
# cpus: 2
# regions: 0
# alone: yes
# boot: --modules mods-nfit
# timeout: 200

. "$(dirname "$0")/../lib.sh"
plan 39

nfit_bus
json=$(ndctl create-namespace -b $bus -t pmem -m sector -l 4096 2>/tmp/err) || bail "create-namespace: $(tail -n 1 /tmp/err)"
ns=$(jq -r .dev <<<"$json") dev=$(jq -r .blockdev <<<"$json")
disk=/dev/$dev
holder=$(basename "$(readlink -f "/sys/block/$dev/device")")
region=$(basename "$(dirname "$(readlink -f "/sys/bus/nd/devices/$ns")")")
bad=/sys/bus/nd/devices/$region/badblocks
arena=/sys/kernel/debug/btt/$holder/arena0
page=4096

# number FILE: a number of the arena.
number() {
	echo $(($(cat "$arena/$1")))
}

# sector BLOCK: where a block of the arena is in the namespace.  The arena begins after 4K.
sector() {
	echo $(((4096 + $(number dataoff) + $1 * page) / 512))
}

# changed WORDS: does the region say something else?  Called by wait_for.
# shellcheck disable=SC2317
changed() {
	[ "$(region_bad)" != "$1" ]
}

# firmware inject|clear SECTOR COUNT: ndctl does neither where there is a table, so send
# what it sends: ARS_INJECT_SET with a notification, or CLEAR_ERROR.
firmware() {
	local before
	before=$(region_bad)
	python3 - "$(cat "/sys/bus/nd/devices/$ns/resource")" "$@" <<-'END' || bail "firmware $*"
		import fcntl, glob, struct, sys
		start, sector, count = (int(word, 0) for word in sys.argv[1:2] + sys.argv[3:])
		where = struct.pack("=QQ", start + sector * 512, count * 512)
		if sys.argv[2] == "inject":
		    number, status = 0xc0404e0a, 81
		    command = struct.pack("=QQII36sI", 0, 7, 17, 4, b"", 0) + where + struct.pack("=BI", 1, 0)
		else:
		    number, status = 0xc0204e04, 16
		    command = where + struct.pack("=IIQ", 0, 0, 0)
		command = bytearray(command)
		bus = next(name for name in glob.glob("/sys/class/nd/ndctl*")
		           if "nfit_test.0" in open(name + "/device/provider").read())
		with open("/dev/" + bus.split("/")[-1], "r+b", buffering=0) as control:
		    fcntl.ioctl(control, number, command)
		sys.exit(struct.unpack_from("=I", command, status)[0])
	END
	wait_for 20 changed "$before" || bail "nothing changes in what is bad"
	scrub_ends
}

# region_bad: what the region says is bad, in sectors of the namespace; - for nothing.
region_bad() {
	local skip lines
	skip=$((($(cat "/sys/bus/nd/devices/$ns/resource") - $(cat "/sys/bus/nd/devices/$region/resource")) / 512))
	lines=$(while read -r at n; do echo "$((at - skip)) $n"; done <"$bad" | paste -sd,)
	echo "${lines:--}"
}

# get LBA, put LBA BYTE: one sector of the disk.
get() {
	poison pread "$disk" $(($1 * page)) $page direct
}

put() {
	poison pwrite "$disk" $(($1 * page)) $page "$2" direct
}
# has LBA BYTE: the sector has that byte all over.  Called by `check`.
# shellcheck disable=SC2317
has() {
	cmp <(dd if="$disk" bs="$page" skip="$1" count=1 iflag=direct status=none) <(head -c "$page" /dev/zero | tr '\0' "$2")
}

# same FIRST COUNT: the sectors hold what was written at first.  Called by `check`.
# shellcheck disable=SC2317
same() {
	cmp <(dd if="$disk" bs="$page" skip="$1" count="$2" iflag=direct status=none) \
		<(dd if=/tmp/data bs="$page" skip="$1" count="$2" status=none)
}

# block_of LBA: which block of the arena holds it: the table's entry, as the raw disk has it.
block_of() {
	local at=$((4096 + $(number mapoff) + $1 * 4)) devices=/sys/bus/nd/devices entry
	unbind
	echo >"$devices/$holder/namespace"
	echo 1 >"$devices/$ns/force_raw"
	echo "$ns" >/sys/bus/nd/drivers/nd_pmem/bind
	entry=$(dd if="${disk%s}" bs="$page" skip=$((at / page)) count=1 iflag=direct status=none | od -An -t u4 -j $((at % page)) -N 4)
	echo "$ns" >/sys/bus/nd/drivers/nd_pmem/unbind
	echo 0 >"$devices/$ns/force_raw"
	echo "$ns" >/sys/bus/nd/drivers/nd_pmem/bind 2>/dev/null
	cat "$devices"/ndbus*/wait_probe >/dev/null
	echo $((entry & 0x3fffffff))
}

blocks=$(number internal_nlba) spare=$(number nfree)
equal "nothing is bad at first" - "$(region_bad)"

# Writes go to spare blocks, one for each processor, which a new table has at its end.
first=$(sector $((blocks - spare)))
firmware inject "$first" 16
equal "the spare blocks are bad" "$first 16" "$(region_bad)"
head -c $((64 * page)) /dev/urandom >/tmp/data
for cpu in 0 1; do
	check "a write makes its spare block good first ($cpu)" taskset -c $cpu dd if=/tmp/data of="$disk" bs="$page" oflag=direct conv=notrunc status=none
	check "and is read back" same 0 64
done
equal "the blocks that they took are not bad any more" - "$(region_bad)"

# One that holds data.
at=$(sector "$(block_of 7)")
holder=$(basename "$(readlink -f "/sys/block/$dev/device")")
check "the table is found again, with its data" same 0 64
firmware inject "$at" 8
equal "a block with data is bad" "$at 8" "$(region_bad)"
equal "it is EIO, though the memory has the data" EIO "$(get 7)"
equal "and again" EIO "$(get 7)"
check "the sectors before it are good" same 0 7
check "the sectors after it are good" same 8 56
unbind
bind
equal "it is EIO after a rebind" EIO "$(get 7)"
unbind
firmware clear "$at" 8
equal "firmware clears the error" - "$(region_bad)"
bind
equal "which brings no data back: it stays EIO" EIO "$(get 7)"
check "with good sectors before it" same 0 7
check "and after it" same 8 56
equal "a write of it succeeds" $page "$(put 7 w)"
check "it has what was written" has 7 w

# One that was never written to is where it was at first.
at=$(sector 500)
firmware inject "$at" 8
equal "a block that nobody wrote to is EIO" EIO "$(get 500)"
equal "its neighbour is not" $page "$(get 501)"
equal "a write of it succeeds" $page "$(put 500 x)"
check "it has what was written" has 500 x
equal "the bad block became a spare one, and good by firmware" - "$(region_bad)"
check "writes that use it again are good" dd if=/tmp/data of="$disk" bs="$page" oflag=direct conv=notrunc status=none
check "and read back" same 0 64

# Poison that comes when the driver is not there.
at=$(sector 600)
unbind
firmware inject "$at" 8
bind
equal "poison from before the driver is EIO" EIO "$(get 600)"
check "the data is whole" same 0 64
equal "a write of it succeeds" $page "$(put 600 y)"
check "it has what was written" has 600 y
equal "and nothing is bad" - "$(region_bad)"

# Poison in the information block: no new table is made over the old one.
unbind
firmware inject 8 8
bind 2>/dev/null
check "with a bad information block there is no disk" test ! -e "/sys/block/$dev"
firmware clear 8 8
bind
check "with a good one there is, with its data" same 0 64
check "and what was written over bad blocks" has 500 x

check "the namespace is destroyed" ndctl destroy-namespace -f "$ns"
nfit_gone
finish
