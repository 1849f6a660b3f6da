# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Unbinding under a mounted ext4, with data that was not synced: it is written first, so
# that it is there after the next bind.
#
# expect: rust pass, c pass
# regions: 2

. "$(dirname "$0")/../lib.sh"
plan 16

for options in "" "-o dax=always"; do
	region=
	namespace
	mkfs.ext4 -q -F -b 4096 "$disk" || bail mkfs.ext4
	# shellcheck disable=SC2086
	mount -t ext4 $options "$disk" "$mnt" || bail mount
	name="ext4${options:+ with dax}"
	head -c 20M /dev/urandom >/tmp/data
	mkdir "$mnt/d"
	for i in 1 2 3; do
		cp /tmp/data "$mnt/d/$i"
	done
	unbind
	check "$name: the disk is gone" test ! -e "/sys/block/$dev"
	check "$name: writing fails then" sh -c "! dd if=/tmp/data of=$mnt/d/4 conv=fsync 2>/dev/null"
	check "$name: it can be unmounted" umount "$mnt"
	bind
	check "$name: the disk is back" test -b "$disk"
	# shellcheck disable=SC2086
	mount -t ext4 $options "$disk" "$mnt" || bail "mount again"
	for i in 1 2 3; do
		check "$name: file $i, written and not synced, is there" cmp /tmp/data "$mnt/d/$i"
	done
	umount "$mnt"
	check "$name: the file system is sound" e2fsck -f -n "$disk"
done
finish
