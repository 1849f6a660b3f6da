# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# fio writes at random and reads back, with every engine, on the disk and on a file; and
# flushes and FUA writes come through.
#
# expect: rust pass, c pass, fixed pass
# timeout: 150

. "$(dirname "$0")/../lib.sh"
plan 16

namespace
# Called by check.
# shellcheck disable=SC2317
job() {
	fio --name=verify --filename="$2" --ioengine="$1" --rw=randrw --size=8m --io_size=16m --bsrange=512-128k --bs_unaligned=0 \
		--blockalign=512 --direct=1 --iodepth=8 --verify=crc32c --verify_fatal=1 --randseed=7 --output=/tmp/fio.out \
		"${@:3}" || { tail -n 5 /tmp/fio.out; return 1; }
}
for engine in psync libaio io_uring; do
	check "disk, $engine" job $engine "$disk"
done
check "disk, with fsync" job psync "$disk" --fsync=8
check "disk, large blocks" job psync "$disk" --bsrange=1m-4m --blockalign=4096
check "disk, buffered" job psync "$disk" --direct=0 --end_fsync=1
check "disk, FUA" dd if=/dev/urandom of="$disk" bs=64k count=32 oflag=direct,dsync conv=notrunc status=none
head -c 1M /dev/urandom >/tmp/data
check "disk, odd offsets" sh -c "dd if=/tmp/data of=$disk bs=512 seek=3 oflag=direct conv=notrunc status=none &&
	dd if=$disk bs=512 skip=3 count=2048 iflag=direct status=none | cmp - /tmp/data"
xfs
for engine in psync libaio io_uring mmap; do
	check "file, $engine" job $engine "$mnt/fio" --bsrange=4k-128k --blockalign=4096
done
check "file, with fsync" job psync "$mnt/fio" --fsync=8
check "holes and zeroes" xfs_io -f -c "pwrite -q 0 4m" -c "fzero 1m 1m" -c "fpunch 2m 64k" -c "fsync" "$mnt/zero"
check "zeroed ranges are zero" cmp -n 1048576 -i 1048576:0 "$mnt/zero" /dev/zero
umount "$mnt"
check "the file system is sound" xfs_repair -n "$disk"
finish
