# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# fio writes at random and reads back, a file four times the window, by calls and mappings; while
# others truncate, punch and rename beside it.
#
# expect: rust pass, c pass
# regions: 0
# boot: --virtiofs @SCRATCH@,window=4,cache=always --share @SCRATCH@
# timeout: 400

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../virtiofs.sh"
plan 9

# Called by check.
# shellcheck disable=SC2317
job() {
	bounded 120 fio --name=verify --filename="$here/$1" --ioengine="$1" --rw=randrw --size=16m --io_size=4m --bsrange=4k-64k \
		--blockalign=4096 --iodepth=4 --verify=crc32c --verify_fatal=1 --randseed=7 --output=/tmp/fio.out \
		--fallocate=none "${@:2}" || { tail -n 5 /tmp/fio.out; return 1; }
}
virtiofs_mount
for engine in psync mmap libaio io_uring; do
	# In small pieces 9p takes long.
	dd if=/dev/zero of="$there/$engine" bs=1M count=16 status=none
done
check "psync" job psync
check "psync with fsync" job psync --fsync=16
check "mmap" job mmap
check "libaio, O_DIRECT" job libaio --direct=1
check "io_uring" job io_uring

# Others, on files of their own: each ends with what it knows to be there.
others() {
	for _ in 1 2 3 4 5 6; do
		head -c 5000000 "$there/psync" >"$here/$1"
		window touch "$here/$1" 4500000 >/dev/null
		truncate -s 3000000 "$here/$1"
		fallocate -p -o 1000000 -l 500000 "$here/$1"
		mv "$here/$1" "$here/$1.moved"
		cmp -n 1000000 "$there/psync" "$here/$1.moved" || return 1
		cmp -n 1500000 -i 1500000 "$there/psync" "$here/$1.moved" || return 1
		[ "$(stat -c %s "$here/$1.moved")" = 3000000 ] || return 1
		rm "$here/$1.moved"
	done
	echo well
}
others a >/tmp/a 2>&1 &
a=$!
others b >/tmp/b 2>&1 &
b=$!
check "mmap, beside others" job mmap
wait $a $b
equal "others: the first" well "$(cat /tmp/a)"
equal "others: the second" well "$(cat /tmp/b)"
check "it is unmounted" bounded 60 umount "$mnt"
finish
