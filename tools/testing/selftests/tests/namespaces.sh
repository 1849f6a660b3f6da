# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Every kind of namespace: raw, sector, fsdax with its page structs on the device and in
# memory, devdax, and several in one region; they hold data, and what sysfs says of them
# is the same on both kernels (run-all compares it).
#
# It uses the first region, whose names are the same in each run.
#
# expect: rust pass, c pass
# alone: yes
# regions: 6
# timeout: 400

. "$(dirname "$0")/../lib.sh"
plan 44

# dump NAME: everything of the disk in sysfs that does not change by itself.
dump() {
	local file mode value
	while read -r mode file; do
		case $file in
		# Ours alone.
		./dax/report_failure) continue ;;
		./stat | ./inflight | ./diskseq | ./uevent | ./dev | ./events*) value='' ;;
		*) value=$({ tr '\n' ' ' <"/sys/block/$dev/$file"; } 2>/dev/null) || value=unreadable ;;
		esac
		echo "@$kernel $1 $file $mode $value"
	done < <(cd "/sys/block/$dev" && find . -maxdepth 2 \( -name device -o -name bdi -o -name holders -o -name slaves -o -name power -o -name trace -o -name integrity \) -prune -o -type f -printf '%m %p\n' | sort -k 2)
}

# holds NAME: blocks that were written can be read, before and after a rebind.
holds() {
	head -c 8M /dev/urandom >/tmp/data
	check "$1: is written" dd if=/tmp/data of="$disk" bs=1M oflag=direct conv=notrunc status=none
	check "$1: reads back" cmp -n 8388608 /tmp/data "$disk"
	if [ "${2:-}" = rebind ]; then
		unbind
		bind
		check "$1: reads back after a rebind" cmp -n 8388608 /tmp/data "$disk"
	fi
	check "$1: the last block can be written" dd if=/tmp/data of="$disk" bs=4096 count=1 \
		seek=$(($(cat "/sys/block/$dev/size") / 8 - 1)) oflag=direct conv=notrunc status=none
	matches "$1: nothing beyond the end can" "E*" "$(poison pwrite "$disk" $(($(cat "/sys/block/$dev/size") * 512)) 4096 x direct)"
}

# files NAME: a file system holds files.
files() {
	mkfs.xfs -q -f "$disk" || bail "$1: mkfs.xfs"
	mount -t xfs "$disk" "$mnt" || bail "$1: mount"
	poison fill "$mnt/file" 0 256 10
	umount "$mnt"
	mount -t xfs "$disk" "$mnt" || bail "$1: mount again"
	equal "$1: a file system holds files" same "$(poison verify "$mnt/file" 0 256 10)"
	umount "$mnt"
}

region=''
namespace -m raw
equal "raw: the disk's name" pmem0 "$dev"
equal "raw: no DAX" 0 "$(cat "/sys/block/$dev/queue/dax")"
dump raw
holds raw rebind
files raw

region=''
namespace -m fsdax -M dev
equal "fsdax: DAX" 1 "$(cat "/sys/block/$dev/queue/dax")"
dump fsdax-dev
attribute=/sys/block/$dev/dax/write_cache
equal "fsdax: the cache is written back (1)" 1 "$(cat "$attribute")"
check "fsdax: and this can be changed" sh -c "echo 0 >$attribute"
equal "fsdax: as is then shown" 0 "$(cat "$attribute")"
check "fsdax: words are understood" sh -c "echo on >$attribute"
equal "fsdax: and shown as a number" 1 "$(cat "$attribute")"
check "fsdax: nonsense is refused" sh -c "! echo maybe >$attribute 2>/dev/null"
holds fsdax rebind
files fsdax

region=''
namespace -m fsdax -M mem
dump fsdax-mem
holds "fsdax in memory" rebind
files "fsdax in memory"

region=''
namespace -m sector
matches "sector: the disk's name" "pmem*s" "$dev"
equal "sector: atomic sectors of 4096" 4096 "$(cat "/sys/block/$dev/queue/logical_block_size")"
dump sector
files sector
holder=btt$region.0
check "sector: can be disabled" ndctl disable-namespace "$ns"
check "sector: and enabled" ndctl enable-namespace "$ns"
check "sector: and mounted again" mount -t xfs "$disk" "$mnt"
equal "sector: the files are there" same "$(poison verify "$mnt/file" 0 256 10)"
umount "$mnt"
check "sector: can be destroyed" ndctl destroy-namespace -f "$ns"

region=''
namespace -m devdax
check "devdax: the driver of disks leaves it alone" test -z "$dev"
modprobe -a dax_pmem device_dax 2>/dev/null
check "devdax: is there" wait_for 10 compgen -G "/dev/dax*"

# Several in one region need labels.
region=$(next_region) || bail "no NVDIMM is left"
nmem=$(cut -d, -f1 "/sys/bus/nd/devices/region$region/mapping0")
check "labels: the region can be disabled" ndctl disable-region "region$region"
check "labels: are made" ndctl init-labels -f "$nmem"
check "labels: and enabled" ndctl enable-region "region$region"
for i in 0 1; do
	json=$(ndctl create-namespace -r "region$region" -m fsdax -s 128M 2>/tmp/ndctl.err) ||
		bail "namespace $i in one region: $(tail -n 1 /tmp/ndctl.err)"
	dev=$(jq -r .blockdev <<<"$json") disk=/dev/$dev
	equal "labels: its name" "pmem$region$([ $i = 0 ] || echo .$i)" "$dev"
	dump "labels-$i"
	head -c 1M /dev/urandom >"/tmp/part$i"
	dd if="/tmp/part$i" of="$disk" bs=1M oflag=direct conv=notrunc status=none
done
check "labels: the first holds its data" cmp -n 1048576 /tmp/part0 "/dev/pmem$region"
check "labels: and the second" cmp -n 1048576 /tmp/part1 "/dev/pmem$region.1"
finish
