# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# virtio-pmem: flushes are requests to the host, and asynchronous; firmware there is none.
#
# expect: rust pass, c fail
# regions: 0
# alone: yes
# boot: --virtio-pmem 512M

. "$(dirname "$0")/../lib.sh"
plan 18

other_namespace virtio_pmem
matches "flushes go to the host" "write back*" "$(cat /sys/block/pmem0/queue/write_cache)"
xfs
check "fsync on a file system" fio --name=f --directory="$mnt" --rw=randwrite --bs=4k --size=2m --fsync=4 --ioengine=psync \
	--verify=crc32c --output=/dev/null
umount "$mnt"
whole_life
finish
