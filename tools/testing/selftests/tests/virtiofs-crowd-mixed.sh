# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A hundred tasks that load, store, pread and pwrite a file of eight ranges, through a window of
# two.  The kernel's C gives one range to two users when a reader finds that the worker was faster
# in taking a range back (inode_inline_reclaim_one_dmap() returns it all the same), and oopses, or
# waits for ever.
#
# expect: rust pass, c lost:fuse_dax_free_mem_worker|inode_inline_reclaim_one_dmap|__fuse_dax_fault
# cpus: 2
# regions: 0
# alone: c debug-c fixed
# boot: --virtiofs @SCRATCH@,window=4,cache=always --share @SCRATCH@
# timeout: 500

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../virtiofs.sh"
rounds=4
plan $((2 * rounds + 1))

# Page by page 9p takes long.
poison fill /tmp/file 0 4096 5
cp /tmp/file "$there/file"
virtiofs_mount
for ((round = 1; round <= rounds; round++)); do
	virtiofs zero >/dev/null
	equal "round $round: 100 tasks at once" same "$(bounded 200 window crowd "$here/file" 100 20 5 mixed 2>&1 | sort -u | paste -sd,)"
	check "round $round: the file is as it was" cmp /tmp/file "$there/file"
	echo "# $(virtiofs count SETUPMAPPING) SETUPMAPPING, $(virtiofs count REMOVEMAPPING) REMOVEMAPPING for 2000 accesses"
done
# One access in four is a pread, some of which go past a window that is full.
check "no READ but for preads ($(virtiofs count READ))" test "$(virtiofs count READ)" -le "$((700 * ours))"
umount "$mnt"
finish
