# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A read or write of a DAX file whose buffer does not come (userfaultfd) stalls inside
# the copy.  It must not hold up the removal of another device, nor for ever that of its
# own.  In C both wait for it.
#
# expect: rust pass, c fail, fixed pass
# regions: 2
# timeout: 200

. "$(dirname "$0")/../lib.sh"
plan 20

limit=20
namespace
dev_a=$dev disk_a=$disk holder_a=$holder
region=
namespace
holder_b=$holder disk_b=$disk
# ext4: XFS is frozen on removal, which waits for writers on purpose.
mkfs.ext4 -q -F -b 4096 "$disk_a" || bail mkfs.ext4
mount -t ext4 -o dax=always "$disk_a" "$mnt" || bail mount
f=$mnt/file
poison fill "$f" 0 16 7
fifo /tmp/give

# stall HOW: $user waits for its buffer.
stall() {
	# The task before wrote there, too, and this one may be slow to begin.
	: >/tmp/stall
	user stall "$1" "$f" 4096 /tmp/give >/tmp/stall &
	user=$!
	wait_for 20 grep -q stalled /tmp/stall || bail "a $1 does not stall"
}

# give: the buffer comes.  The answer is in /tmp/stall.
give() {
	timeout "$(patient 20)" sh -c 'echo >/tmp/give'
	check "$1: the $how ends when its buffer is there" wait_for 30 ended $user
	wait $user
}

# remove: unbind $holder, as a process of its own: $remover.
remove() {
	unbind >/dev/null 2>&1 &
	remover=$!
}

for how in write read; do
	stall $how
	holder=$holder_b
	remove
	defect ends "another device can be removed during a stalled $how" $limit $remover 'kill_dax|synchronize_srcu'
	give "another device"
	wait $remover
	equal "another device: and the whole $how was done" 8192 "$(sed -n 2p /tmp/stall)"
	bind
	check "another device: it is bound again" test -b "$disk_b"
done
poison fill "$f" 0 16 7

for how in write read; do
	stall $how
	holder=$holder_a
	remove
	defect ends "its own device can be removed during a stalled $how" $limit $remover 'kill_dax|synchronize_srcu'
	give "its own device"
	wait $remover
	check "its own device: it is gone" test ! -e "/sys/block/$dev_a"
	# The first page was copied; the second has no device to be copied to.
	defect matches "its own device: the $how is short or fails" "@(4096|E*)" "$(sed -n 2p /tmp/stall)"
	check "its own device: it can be unmounted" umount "$mnt"
	bind
	mount -t ext4 -o dax=always "$disk_a" "$mnt" || bail "mount again"
	equal "its own device: what was not written is as before" same "$(poison verify "$f" 3 13 7)"
done
finish
