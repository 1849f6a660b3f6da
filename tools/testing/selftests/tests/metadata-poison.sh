# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Poison where no file is: in the page structs that an fsdax namespace keeps on the
# device, in the padding behind them, and in its information block, on a bus without a
# command to clear it.  The namespace can be disabled and enabled: libnvdimm overwrites
# the memmap, reads it back, and takes it off the record.  An information block that
# cannot be read is an error that names the sectors.  C overwrites the memmap for ever.
#
# expect: rust pass, c fail
# regions: 3
# alone: c debug-c
# timeout: 400

. "$(dirname "$0")/../lib.sh"

# C comes to the first place.
if [ "$kernel" = c ]; then
	plan 5
else
	plan 48
fi

devices=/sys/bus/nd/devices
kib=1024

# physical FILE: the number in a resource attribute.
physical() {
	echo $(($(cat "$devices/$1/resource")))
}

# region_bad: what is bad in the region, as sectors of the namespace; - for nothing.
region_bad() {
	local skip lines
	skip=$((($(physical "$ns") - $(physical "region$region")) / 512))
	lines=$(while read -r at n; do echo "$((at - skip)) $n"; done <"$devices/region$region/badblocks" | paste -sd,)
	echo "${lines:--}"
}

# changed WORDS: does the region say something else?  Called by wait_for.
# shellcheck disable=SC2317
changed() {
	[ "$(region_bad)" != "$1" ]
}

# poison_at OFFSET...: machine checks for those pages of the namespace.
poison_at() {
	local offset before
	for offset; do
		before=$(region_bad)
		hw-poison $(($(physical "$ns") + offset))
		wait_for 20 changed "$before" || bail "nothing changes in what is bad"
	done
}

# reset_soon: a kernel that loops cannot be shut down.
reset_soon() {
	(
		sleep 10
		echo b >/proc/sysrq-trigger
	) >/dev/null 2>&1 &
}

# enables NAME: enabling the namespace ends, well or not.
enables() {
	local worker
	ndctl enable-namespace "$ns" >/tmp/ndctl.out 2>&1 &
	worker=$!
	defect check "$1: enabling ends" wait_for 120 ended $worker
	ended $worker || { reset_soon; finish; }
}

# again NAME: disables the namespace and enables it.  Is it there?
again() {
	check "$1: the namespace is disabled" ndctl disable-namespace "$ns"
	enables "$1"
	check "$1: its disk is there" wait_for 30 test -b "$disk"
}

# said WORDS: does the kernel's log have them?  Called by `check`.
# shellcheck disable=SC2317
said() {
	dmesg | grep -qF "$1"
}

# -- page structs, and the padding between them and the data
namespace -m fsdax -M dev
data=$(($(data_start) - $(physical "$ns")))
check "the page structs are on the device" test $data -ge $((4096 * kib))
xfs
poison fill "$mnt/file" 0 512 1
umount "$mnt"
for place in "page structs:$((64 * kib))" "several pages:$((512 * kib)),$((516 * kib)),$((640 * kib))" "padding:$((data - 8 * kib))"; do
	name=${place%:*}
	IFS=, read -ra at <<<"${place#*:}"
	poison_at "${at[@]}"
	matches "$name: the region has it on record" "$((at[0] / 512)) *" "$(region_bad)"
	equal "$name: the disk has not" - "$(bad_sectors)"
	again "$name"
	equal "$name: nothing is bad any more" - "$(region_bad)"
	mount -t xfs -o dax=always "$disk" "$mnt" || bail "$name: mount"
	equal "$name: the file is whole" same "$(poison verify "$mnt/file" 0 512 1)"
	umount "$mnt"
done

# The last page before the data and the first of it are one range on the list.
poison_at $((data - 4 * kib)) $data
equal "the edge: one range is bad" "$((data / 512 - 8)) 16" "$(region_bad)"
again "the edge"
equal "the edge: the memmap is good again, the data is not" "0 8" "$(bad_sectors)"
equal "the edge: so says the region" "$((data / 512)) 8" "$(region_bad)"

# -- the information block, 4 KiB into the namespace
region=''
namespace -m fsdax -M dev
poison_at $((4 * kib))
check "information block: the namespace is disabled" ndctl disable-namespace "$ns"
enables "information block"
check "information block: the log has the sectors" said "$ns: poison: cannot read sectors 8 to 15"
# It comes up raw, and there it can be written.
dev=$(ls "$devices/$ns/block") disk=/dev/$dev bb=/sys/block/$dev/badblocks
equal "information block: the raw disk has it on record" "8 8" "$(bad_sectors)"
equal "information block: and reads are EIO" EIO "$(poison pread "$disk" 4096 4096 direct)"
equal "information block: it is overwritten" 4096 "$(poison pwrite "$disk" 4096 4096 z direct)"
equal "information block: and good" - "$(region_bad)"
namespace -m fsdax -M dev
check "information block: the namespace is made anew" test -b "$disk"

# -- two namespaces of one region: poison is the matter of the one it is in
region=$(next_region) || bail "no NVDIMM is left"
nmem=$(cut -d, -f1 "$devices/region$region/mapping0")
ndctl disable-region "region$region" >/dev/null 2>&1
ndctl init-labels -f "$nmem" >/dev/null 2>&1 || bail "init-labels"
ndctl enable-region "region$region" >/dev/null 2>&1
names=()
for i in 0 1; do
	json=$(ndctl create-namespace -r "region$region" -m fsdax -M dev -s 128M 2>/tmp/ndctl.err) ||
		bail "namespace $i in one region: $(tail -n 1 /tmp/ndctl.err)"
	names+=("$(jq -r .dev <<<"$json")")
	disks[i]=/dev/$(jq -r .blockdev <<<"$json")
done
ns=${names[0]}
[ "$(physical "${names[0]}")" -lt "$(physical "${names[1]}")" ] || bail "the namespaces are the other way round"
poison_at $((64 * kib))
ns=${names[1]} disk=${disks[1]}
again "the second namespace, with poison in the first"
ns=${names[0]} disk=${disks[0]}
equal "the first namespace's poison is still on record" "128 8" "$(region_bad)"
again "the first namespace"
equal "which repairs it" - "$(region_bad)"
ns=${names[1]} disk=${disks[1]}
poison_at $((64 * kib))
again "the second namespace, with poison of its own"
equal "which is repaired, too" - "$(region_bad)"
finish
