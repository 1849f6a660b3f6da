# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# An NVDIMM is unbound under XFS on device mapper, while a file on it and its clone are mapped: on
# a linear volume, a volume on a volume, one of two legs of stripes, the second of two NVDIMMs of a
# volume.  Their users are told, no page of the NVDIMM is mapped when unbind returns, and what was
# synced is there when it is bound again.  The same for ext4, which is not told.  C frees the page
# structs under the page tables.
#
# expect: rust pass, c crash:zap_vma_range|pagemap_pmd_range
# debug: always
# regions: 2
# timeout: 400

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../xfs.sh"
plan 65

MIB=1048576
namespace
disk_a=$disk
region=''
namespace
disk_b=$disk dev_b=$dev start_b=$(($(data_start)))
size=$((400 * MIB / 512))

make() {
	case $1 in
	linear) dmsetup create linear --table "0 $size linear $disk_b 65536" ;;
	nested)
		dmsetup create below --table "0 $size linear $disk_b 65536" &&
			dmsetup create nested --table "0 $((size - 2048)) linear /dev/mapper/below 2048"
		;;
	stripe) dmsetup create stripe --table "0 $size striped 2 128 $disk_a 8192 $disk_b 8192" ;;
	concat)
		dmsetup create concat <<-END
			0 $((size / 2)) linear $disk_a 8192
			$((size / 2)) $((size / 2)) linear $disk_b 8192
		END
		;;
	esac
}
unmake() {
	dmsetup remove "$1" && { [ "$1" != nested ] || dmsetup remove below; }
}

# removals: how often an XFS was told of one.
removals() {
	dmesg | grep -c 'about to be removed'
}

# lost_page FILE...: a page of one of them that is on the NVDIMM that goes, as $page of $file.
lost_page() {
	local phys
	for file; do
		# A chunk of stripes has 16 pages.
		for page in 5 21; do
			phys=$(($(poison phys "$file" $page)))
			[ $phys -lt "$start_b" ] || [ $phys -ge $((start_b + 512 * MIB)) ] || return 0
		done
	done
	bail "no file has a page on the NVDIMM that goes"
}

for case in linear nested stripe concat ext4; do
	name=$case type=xfs mkfs=(mkfs.xfs -q -f) clone=(cp --reflink=always)
	[ $case != ext4 ] || name=linear type=ext4 mkfs=(mkfs.ext4 -q -F -b 4096) clone=(cp)
	make $name || bail "dmsetup create"
	disk=/dev/mapper/$name dev=$dev_b
	"${mkfs[@]}" "$disk" || bail "mkfs.$type"
	mount -t $type -o dax=always "$disk" "$mnt" || bail "mount"
	# Directories are in different groups, and so on both NVDIMMs if there are two.
	for i in 0 1 2 3; do
		mkdir "$mnt/$i"
		poison fill "$mnt/$i/file" 0 64 $i
	done
	lost_page "$mnt"/?/file
	seed=$(basename "$(dirname "$file")")
	"${clone[@]}" "$file" "$mnt/clone"
	sync
	mappers_of 4 shared "$page" "$file" "$mnt/clone"
	equal "$case: they are mapped" 4 "$(ask mapped)"

	before=$(removals)
	unbind &
	unbinder=$!
	check "$case: the removal ends" wait_for 60 ended $unbinder
	check "$case: the disk is gone" test ! -e "/sys/block/$dev"
	told=1
	[ $type = xfs ] || told=0
	equal "$case: XFS is told once" $told $(($(removals) - before))
	equal "$case: no page of the disk is mapped" 0 "$(ask mapped)"
	matches "$case: their users are told" "4 SIGBUS code=MCEERR_AO *" "$(ask told)"
	matches "$case: a load of one is SIGBUS" "4 SIGBUS *" "$(ask touch)"
	end_mappers
	check "$case: it can be unmounted" timeout "$(patient 60)" umount "$mnt"
	check "$case: the volume goes" unmake $name
	bind
	check "$case: the disk is back" wait_for 20 test -b "$disk_b"
	make $name || bail "dmsetup create"
	check "$case: the volume is mounted again" mount -t $type -o dax=always "$disk" "$mnt"
	equal "$case: the clone has its data" same "$(poison verify "$mnt/clone" 0 64 "$seed")"
	equal "$case: and all files" "same same same same" \
		"$(for i in 0 1 2 3; do poison verify "$mnt/$i/file" 0 64 $i; done | paste -sd' ')"
	umount "$mnt"
	unmake $name
done
finish
