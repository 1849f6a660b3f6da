# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Reads and writes over poison below device mapper end as they do without it: a read gets the good
# sectors before the first bad one, a write of a page repairs it, and one of less does not.
#
# expect: rust pass
# regions: 2
# timeout: 150

. "$(dirname "$0")/../lib.sh"
plan 28

MIB=1048576
page=4096
namespace
disk_a=$disk bb_a=$bb start_a=$(($(data_start)))
region=''
namespace
disk_b=$disk bb_b=$bb start_b=$(($(data_start)))
size=$((400 * MIB / 512))

# make_bad FILE PAGE SECTOR: that sector of the page is bad, whichever NVDIMM has it, which is $bb.
make_bad() {
	local phys start
	phys=$(($(poison phys "$1" "$2"))) bb=$bb_a start=$start_a
	if [ $phys -ge "$start_b" ] && [ $phys -lt $((start_b + 512 * MIB)) ]; then
		bb=$bb_b start=$start_b
	fi
	echo "$(((phys - start) / 512 + $3)) 1" >"$bb"
}

for name in disk linear stripe nested; do
	case $name in
	disk) disk=$disk_a ;;
	linear) dmsetup create linear --table "0 $size linear $disk_a 65536" || bail "dmsetup create" ;;
	stripe) dmsetup create stripe --table "0 $size striped 2 128 $disk_a 8192 $disk_b 16384" || bail "dmsetup create" ;;
	nested)
		dmsetup create below --table "0 $size striped 2 128 $disk_a 8192 $disk_b 16384" || bail "dmsetup create"
		dmsetup create nested --table "0 $((size - 2048)) linear /dev/mapper/below 2048" || bail "dmsetup create"
		;;
	esac
	[ $name = disk ] || disk=/dev/mapper/$name
	xfs
	f=$mnt/file
	poison fill "$f" 0 64 2
	make_bad "$f" 9 3
	at=$((9 * page))
	equal "$name: a read ends before the bad sector" $((page + 1536)) "$(poison pread "$f" $((at - page)) $((3 * page)))"
	equal "$name: one that begins there is EIO" EIO "$(poison pread "$f" $((at + 1536)) 512)"
	equal "$name: one behind it is whole" $((3 * 512)) "$(poison pread "$f" $((at + 2560)) 1536)"
	equal "$name: a write of half the page is EIO" EIO "$(poison pwrite "$f" $at 2048 x)"
	equal "$name: one of the page succeeds" $page "$(poison pwrite "$f" $at $page R)"
	equal "$name: nothing is bad any more" - "$(bad_sectors)"
	equal "$name: the neighbours are whole" "same same" "$(poison verify "$f" 0 9 2) $(poison verify "$f" 10 54 2)"
	umount "$mnt"
	[ $name = disk ] || dmsetup remove $name
	[ $name != nested ] || dmsetup remove below
done
finish
