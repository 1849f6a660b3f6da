# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# XFS on device mapper over NVDIMMs: memory of an NVDIMM that fails is memory of the volume, and
# XFS is told of it with the volume's own bytes.  A page of a file and of its clone is told to
# the processes that map them, a group's header shuts the file system down.  On linear and
# striped targets, volumes of more than one target, volumes on volumes, two volumes of one
# NVDIMM, and after a volume was moved.  C notifies no holder: users of shared pages read on, and so does XFS.
#
# expect: rust pass, c fail
# regions: 2
# timeout: 400

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../xfs.sh"
plan $((73 + 15 * ours))

MIB=1048576
tracing=/sys/kernel/tracing
modprobe -a dax_holder_test hwpoison-inject || bail "modprobe"
namespace
disk_a=$disk start_a=$(($(data_start)))
region=''
namespace
disk_b=$disk start_b=$(($(data_start)))
size=$((400 * MIB / 512))
[ "$ours" = 0 ] || echo 1 >$tracing/events/dax/dax_notify/enable

# make VOLUME: of a layout by that name.  phys_in VOLUME BYTE: where a byte of it is.
quarter=$((size / 4))
make() {
	case $1 in
	linear) dmsetup create linear --table "0 $size linear $disk_a 65536" ;;
	# Its first quarter comes last in the NVDIMM, and its third is in the other one.
	concat)
		dmsetup create concat <<-END
			0 $quarter linear $disk_a $((size / 2 + 8192))
			$quarter $quarter linear $disk_a 2048
			$((quarter * 2)) $quarter linear $disk_b 4096
			$((quarter * 3)) $quarter linear $disk_a $((2048 + quarter))
		END
		;;
	# Every 64 KiB the other NVDIMM.
	stripe) dmsetup create stripe --table "0 $size striped 2 128 $disk_a 8192 $disk_b 16384" ;;
	# A volume on a volume on stripes.
	nested)
		make stripe && dmsetup create middle --table "0 $((size - 2048)) linear /dev/mapper/stripe 2048" &&
			dmsetup create nested --table "0 $((size - 6144)) linear /dev/mapper/middle 4096"
		;;
	esac
}
phys_in() {
	local row rest
	case $1 in
	linear) echo $((start_a + 32 * MIB + $2)) ;;
	concat)
		rest=$(($2 % (quarter * 512)))
		case $(($2 / (quarter * 512))) in
		0) echo $((start_a + 204 * MIB + rest)) ;;
		1) echo $((start_a + MIB + rest)) ;;
		2) echo $((start_b + 2 * MIB + rest)) ;;
		3) echo $((start_a + 101 * MIB + rest)) ;;
		esac
		;;
	stripe)
		row=$(($2 / 131072)) rest=$(($2 % 65536))
		if [ $(($2 % 131072)) -lt 65536 ]; then
			echo $((start_a + 4 * MIB + row * 65536 + rest))
		else
			echo $((start_b + 8 * MIB + row * 65536 + rest))
		fi
		;;
	nested) phys_in stripe $((3 * MIB + $2)) ;;
	esac
}
unmake() {
	dmsetup remove "$1" && { [ "$1" != nested ] || { dmsetup remove middle && dmsetup remove stripe; }; }
}

# corrupt_byte LAYOUT BYTE: the page of the volume with that byte fails; clean_byte: it is repaired.
corrupt_byte() {
	corrupt $(($(phys_in "$1" "$2") / 4096)) 2>/dev/null
}
clean_byte() {
	local phys
	phys=$(phys_in "$1" "$2")
	if [ "$phys" -ge "$start_b" ] && [ "$phys" -lt $((start_b + 512 * MIB)) ]; then
		set -- "$disk_b" $((phys - start_b))
	else
		set -- "$disk_a" $((phys - start_a))
	fi
	dd if=/dev/zero of="$1" bs=4096 seek=$(($2 / 4096)) count=1 conv=notrunc oflag=direct status=none
}

# minor_of DISK: by which the trace names its dax device.
minor_of() {
	local name
	name=$(basename "$(readlink -f "/sys/dev/block/$(printf '%d:%d' "0x$(stat -c %t "$1")" "0x$(stat -c %T "$1")")")")
	basename "$(grep -lx "disk: $name" /sys/kernel/debug/dax/*)"
}

