# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A page of a file that no process has open is in a pipe and fails.  While the failure is dealt with,
# the file is removed: the failure has the last reference to its inode then.  To evict the inode means
# to wait for the page in the pipe, and memory_failure() has a mutex that every other failure waits
# for.  So both failures end at once: that of the file, and one that comes after it.
#
# expect: rust pass
# timeout: 150

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../xfs.sh"
plan 6

modprobe hwpoison-inject || bail "modprobe hwpoison-inject"
namespace
mkfs_xfs
poison fill "$mnt/file" 0 16 3
poison fill "$mnt/other" 0 16 4
sync
fifo /tmp/words /tmp/go
pin pipe "$mnt/file" $((3 * 4096)) 4096 </tmp/words >/tmp/pin 2>&1 &
keeper=$!
exec 8>/tmp/words
wait_for 30 grep -q pinned /tmp/pin || bail "pin: $(cat /tmp/pin)"
pfn=$(pfn_of "$mnt/file" 3)
other=$(pfn_of "$mnt/other" 3)

# What holds the inode still is its name in the cache.  The inode has pages, and stays.
for ((i = 0; i < 5; i++)); do
	echo 2 >/proc/sys/vm/drop_caches
done
{
	read -r _ </tmp/go
	corrupt "$pfn"
} &
reporter=$!
hold_in iput "pid=$reporter"
echo go >/tmp/go
# Where a worker gives the inode up, the failure does not come there.
# shellcheck disable=SC2317
held_or_ended() {
	held || ended "$reporter"
}
wait_for 20 held_or_ended || bail "the failure is not told"
echo "# the failure $(if held; then echo "gives up the inode"; else echo "has ended"; fi)"
# It waits for the page in the pipe, if it has the last reference.
rm "$mnt/file" &
remover=$!
check "the file is removed" wait_for 20 test ! -e "$mnt/file"
wait_at_most 2 ended $remover
let_go
check "the failure of its page ends" wait_for 20 ended $reporter
corrupt "$other" &
check "the next failure ends" wait_for 20 ended $!
rmmod dax_delay
check "the page is in the pipe until now" test -d /proc/$keeper
echo >&8
wait_for 20 ended $keeper
wait_for 20 ended $remover
check "the file system works" works
check "umount" timeout "$(patient 60)" umount "$mnt"
finish
