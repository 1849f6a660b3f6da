# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Unbinding nd_pmem under a mounted XFS whose files are mapped: files in every group, one
# of them in 10000 pieces.  All tasks that map them are notified, the unbind and the umount end,
# and what was synced is there after the next bind.  Then the same while others are at work
# in the file system: in pwrite, in faults, in freezing, in umount.  C does not come back
# from the first.
#
# expect: rust pass, c fail
# cpus: 2
# debug: always
# alone: c debug-c
# splat: c
# timeout: 400
# rounds: 10000
# debug-rounds: 1000

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../xfs.sh"
plan $((3 + 51 * ours))

limit=60
# Rounds are pieces here.
pieces=$(asked_for rounds)
pieces=${pieces:-10000}
namespace
mkfs_xfs

# Directories are put into one group after the other.
for i in 0 1 2 3; do
	mkdir "$mnt/$i"
	for j in 0 1 2; do
		poison fill "$mnt/$i/$j" 0 512 $((i * 10 + j))
	done
done
python3 - "$mnt/pieces" "$pieces" <<-'END'
	import os, sys
	fd = os.open(sys.argv[1], os.O_CREAT | os.O_RDWR)
	for i in range(int(sys.argv[2])):
	    os.pwrite(fd, b"%08d" % i * 512, i * 8192)
	os.fsync(fd)
END
groups=$(for f in "$mnt"/?/0; do xfs_io -r -c "bmap -v" "$f" | awk '$1 == "0:" { print $4 }'; done | sort -u | wc -l)
check "files are in more than one group ($groups)" test "$groups" -gt 1
extents=$(xfs_io -r -c "bmap" "$mnt/pieces" | grep -vc -e hole -e :$)
check "one file is in $pieces pieces ($extents)" test "$extents" -ge "$pieces"
(cd "$mnt" && find . -type f -print0 | sort -z | xargs -0 md5sum) >/tmp/sums
# The file in pieces has 80 MB: it is read after the first removal and at the end.
grep -v '/pieces$' /tmp/sums >/tmp/few
sync

# remove: unbind begins, as a process of its own: $remover.
remove() {
	unbind >/dev/null 2>&1 &
	remover=$!
	began=$SECONDS
}

for i in 0 1 2 3; do watch mapped$i "$mnt/$i/1" 300; done
watch pieces "$mnt/pieces" $((pieces * 2 - 2))
mapped watch "$mnt/2/2" 0 $((512 * 4096)) >/tmp/looping &
looper=$!
wait_for 20 grep -q ready /tmp/looping || bail "nobody maps a file"
remove
defect check "unbind ends" wait_for $limit ended $remover
if ! ended $remover; then
	release() { :; }
	reset_later 10
	finish
fi
for name in mapped0 mapped1 mapped2 mapped3 pieces; do
	check "$name: is told" wait_for 10 grep -q "told SIGBUS" /tmp/$name
done
check "the task that reads all the time gets SIGBUS" wait_for 10 grep -q SIGBUS /tmp/looping
stop_watching
wait $looper
check "the disk is gone" test ! -e "/sys/block/$dev"
check "the file system is shut down" is_shut_down

# back NAME [SUMS]: unmount, bind, mount: all is there.
back() {
	check "$1: umount" timeout "$(patient 60)" umount "$mnt"
	bind
	check "$1: the disk is back" wait_for 20 test -b "$disk"
	check "$1: it is mounted again" mount -t xfs -o dax=always "$disk" "$mnt"
	check "$1: and all files are as they were" sh -c "cd $mnt && md5sum --quiet -c ${2:-/tmp/few}"
}
back "unbind" /tmp/sums

# A task writes all the time.
(while dd if=/dev/zero of="$mnt/written" bs=64k count=64 conv=notrunc status=none 2>/dev/null; do :; done) &
writer=$!
wait_for 20 test -s "$mnt/written" || bail "nobody writes"
remove
check "pwrite: unbind ends meanwhile" wait_for $limit ended $remover
check "pwrite: and the writer fails" wait_for 20 ended $writer
back "pwrite"

# A task writes from memory whose page fault is stalled.  Not even that holds up the removal.
fifo /tmp/give
poison fill "$mnt/stalled" 0 16 7
sync
user stall write "$mnt/stalled" 4096 /tmp/give >/tmp/stall &
user=$!
wait_for 20 grep -q stalled /tmp/stall || bail "a write does not stall"
remove
check "stalled pwrite: unbind ends meanwhile" wait_for $limit ended $remover
echo "# unbind with a stalled pwrite: $((SECONDS - began)) s"
check "stalled pwrite: the disk is gone" test ! -e "/sys/block/$dev"
timeout "$(patient 20)" sh -c 'echo >/tmp/give'
check "stalled pwrite: it ends" wait_for 30 ended $user
wait $user
matches "stalled pwrite: short, or an error" "@(4096|E*)" "$(sed -n 2p /tmp/stall)"
back "stalled pwrite"
equal "stalled pwrite: what it did not reach is as before" same "$(poison verify "$mnt/stalled" 3 13 7)"

# A task is in the middle of a fault, with the file's lock.
hold_in xfs_read_iomap_begin "pid=0"
poison touch "$mnt/1/1" 7 >/tmp/touch &
toucher=$!
wait_for 20 held || bail "nobody is in a fault"
remove
check "fault: unbind waits for it" wait_for 20 blocked_in 'xfs|dax' $remover
check "fault: which is still at work" held
let_go
check "fault: and ends then" wait_for $limit ended $remover
wait $toucher
matches "fault: it did not succeed on memory that is gone" "SIGBUS*" "$(cat /tmp/touch)"
rmmod dax_delay
back "fault"

# Frozen by fsfreeze, before the removal and during it.
fsfreeze -f "$mnt" || bail "fsfreeze"
remove
check "frozen: unbind ends" wait_for $limit ended $remover
back "frozen"
(while [ ! -e /tmp/thawed ]; do fsfreeze -f "$mnt" && echo && fsfreeze -u "$mnt"; done) >/tmp/frozen 2>/dev/null &
freezer=$!
wait_for 20 test -s /tmp/frozen || bail "it is not frozen"
remove
check "freezing: unbind ends" wait_for $limit ended $remover
touch /tmp/thawed
check "freezing: and the freezer too" wait_for 60 ended $freezer
fsfreeze -u "$mnt" 2>/dev/null
back "freezing"

# Unmounted meanwhile.
umount "$mnt" &
umounter=$!
remove
check "umount: unbind ends meanwhile" wait_for $limit ended $remover
check "umount: which ends as well" wait_for 60 ended $umounter
bind
wait_for 20 test -b "$disk"
check "umount: it is mounted again" mount -t xfs -o dax=always "$disk" "$mnt"
check "umount: and all files are as they were" sh -c "cd $mnt && md5sum --quiet -c /tmp/sums"
umount "$mnt"
check "the file system is sound" xfs_repair -n "$disk"
finish