# told_bytes DISK: what the holders of that disk were told since the last call: "OFFSET+LENGTH" each,
# and one for neighbours that were told in turn.
told_bytes() {
	local offset len first='' end='' ranges=()
	while read -r offset len; do
		if [ $((offset)) != "$end" ]; then
			[ -z "$first" ] || ranges+=("$(printf '%#x+%#x' "$first" $((end - first)))")
			first=$((offset))
		fi
		end=$((offset + len))
	done < <(sed -n "s/.*: dax_notify: dev $(minor_of "$1") offset \([^ ]*\) length \([^ ]*\) .*/\1 \2/p" $tracing/trace)
	[ -z "$first" ] || ranges+=("$(printf '%#x+%#x' "$first" $((end - first)))")
	echo "${ranges[*]}"
	echo >$tracing/trace
}

# holders_of DISK: how many it has.
holders_of() {
	grep -c "^holder: " "/sys/kernel/debug/dax/$(minor_of "$1")"
}

# A file, a clone of it and another file.  users PAGE: processes that have that page, and others.
files() {
	poison fill "$mnt/file" 0 64 1
	cp --reflink=always "$mnt/file" "$mnt/clone"
	poison fill "$mnt/next" 0 8 2
	sync
}
users() {
	watch_soon file "$mnt/file" "$1"
	watch_soon clone "$mnt/clone" "$1"
	watch_soon beside "$mnt/file" $(($1 + 1))
	watch_soon next "$mnt/next" 5
	all_watch file clone beside next
}

# users_told NAME PAGE: just those of the page were.
users_told() {
	local at
	at=$(printf 'offset=%#x' $(($2 * 4096)))
	stop_watching
	defect equal "$1: the file's user is told" "told SIGBUS $at" "$(told file)"
	defect equal "$1: and the clone's" "told SIGBUS $at" "$(told clone)"
	equal "$1: and nobody else" "not told, not told" "$(told beside), $(told next)"
}

for name in linear concat stripe nested; do
	check "$name: the volume is made" make $name
	disk=/dev/mapper/$name
	mkfs_xfs
	files
	equal "$name: the file has DAX" dax "$(mapped dax "$mnt/file")"

	users 5
	at=$(place_of "$mnt/file" 5)
	[ "$ours" = 0 ] || told_bytes "$disk" >/dev/null
	equal "$name: the page is where it is to be" "$(pfn_of "$mnt/file" 5)" $(($(phys_in $name "$at") / 4096))
	corrupt_byte $name "$at"
	users_told "$name, a page" 5
	if [ "$ours" = 1 ]; then
		equal "$name: XFS is told of these bytes" "$(printf '%#x+0x1000' "$at")" "$(told_bytes "$disk")"
	fi
	check "$name: XFS goes on" works
	equal "$name: the page is repaired" 4096 "$(poison pwrite "$mnt/file" $((5 * 4096)) 4096 r)"
	equal "$name: and the clone's" 4096 "$(poison pwrite "$mnt/clone" $((5 * 4096)) 4096 r)"

	# What an agent knows of, to the byte, in two pages.
	users 8
	at=$(($(place_of "$mnt/file" 8) + 1000))
	below=$disk_a phys=$(phys_in $name "$at") start=$start_a
	if [ "$phys" -ge "$start_b" ] && [ "$phys" -lt $((start_b + 512 * MIB)) ]; then
		below=$disk_b start=$start_b
	fi
	holder_open "$below"
	[ "$ours" = 0 ] || told_bytes "$disk" >/dev/null
	defect equal "$name: 100 bytes are reported" 0 "$(notify $((phys - start)) 100)"
	users_told "$name, 100 bytes" 8
	if [ "$ours" = 1 ]; then
		equal "$name: XFS is told of these 100 bytes" "$(printf '%#x+0x64' "$at")" "$(told_bytes "$disk")"
	fi
	holder_close

	header=$((agsize * 2))
	corrupt_byte $name $header
	defect check "$name: a lost group header shuts XFS down" is_shut_down
	umount "$mnt"
	unmake $name
	clean_byte $name $header
	if [ "$ours" = 1 ]; then
		equal "$name: no holder is left" "0 0" "$(holders_of "$disk_a") $(holders_of "$disk_b")"
	fi
done

# A long range of a leg of stripes is many ranges of the volume.
make stripe || bail "the stripes are not made"
disk=/dev/mapper/stripe
mkfs_xfs
if [ "$ours" = 1 ]; then
	holder_open "$disk_b"
	told_bytes "$disk" >/dev/null
	# From the middle of chunk 1600 of the leg to the middle of chunk 1640: free space.
	notify $((8 * MIB + 1600 * 65536 + 32768)) $((40 * 65536)) >/dev/null
	wanted=$(
		printf '%#x+0x8000' $(((1600 * 2 + 1) * 65536 + 32768))
		for ((i = 1601; i < 1640; i++)); do printf ' %#x+0x10000' $(((i * 2 + 1) * 65536)); done
		printf ' %#x+0x8000' $(((1640 * 2 + 1) * 65536))
	)
	equal "stripe: each chunk of a long range is told" "$wanted" "$(told_bytes "$disk")"
	holder_close
