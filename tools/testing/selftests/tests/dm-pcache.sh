# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A persistent cache of device mapper on a partition keeps to the partition.  C makes it at
# the start of the disk, over the partition table and the partition before.
#
# expect: rust pass, c fail, fixed pass
# regions: 0
# alone: yes
# boot: --virtio-pmem 1G
# timeout: 400

. "$(dirname "$0")/../lib.sh"

plan 8

modprobe dm-pcache || bail "modprobe dm-pcache"
other_namespace virtio_pmem
partitions 64 600
head -c 64M /dev/zero | tr '\0' p | dd of="${disk}p1" bs=1M oflag=direct iflag=fullblock status=none
before=$(dd if="$disk" bs=1M count=1 iflag=direct status=none | md5sum)
truncate -s 64M /tmp/origin
origin=$(losetup -f --show /tmp/origin) || bail losetup
check "the cache is made on the second partition" dmsetup create pcache \
	--table "0 131072 pcache ${disk}p2 $origin 4 cache_mode writeback data_crc false"
head -c 16M /dev/urandom >/tmp/data
check "it is written" dd if=/tmp/data of=/dev/mapper/pcache bs=64k oflag=direct conv=notrunc status=none
check "and read" cmp -n $((16 << 20)) /tmp/data /dev/mapper/pcache
defect equal "the partition table is as it was" "$before" "$(dd if="$disk" bs=1M count=1 iflag=direct status=none | md5sum)"
defect equal "the first partition has only what was written there" p \
	"$(dd if="${disk}p1" bs=1M iflag=direct status=none | tr -s p | head -c 100)"
check "the second has the cache" sh -c "dd if=${disk}p2 bs=1M count=32 iflag=direct status=none | tr -d '\\0' | grep -q ."
check "the cache goes" dmsetup remove pcache
check "and comes with its data" sh -c "dmsetup create pcache --table '0 131072 pcache ${disk}p2 $origin 4 cache_mode writeback data_crc false' && cmp -n $((16 << 20)) /tmp/data /dev/mapper/pcache"
dmsetup remove pcache
losetup -d "$origin"
finish
