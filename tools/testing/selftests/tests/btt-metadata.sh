# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Poison in what a block translation table writes beside the data, on a bus without a
# command to clear it.  A bad spare block is overwritten before it is used; C tries for
# ever.  What only the old contents could answer is EIO: the map, the log, the information
# block.  A table that is made anew overwrites all of it.  The log has the sectors.
#
# expect: rust pass, c fail, fixed pass
# cpus: 2
# regions: 1
# alone: c debug-c
# timeout: 400

. "$(dirname "$0")/../lib.sh"

# C comes to the first write.
if [ "$kernel" = c ]; then
	plan 2
else
	plan 27
fi

devices=/sys/bus/nd/devices
page=4096

# number FILE: a number of the arena.
number() {
	echo $(($(cat "/sys/kernel/debug/btt/$holder/arena0/$1")))
}

# start_of NAME: where something is in the namespace.  Arenas of version 1 begin after 4K.
start_of() {
	echo $((($(number version_major) < 2 ? page : 0) + $(number "$1")))
}

# region_bad: what is bad, in sectors of the namespace; - for nothing.
region_bad() {
	local skip lines
	skip=$((($(cat "$devices/$ns/resource") - $(cat "$devices/region$region/resource")) / 512))
	lines=$(while read -r at n; do echo "$((at - skip)) $n"; done <"$devices/region$region/badblocks" | paste -sd,)
	echo "${lines:--}"
}

# changed WORDS: does the region say something else?  Called by wait_for.
# shellcheck disable=SC2317
changed() {
	[ "$(region_bad)" != "$1" ]
}

# poison_at OFFSET: a machine check for that page of the namespace.
poison_at() {
	local before
	before=$(region_bad)
	hw-poison $(($(cat "$devices/$ns/resource") + $1))
	wait_for 20 changed "$before" || bail "nothing changes in what is bad"
}

# get LBA, put LBA BYTE: one sector of the disk.
get() {
	poison pread "$disk" $(($1 * page)) $page direct
}
put() {
	poison pwrite "$disk" $(($1 * page)) $page "$2" direct
}

# said OFFSET: does the kernel's log name the sectors of that page?  Called by `check`.
# shellcheck disable=SC2317
said() {
	dmesg | grep -qE "$ns: poison: cannot (read|write) sectors $(($1 / 512)) to "
}

# anew: the table is made again; until it is written to it is not on the media.
anew() {
	local json
	json=$(ndctl create-namespace -f -e "$ns" -m sector 2>/tmp/ndctl.err) || bail "make it anew: $(tail -n 1 /tmp/ndctl.err)"
	ns=$(jq -r .dev <<<"$json") dev=$(jq -r .blockdev <<<"$json")
	disk=/dev/$dev
	holder=$(basename "$(readlink -f "/sys/block/$dev/device")")
}

namespace -m sector
head -c $((64 * page)) /dev/urandom >/tmp/data

# Each processor has a spare block, at the end of a new table.
spare=$(($(start_of dataoff) + ($(number internal_nlba) - $(number nfree)) * page))
poison_at $spare
poison_at $((spare + page))
equal "spare blocks: two are bad" "$((spare / 512)) 16" "$(region_bad)"
for cpu in 0 1; do
	taskset -c $cpu dd if=/tmp/data of="$disk" bs="$page" oflag=direct conv=notrunc status=none &
	writer=$!
	defect check "spare blocks: a write ends ($cpu)" wait_for 120 ended $writer
	ended $writer || break
	wait $writer
	result $? "spare blocks: it succeeds ($cpu)"
	check "spare blocks: and is read back ($cpu)" cmp -n $((64 * page)) /tmp/data "$disk"
done
if ! ended "$writer"; then
	# A kernel that loops cannot be shut down.
	(
		sleep 10
		echo b >/proc/sysrq-trigger
	) >/dev/null 2>&1 &
	finish
fi
equal "spare blocks: they are good" - "$(region_bad)"

# 1024 entries of the map.
map=$(start_of mapoff)
poison_at "$map"
equal "map: a sector of the disk is EIO" EIO "$(get 5)"
equal "map: a write of it too, for where it was is not known" EIO "$(put 5 x)"
check "map: the log has the sectors" said "$map"
equal "map: other entries are good" $page "$(get 1024)"
equal "map: to write, too" $page "$(put 1024 y)"
# The log names sectors that were written last, and their entries cannot be compared.
unbind
bind 2>/dev/null
check "map: there is no disk after a rebind" test ! -e "/sys/block/$dev"
anew
equal "map: a table made anew overwrites it" $page "$(put 5 x)"
equal "map: and it is good" - "$(region_bad)"

# The log of the first 64 processors.
log=$(start_of logoff)
poison_at "$log"
equal "log: a write is EIO" EIO "$(put 6 x)"
check "log: the log has the sectors" said "$log"
equal "log: what was written before is read" $page "$(get 5)"
unbind
bind 2>/dev/null
check "log: without it there is no disk" test ! -e "/sys/block/$dev"
anew
equal "log: a table made anew overwrites it" $page "$(put 6 x)"
equal "log: and it is good" - "$(region_bad)"

# The copy of the information block is only written.
copy=$(start_of info2off)
poison_at "$copy"
equal "the copy of the information block: nobody misses it" $page "$(put 7 z)"
anew
equal "the copy of the information block: is overwritten" $page "$(put 7 z)"
equal "the copy of the information block: and good" - "$(region_bad)"

# The information block itself.
info=$(start_of infooff)
poison_at "$info"
unbind
bind 2>/dev/null
check "information block: without it there is no disk" test ! -e "/sys/block/$dev"
check "information block: the log has the sectors" said "$info"
finish
