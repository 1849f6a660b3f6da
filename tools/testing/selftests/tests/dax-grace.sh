# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A read of a DAX file has the address of the device's memory, and has not copied yet, when the
# device is removed: the removal waits for it.  The same where the file is on a device of device
# mapper: its users name that device and not the disk below it.
#
# expect: rust pass
# regions: 2
# timeout: 150

. "$(dirname "$0")/../lib.sh"
plan 16

for case in disk dm; do
	region=''
	namespace
	below=$disk
	[ $case = disk ] || {
		dmsetup create grace --table "0 524288 linear $disk 65536" || bail "dmsetup create"
		disk=/dev/mapper/grace
	}
	# ext4 is not told of the removal, so nothing else waits for its users.
	ext4
	poison fill "$mnt/file" 0 16 7
	sync
	hold_in dax_copy_to_iter
	poison pread "$mnt/file" 0 8192 >/tmp/read 2>&1 &
	reader=$!
	check "$case: a read is about to copy" wait_for 20 held

	unbind >/dev/null 2>&1 &
	remover=$!
	check "$case: the removal waits" wait_for 20 blocked_in synchronize_srcu $remover
	# A removal that finds no reader is in there, too, but not for long.
	sleep 2
	check "$case: and goes on waiting" blocked_in synchronize_srcu $remover
	check "$case: the disk is there" test -e "/sys/block/${below#/dev/}"
	let_go
	check "$case: the read ends" wait_for 20 ended $reader
	check "$case: and so does the removal" wait_for 30 ended $remover
	check "$case: the disk is gone" test ! -e "/sys/block/${below#/dev/}"
	rmmod dax_delay
	check "$case: it can be unmounted" umount "$mnt"
	[ $case = disk ] || dmsetup remove grace
done
finish
