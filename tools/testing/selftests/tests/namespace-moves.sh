# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What is remembered of poison belongs to the memory, not to the namespace.  Pages fail, and the
# namespace around them is made anew: raw, fsdax, smaller, devdax, sector, destroyed with its region
# disabled, and raw again.  Each has on record what is in its data, where that is now, and nothing
# else.  What a new layout overwrites (the padding and page structs of fsdax) is good after that.
#
# expect: rust pass
# regions: 1
# timeout: 300

. "$(dirname "$0")/../lib.sh"
plan 30

devices=/sys/bus/nd/devices
MIB=1048576

# physical DEVICE: where it begins.
physical() {
	echo $(($(cat "$devices/$1/resource")))
}

# region_bad: what is bad in the region, in sectors of it.
region_bad() {
	local lines
	lines=$(paste -sd, "$devices/region$region/badblocks")
	echo "${lines:--}"
}

# at ADDRESS...: what badblocks of the disk says when just these pages are bad.
at() {
	local address start
	start=$(data_start)
	for address; do echo "$(((address - start) / 512)) 8"; done | sort -n | paste -sd,
}

# in_region ADDRESS...: the same of the region.
in_region() {
	local address
	for address; do echo "$(((address - base) / 512)) 8"; done | sort -n | paste -sd,
}

# make OPTION...: a namespace at the start of the region; the one before is destroyed.
make() {
	local json
	[ -z "$ns" ] || ndctl destroy-namespace -f "$ns" >/dev/null 2>&1
	json=$(ndctl create-namespace -r "region$region" "$@" 2>/tmp/ndctl.err) || bail "create-namespace $*: $(tail -n 1 /tmp/ndctl.err)"
	ns=$(jq -r .dev <<<"$json") dev=$(jq -r '.blockdev // empty' <<<"$json")
	disk=/dev/$dev bb=/sys/block/$dev/badblocks
	[ -z "$dev" ] || holder=$(basename "$(readlink -f "/sys/block/$dev/device")")
}

# fail_at ADDRESS: a machine check, which nfit records.
fail_at() {
	local before
	before=$(region_bad)
	hw-poison "$1"
	wait_for 20 changed "$before" || bail "nothing changes in what is bad"
}

# changed WORDS: does the region say something else?  Called by wait_for.
# shellcheck disable=SC2317
changed() {
	[ "$(region_bad)" != "$1" ]
}

modprobe -a nfit nd_pmem || bail "modprobe -a nfit nd_pmem"
region=$(next_region) || bail "no NVDIMM is left"
nmem=$(cut -d, -f1 "$devices/region$region/mapping0")
ndctl disable-region "region$region" >/dev/null 2>&1
ndctl init-labels -f "$nmem" >/dev/null 2>&1 || bail "init-labels"
ndctl enable-region "region$region" >/dev/null 2>&1
base=$(physical "region$region")
ns=''

# One page early, which fsdax has for itself; one in the middle; one near the end.
make -m raw -s 384M
first=$(($(physical "$ns") + 64 * 1024))
middle=$(($(physical "$ns") + 60 * MIB))
last=$(($(physical "$ns") + 380 * MIB))
for address in $first $middle $last; do fail_at "$address"; done
equal "raw: all are on record" "$(at $first $middle $last)" "$(bad_sectors)"
equal "raw: the region has them" "$(in_region $first $middle $last)" "$(region_bad)"

make -m fsdax -M dev -s 384M
equal "fsdax: what is in the data is on record" "$(at $middle $last)" "$(bad_sectors)"
equal "fsdax: the rest was overwritten" "$(in_region $middle $last)" "$(region_bad)"
equal "fsdax: the page is EIO" EIO "$(poison pread "$disk" $((middle - $(data_start))) 4096 direct)"
# What no firmware reports belongs to the memory as much.
mkfs.xfs -q -f "$disk" || bail mkfs.xfs
mount -t xfs -o dax=always "$disk" "$mnt" || bail mount
# Poison may be in the way of neither.
poison fill "$mnt/file" 0 64 3
own=$(($(poison phys "$mnt/file" 9)))
poison madv "$mnt/file" 9 >/dev/null
umount "$mnt"
equal "fsdax: a page that MADV_HWPOISON failed is on record" "$(at $own $middle $last)" "$(bad_sectors)"

make -m fsdax -M mem -s 128M
equal "smaller: what is in it is on record" "$(at $own $middle)" "$(bad_sectors)"
equal "smaller: the region has all" "$(in_region $own $middle $last)" "$(region_bad)"
equal "smaller: what was recorded by hand is EIO" EIO "$(poison pread "$disk" $((own - $(data_start))) 4096 direct)"

make -m devdax -s 384M
equal "devdax: the region has all" "$(in_region $own $middle $last)" "$(region_bad)"

ndctl destroy-namespace -f "$ns" >/dev/null 2>&1
ns=''
ndctl disable-region "region$region" >/dev/null 2>&1
check "the region is enabled without a namespace" ndctl enable-region "region$region"
equal "and has all" "$(in_region $own $middle $last)" "$(region_bad)"

make -m sector -l 4096 -s 384M
equal "sector: the region has all" "$(in_region $own $middle $last)" "$(region_bad)"
# A new table maps each sector to the block of its number.
data=$(($(physical "$ns") + 4096 + $(cat "/sys/kernel/debug/btt/$holder/arena0/dataoff")))
for name in own middle last; do
	block=$(((${!name} - data) / 4096))
	equal "sector: the block of $name is EIO" EIO "$(poison pread "$disk" $((block * 4096)) 4096 direct)"
	equal "sector: the one before it is not" 4096 "$(poison pread "$disk" $(((block - 1) * 4096)) 4096 direct)"
done

# In two pieces: each has its own.
make -m raw -s 128M
one=$ns one_bad=$(bad_sectors) one_want=$(at $own $middle)
ns=''
make -m raw -s 256M
equal "two: the first has what is in it" "$one_want" "$one_bad"
equal "two: the second has what is in it" "$(at $last)" "$(bad_sectors)"
equal "two: which a write repairs" 4096 "$(poison pwrite "$disk" $((last - $(data_start))) 4096 z direct)"
equal "two: the region has the rest" "$(in_region $own $middle)" "$(region_bad)"
ndctl destroy-namespace -f "$one" >/dev/null 2>&1

make -m raw -s 384M
equal "raw again: what was not repaired is on record" "$(at $own $middle)" "$(bad_sectors)"
for address in $own $middle; do
	equal "raw again: a write repairs it" 4096 "$(poison pwrite "$disk" $((address - $(data_start))) 4096 z direct)"
done
equal "raw again: nothing is bad" - "$(bad_sectors)"
equal "raw again: nor in the region" - "$(region_bad)"
ndctl destroy-namespace -f "$ns" >/dev/null 2>&1
ndctl disable-region "region$region" >/dev/null 2>&1
ndctl enable-region "region$region" >/dev/null 2>&1
make -m fsdax -s 384M
equal "fsdax after that: nothing is bad" - "$(bad_sectors)"
equal "fsdax after that: nor in the region" - "$(region_bad)"
finish
