# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A failure is reported while its file system is being unmounted: the holder's callback
# is held up, at its entry and after it read its mount, until umount has returned.  C has
# freed the mount by then: a use after free for KASAN in the first place, and in the
# second, where it finds no holder, an oops on any kernel.
#
# expect: rust pass, c crash:xfs_dax_notify_failure|xfs_trans_alloc_empty
# debug: always
# timeout: 300

. "$(dirname "$0")/../lib.sh"
plan 29

namespace
modprobe hwpoison-inject || bail "modprobe hwpoison-inject"
xfs
f=$mnt/file
poison fill "$f" 0 32 3
page=3

# Reports a failure of a page, as a process of its own: $injector.
report() {
	local pfn
	pfn=$(pfn_of "$f" "$page") || bail "where is page $page"
	hold_in "$1"
	corrupt "$pfn" 2>/tmp/corrupt.err &
	injector=$!
	wait_for 30 held || bail "nobody came to $1"
}

# What is good of the file from this page on.
whole=0
for where in xfs_trans_alloc_empty xfs_dax_notify_failure; do
	mountpoint -q "$mnt" || mount -t xfs -o dax=always "$disk" "$mnt" || bail "mount before $where"
	report $where
	check "$where: umount does not wait for the callback" timeout "$(patient 30)" umount "$mnt"
	check "$where: which is still at work" held
	check "$where: and not a child of umount" sh -c "! grep -q ' $mnt ' /proc/mounts"
	let_go
	check "$where: it comes to its end" wait_for 30 ended $injector
	wait $injector
	rmmod dax_delay
	check "$where: it can be mounted again" mount -t xfs -o dax=always "$disk" "$mnt"
	equal "$where: the file is whole" same "$(poison verify "$f" $whole $((page - whole)) 3)"
	equal "$where: but for the page" EIO "$(poison pread "$f" $((page * 4096)) 4096)"
	whole=$((page + 1)) page=$((page + 7))
done

# Removal has to wait: afterwards there is nothing to call, and no struct page to count.
for where in xfs_dax_notify_failure action_result; do
	mountpoint -q "$mnt" || mount -t xfs -o dax=always "$disk" "$mnt" || bail "mount before $where"
	report $where
	unbind &
	unbinder=$!
	check "$where: removal waits for the report" wait_for 20 blocked_in "memunmap_pages|kill_dax" $unbinder
	check "$where: which is still at work" held
	# The report is at its end in action_result(): give a removal the time to be done.
	check "$where: and is not done before it" sh -c "sleep $(patient 1); kill -0 $unbinder"
	let_go
	check "$where: then it goes on" wait_for 30 ended $unbinder
	check "$where: the report ended" wait_for 30 ended $injector
	rmmod dax_delay
	umount "$mnt"
	bind
	check "$where: the disk is back" test -b "$disk"
	mount -t xfs -o dax=always "$disk" "$mnt" || bail "mount in the end"
	equal "$where: with its data" same "$(poison verify "$f" $whole $((page - whole)) 3)"
	whole=$((page + 1)) page=$((page + 4))
done
equal "the rest of the file is whole" same "$(poison verify "$f" $whole $((32 - whole)) 3)"
finish
