# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A partition and its XFS are grown while it is mounted.  Failures in what was added are as much
# the file system's as those before.  C passes: it has one holder for all of the device.
#
# expect: rust pass, c pass
# boot: --nvdimm 1G
# regions: 0
# timeout: 240

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../xfs.sh"
plan 12

MIB=1048576
modprobe hwpoison-inject || bail "modprobe hwpoison-inject"
region=0
namespace
partitions 340
part=${disk}p1
# C has no DAX for a partition with reflink.
mkfs.xfs -q -f -m rmapbt=1,reflink=0 "$part" || bail "mkfs.xfs"
agsize=$(($(xfs_db -r -c "sb 0" -c "p agblocks" "$part" | sed 's/.*= //') * 4096))
check "it is mounted with DAX" mount -t xfs -o dax=always "$part" "$mnt"
old=$(blockdev --getsize64 "$part")
echo ',800MiB' | sfdisk -q --no-reread --force -N 1 "$disk" >/tmp/sfdisk.out 2>&1
check "the kernel is told of the new size" partx -u --nr 1 "$disk"
equal "the partition has it" $((800 * MIB)) "$(blockdev --getsize64 "$part")"
check "the file system is grown" xfs_growfs "$mnt"

# A file in what was added: one that does not fit before it.
at=0
for i in {1..40}; do
	file=$mnt/file$i
	fallocate -l 16M "$file"
	at=$(place_of "$file" 0) || at=0
	[ "$at" -lt "$old" ] || break
done
poison fill "$file" 0 512 3
sync
check "a file lies in what was added" test "$at" -ge "$old"
watch user "$file" 5
watch next "$file" 6
check "a page of it fails" corrupt "$(pfn_of "$file" 5)"
check "its user is told" wait_for 10 ended "${pids[0]}"
equal "by SIGBUS" "told SIGBUS offset=0x5000" "$(told user)"
check "the file system goes on" works
stop_watching
equal "the user of the next page is not told" "not told" "$(told next)"
equal "the rest of the file is whole" same "$(poison verify "$file" 16 496 3)"

# A group header, in the last group.
groups=$(xfs_info "$mnt" | sed -n 's/.*agcount=\([0-9]*\),.*/\1/p')
start=$(($(cat "/sys/block/$dev/${dev}p1/start") * 512))
# The answer says that metadata was lost.
corrupt $((($(data_start) + start + agsize * (groups - 1)) / 4096)) 2>/dev/null
check "a group header in what was added fails, and shuts the file system down" wait_for 20 is_shut_down
finish
