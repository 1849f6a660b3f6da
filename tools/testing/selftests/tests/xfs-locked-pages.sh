# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A page of a file fails when the file system has been shut down, so that its reverse map does not say
# whose the page is, and while a task has the file's extents locked, so that the files in core do not
# say where they are.  The page itself names its file.  So a task that maps the page is notified
# within a bound, although the extents stay locked.  A task that maps another page is not.
#
# expect: rust pass
# timeout: 150

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../xfs.sh"
plan 9

modprobe hwpoison-inject || bail "modprobe hwpoison-inject"
namespace
mkfs_xfs
poison fill "$mnt/file" 0 16 3
sync
watch user "$mnt/file" 5
watch next "$mnt/file" 6
pfn=$(pfn_of "$mnt/file" 5)

# The inode is logged with its extents locked.
fifo /tmp/go
{
	read -r _ </tmp/go
	exec chmod 640 "$mnt/file"
} &
locker=$!
hold_in xfs_trans_log_inode "pid=$locker"
echo go >/tmp/go
wait_for 20 held || bail "the inode is not logged"
check "the file system is shut down" xfs_io -x -c shutdown "$mnt"
check "and does not take writes" is_shut_down

corrupt "$pfn" 2>/tmp/corrupt.err &
reporter=$!
check "the failure is told" wait_for 40 ended $reporter
wait $reporter
equal "without an error" 0 $?
check "while the extents are locked" held
let_go
check "the task that has them locked ends" wait_for 20 ended $locker
rmmod dax_delay
stop_watching
equal "the user of the page is told" "told SIGBUS offset=0x5000" "$(told user)"
equal "and not that of another" "not told" "$(told next)"
check "umount" timeout "$(patient 60)" umount "$mnt"
finish
