# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Files on device mapper with DAX: pages fail, reads end before them, and writes repair them and
# nothing else, whichever target is between, alone or beside another, and whichever disk has them.
# A table with a disk that has no DAX has none.
#
# expect: rust pass
# regions: 2
# timeout: 300

. "$(dirname "$0")/../lib.sh"
plan 53

page=4096
# The pages of a file that fail.  A stripe has 512.
places="100 511 512 1023"
pages=1536

namespace
disk_a=$disk bb_a=$bb
region=''
namespace
disk_b=$disk bb_b=$bb
sectors=$((192 << 11)) half=$((64 << 11))
modprobe dm-log-writes || bail "modprobe dm-log-writes"
truncate -s 256M /tmp/log
log=$(losetup -f --show /tmp/log) || bail losetup

# bad: how many sectors are bad on both disks.
bad() {
	cat "$bb_a" "$bb_b" | awk '{ sum += $2 } END { print sum + 0 }'
}

# has_dax NAME: the kernel's word for it.
has_dax() {
	cat "/sys/block/$(dmsetup info -c --noheadings -o blkdevname "$1")/queue/dax"
}

# table NAME
table() {
	case $1 in
	linear) echo "0 $sectors linear $disk_a 8192" ;;
	striped) echo "0 $sectors striped 2 4096 $disk_a 8192 $disk_b 4096" ;;
	log-writes) echo "0 $sectors log-writes $disk_a $log" ;;
	mixed)
		echo "0 $half striped 2 4096 $disk_a 8192 $disk_b 4096"
		echo "$half $((sectors - half)) linear $disk_b 262144"
		;;
	esac
}

for name in linear striped log-writes mixed; do
	dmsetup create "$name" --table "$(table "$name")" || bail "dmsetup create $name"
	disk=/dev/mapper/$name
	equal "$name: has DAX" 1 "$(has_dax "$name")"
	mkfs.ext4 -q -F -b 4096 "$disk" || bail "$name: mkfs.ext4"
	mount -t ext4 -o dax=always "$disk" "$mnt" || bail "$name: mount"
	f=$mnt/file
	fallocate -l $((pages * page)) "$f" || bail "$name: fallocate"
	poison fill "$f" 0 $pages 5
	equal "$name: the file has DAX" dax "$(mapped dax "$f")"
	for at in $places; do
		poison madv "$f" "$at" >/dev/null
	done
	equal "$name: as many pages are bad" $((4 * 8)) "$(bad)"
	for at in $places; do
		equal "$name: page $at is EIO" EIO "$(poison pread "$f" $((at * page)) $page)"
	done
	equal "$name: a read ends before the first" $page "$(poison pread "$f" $((99 * page)) $((3 * page)))"
	equal "$name: a write over all of them repairs them" same "$(poison fill "$f" 90 1000 6 && poison verify "$f" 90 1000 6)"
	equal "$name: nothing is bad" 0 "$(bad)"
	equal "$name: the pages before them are whole" same "$(poison verify "$f" 0 90 5)"
	equal "$name: and those after them" same "$(poison verify "$f" 1090 $((pages - 1090)) 5)"
	umount "$mnt"
	dmsetup remove "$name" || bail "dmsetup remove $name"
done

# A disk without DAX in the table.
truncate -s 64M /tmp/plain
plain=$(losetup -f --show /tmp/plain) || bail losetup
dmsetup create beside --table "0 $half linear $disk_a 8192
$half 131072 linear $plain 0" || bail "dmsetup create beside"
equal "beside a disk without DAX: has none" 0 "$(has_dax beside)"
check "beside a disk without DAX: a file system with DAX is refused" sh -c \
	"mkfs.ext4 -q -F -b 4096 /dev/mapper/beside && ! mount -t ext4 -o dax=always /dev/mapper/beside $mnt 2>/dev/null"
echo "$((8192 + 80000)) 8" >"$bb_a"
equal "beside a disk without DAX: a bad sector is EIO" EIO "$(poison pread /dev/mapper/beside $((80000 * 512)) $page direct)"
equal "beside a disk without DAX: a write repairs it" $page "$(poison pwrite /dev/mapper/beside $((80000 * 512)) $page x direct)"
equal "beside a disk without DAX: nothing is bad" 0 "$(bad)"
dmsetup remove beside
losetup -d "$plain"
losetup -d "$log"
finish
