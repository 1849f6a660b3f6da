# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Poison in the memory of a cache of device mapper, which maps all of it: the table is refused, and
# the log says why.  When the page was overwritten the cache is made, with the data that was in it.
#
# expect: rust pass
# regions: 1
# alone: yes
# boot: --virtio-pmem 1G
# timeout: 200

. "$(dirname "$0")/../lib.sh"
plan 15

modprobe -a dm-writecache dm-pcache || bail "modprobe -a dm-writecache dm-pcache"
truncate -s 64M /tmp/origin
origin=$(losetup -f --show /tmp/origin) || bail losetup
head -c 4M /dev/urandom >/tmp/data

# refused TABLE: there is no such device.  Called by check.
# shellcheck disable=SC2317
refused() {
	! dmsetup create cache --table "$1" 2>/dev/null
}

# cache NAME SECTOR WORDS TABLE: on $disk, with the SECTOR bad, which has no data yet.
cache() {
	local name=$1 sector=$2 words=$3 table=$4
	check "$name: the cache is made" dmsetup create cache --table "$table"
	check "$name: it is written" dd if=/tmp/data of=/dev/mapper/cache bs=64k oflag=direct conv=notrunc status=none
	dmsetup remove cache || bail "$name: dmsetup remove"
	echo "$sector 8" >"$bb"
	check "$name: with poison in it, it is refused" refused "$table"
	check "$name: the log says why" sh -c "dmesg | grep -q '$words'"
	equal "$name: the page is overwritten" 4096 "$(poison pwrite "$disk" $((sector * 512)) 4096 '' direct)"
	check "$name: then the cache is made" dmsetup create cache --table "$table"
	check "$name: with its data" cmp -n $((4 << 20)) /tmp/data /dev/mapper/cache
	dmsetup remove cache || bail "$name: dmsetup remove"
}

# writecache takes no memory that needs a flush of the host, pcache no less than 512 MiB.
namespace
cache writecache $((300 << 11)) "Unable to map persistent memory for cache (-133)" "0 131072 writecache p $origin $disk 4096 0"
modprobe virtio_pmem || bail "modprobe virtio_pmem"
wait_for 10 test -b /dev/pmem1 || bail "there is no /dev/pmem1"
disk=/dev/pmem1 bb=/sys/block/pmem1/badblocks
cache pcache $((600 << 11)) "vmap fallback failed: -133" "0 131072 pcache $disk $origin 4 cache_mode writeback data_crc false"
losetup -d "$origin"
check "the kernel did not complain" test -z "$(complaints)"
finish
