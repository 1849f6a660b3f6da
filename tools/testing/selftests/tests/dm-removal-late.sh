# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# While an NVDIMM below device mapper goes away, and a volume on it waits for a page in a pipe,
# another one whose file system was told already is unmounted and mounted again, and a new one is
# made.  Neither gets memory of the NVDIMM.  ext4 on two NVDIMMs goes on with what is on the other
# one, and has no DAX when it is mounted the next time.
#
# expect: rust pass
# debug: always
# regions: 2
# timeout: 300

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../xfs.sh"
plan 20

MIB=1048576
fifo /tmp/words
namespace
disk_a=$disk start_a=$(($(data_start)))
region=''
namespace
disk_b=$disk dev_b=$dev
third=$((130 * MIB / 512))

removals() {
	dmesg | grep -c 'about to be removed'
}
# shellcheck disable=SC2317
told_both() {
	[ $(($(removals) - before)) -ge 2 ]
}
has_dax() {
	cat "/sys/block/$(dmsetup info -c --noheadings -o blkdevname "$1")/queue/dax"
}

mkdir -p /mnt/v1 /mnt/v2
for v in 1 2; do
	dmsetup create v$v --table "0 $third linear $disk_b $(((v - 1) * third + 8192))" || bail "dmsetup create v$v"
	mkfs.xfs -q -f --unsupported /dev/mapper/v$v >/dev/null 2>&1 || bail mkfs.xfs
	mount -t xfs -o dax=always /dev/mapper/v$v /mnt/v$v || bail mount
	poison fill /mnt/v$v/file 0 64 $v
	cp --reflink=always /mnt/v$v/file /mnt/v$v/clone
done
sync
equal "the file has DAX" dax "$(mapped dax /mnt/v1/file)"
pin pipe /mnt/v2/file 0 4096 </tmp/words >/tmp/pin &
pin=$!
exec 5>/tmp/words
wait_for 10 grep -q pinned /tmp/pin || bail "a page is not kept"
before=$(removals)
unbind &
unbinder=$!
check "both are told" wait_for 20 told_both
check "the removal waits for the page" test -d /proc/$unbinder
umount /mnt/v1
mount -t xfs -o dax=always /dev/mapper/v1 /mnt/v1
other=$(mapped dax /mnt/v1/file 2>/dev/null)
check "the file has no DAX when it is mounted again" test "$other" != dax
if dmsetup create v3 --table "0 $third linear $disk_b $((2 * third + 8192))"; then
	dax=$(has_dax v3)
	dmsetup remove v3
else
	dax=0
fi
equal "nor has a new volume" 0 "$dax"
check "the removal still waits" test -d /proc/$unbinder
echo >&5
exec 5>&-
wait "$pin"
check "the removal ends" wait_for 60 ended $unbinder
check "the disk is gone" test ! -e "/sys/block/$dev_b"
equal "each was told once" 2 $(($(removals) - before))
for v in 1 2; do
	# The first one may have been refused.
	umount /mnt/v$v 2>/dev/null
	check "volume $v goes" dmsetup remove v$v
done
bind
check "the disk is back" wait_for 20 test -b "$disk_b"

# ext4 on both.
dmsetup create both <<-END || bail "dmsetup create both"
	0 $third linear $disk_a 8192
	$third $third linear $disk_b 8192
END
# mke2fs takes the first free blocks.  The kernel may prefer those of the last group, which is short.
rm -rf /tmp/tree
mkdir /tmp/tree
poison fill /tmp/tree/file 0 64 3
mkfs.ext4 -q -F -b 4096 -d /tmp/tree /dev/mapper/both || bail mkfs.ext4
mount -t ext4 -o dax=always /dev/mapper/both "$mnt" || bail mount
for page in 0 63; do
	phys=$(($(poison phys "$mnt/file" $page)))
	if [ $phys -lt "$start_a" ] || [ $phys -ge $((start_a + 512 * MIB)) ]; then
		bail "the file is not on the first NVDIMM"
	fi
done
mappers_of 2 shared 5 "$mnt/file"
unbind &
unbinder=$!
check "ext4: the removal ends" wait_for 60 ended $unbinder
equal "ext4: the file on the other is mapped" 2 "$(ask mapped)"
equal "ext4: and whole" same "$(poison verify "$mnt/file" 0 64 3)"
end_mappers
umount "$mnt"
check "ext4: the volume has no DAX the next time" sh -c "! mount -t ext4 -o dax=always /dev/mapper/both $mnt 2>/dev/null"
! mountpoint -q "$mnt" || umount "$mnt"
check "ext4: the volume goes" dmsetup remove both
bind
check "ext4: the disk is back" wait_for 20 test -b "$disk_b"
dmsetup create both <<-END || bail "dmsetup create both"
	0 $third linear $disk_a 8192
	$third $third linear $disk_b 8192
END
check "ext4: it has DAX when it is made again" mount -t ext4 -o dax=always /dev/mapper/both "$mnt"
equal "ext4: the file is whole" same "$(poison verify "$mnt/file" 0 64 3)"
umount "$mnt"
dmsetup remove both
finish