fi
umount "$mnt"
unmake stripe

# Two volumes of one NVDIMM.
mkdir -p /mnt/v1 /mnt/v2
for v in 1 2; do
	dmsetup create v$v --table "0 $((200 * MIB / 512)) linear $disk_a $(((v * 240 - 220) * MIB / 512))" || bail "dmsetup create v$v"
	words=$(mkfs.xfs -q -f --unsupported /dev/mapper/v$v 2>&1) || bail "mkfs.xfs: $(head -n 1 <<<"$words")"
	check "volume $v: is mounted with DAX" mount -t xfs -o dax=always /dev/mapper/v$v /mnt/v$v
	poison fill /mnt/v$v/file 0 16 $v
	cp --reflink=always /mnt/v$v/file /mnt/v$v/clone
done
sync
for v in 1 2; do
	watch file$v /mnt/v$v/file 5
	watch clone$v /mnt/v$v/clone 5
done
check "a page of volume 2 fails" corrupt "$(pfn_of /mnt/v2/file 5)"
stop_watching
defect equal "volume 2: its users are told" "told SIGBUS offset=0x5000, told SIGBUS offset=0x5000" \
	"$(told file2), $(told clone2)"
equal "volume 1: its users are not" "not told, not told" "$(told file1), $(told clone1)"
mnt=/mnt/v2
agsize=$(($(xfs_db -r -c "sb 0" -c "p agblocks" /dev/mapper/v2 | sed 's/.*= //') * 4096))
corrupt $(((start_a + 260 * MIB + agsize) / 4096)) 2>/dev/null
defect check "volume 2: a lost group header shuts it down" is_shut_down
mnt=/mnt/v1
check "volume 1: goes on" works
umount /mnt/v2
dmsetup remove v2
watch file1 /mnt/v1/file 7
watch clone1 /mnt/v1/clone 7
corrupt "$(pfn_of /mnt/v1/file 7)"
stop_watching
defect equal "volume 1: its users are, after the other has gone" "told SIGBUS offset=0x7000, told SIGBUS offset=0x7000" \
	"$(told file1), $(told clone1)"

# It is moved to the other NVDIMM under its file system, when all of it can be read.
for f in file clone; do
	poison pwrite /mnt/v1/$f $((7 * 4096)) 4096 r >/dev/null
done
sync
dmsetup suspend v1
check "volume 1: is copied" dd if="$disk_a" of="$disk_b" bs=1M skip=20 seek=20 count=200 iflag=direct oflag=direct conv=notrunc status=none
dmsetup load v1 --table "0 $((200 * MIB / 512)) linear $disk_b $((20 * MIB / 512))" || bail "dmsetup load"
check "volume 1: is moved" dmsetup resume v1
if [ "$ours" = 1 ]; then
	equal "volume 1: holds the one and not the other" "0 1" "$(holders_of "$disk_a") $(holders_of "$disk_b")"
fi
at=$(place_of /mnt/v1/file 9)
for was in yes no; do
	watch file1 /mnt/v1/file 9
	watch clone1 /mnt/v1/clone 9
	if [ $was = yes ]; then
		corrupt $(((start_a + 20 * MIB + at) / 4096)) 2>/dev/null
		stop_watching
		equal "volume 1: its users are not told of where it was" "not told, not told" "$(told file1), $(told clone1)"
	else
		corrupt $(((start_b + 20 * MIB + at) / 4096))
		stop_watching
		defect equal "volume 1: but of where it is" "told SIGBUS offset=0x9000, told SIGBUS offset=0x9000" \
			"$(told file1), $(told clone1)"
	fi
done
umount /mnt/v1
check "volume 1: goes" dmsetup remove v1

# A volume on a partition.
mnt=/mnt/pmem disk=$disk_a
partitions 40 420
dmsetup create part --table "0 $size linear ${disk_a}p2 8192" || bail "dmsetup create"
disk=/dev/mapper/part
mkfs_xfs
files
equal "partition: the file has DAX" dax "$(mapped dax "$mnt/file")"
users 5
at=$(place_of "$mnt/file" 5)
[ "$ours" = 0 ] || told_bytes "$disk" >/dev/null
corrupt "$(pfn_of "$mnt/file" 5)" 2>/dev/null
users_told partition 5
if [ "$ours" = 1 ]; then
	equal "partition: XFS is told of these bytes" "$(printf '%#x+0x1000' "$at")" "$(told_bytes "$disk")"
fi
umount "$mnt"
dmsetup remove part
finish
