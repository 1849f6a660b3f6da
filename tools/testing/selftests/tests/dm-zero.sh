# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Targets of device mapper with DAX zero what they are asked to, and no more: a page of a
# realtime file with extents of 64 KiB is made a hole, which XFS does by zeroing it.
# log-writes passes bytes for pages.  C's core refuses so many, and that is EIO; the core
# in Rust takes them, and 16 MiB are zero.
#
# expect: rust pass, c fail, fixed pass
# regions: 2
# timeout: 400

. "$(dirname "$0")/../lib.sh"

plan 18

pages=8192 hole=5

# zero: what a page of zeroes looks like.  page_of FILE PAGE: what that page looks like.
zero=$(head -c 4096 /dev/zero | md5sum)
page_of() {
	dd if="$1" bs=4096 skip="$2" count=1 status=none | md5sum
}
punch=(xfs_io -c "fpunch $((hole * 4096)) 4096")

namespace
rt=$disk sectors=$(blockdev --getsz "$disk")
region=''
namespace
modprobe dm-log-writes || bail "modprobe dm-log-writes"
truncate -s 64M /tmp/log
log=$(losetup -f --show /tmp/log) || bail losetup

for target in linear striped log-writes; do
	case $target in
	linear) table="0 $sectors linear $rt 0" ;;
	striped) table="0 $((sectors - sectors % 4096)) striped 1 4096 $rt 0" ;;
	log-writes) table="0 $sectors log-writes $rt $log" ;;
	esac
	dmsetup create "$target" --table "$table" || bail "dmsetup create $target"
	words=$(mkfs.xfs -q -f -m rmapbt=0,reflink=0 -d rtinherit=1 --unsupported \
		-r "rtdev=/dev/mapper/$target,extsize=64k" "$disk" 2>&1) || bail "$target: mkfs.xfs: $(head -n 1 <<<"$words")"
	mount -t xfs -o "dax=always,rtdev=/dev/mapper/$target" "$disk" "$mnt" || bail "$target: mount"
	poison fill "$mnt/file" 0 $pages 1
	equal "$target: the file has DAX" dax "$(mapped dax "$mnt/file")"
	if [ $target = log-writes ]; then
		defect check "$target: a page is made a hole" "${punch[@]}" "$mnt/file"
		defect equal "$target: it is zero" "$zero" "$(page_of "$mnt/file" $hole)"
	else
		check "$target: a page is made a hole" "${punch[@]}" "$mnt/file"
		equal "$target: it is zero" "$zero" "$(page_of "$mnt/file" $hole)"
	fi
	equal "$target: the pages before it are not" same "$(poison verify "$mnt/file" 0 $hole 1)"
	equal "$target: nor those after it" same "$(poison verify "$mnt/file" $((hole + 1)) $((pages - hole - 1)) 1)"
	umount "$mnt"
	check "$target: the device goes" dmsetup remove "$target"
done
losetup -d "$log"
finish
