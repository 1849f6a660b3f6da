# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The disk goes under ext4 with DAX while a file is mapped, while one is open that was mapped, and
# while a page of one is in a pipe, for which the removal waits.  ext4 is not told by the dax core,
# and memunmap_pages() waits for no page of FS_DAX: C frees the page structs under the page tables
# (oops in __zap_vma_range() at the user's exit) and under the inode's entries (oops in
# dax_layout_busy_page_range() at umount).
#
# expect: rust pass, c crash:zap_vma_range|dax_layout_busy_page_range
# regions: 3

. "$(dirname "$0")/../lib.sh"
plan 15

fifo /tmp/words
for case in mapped open kept; do
	region=''
	namespace
	ext4
	truncate -s 64K "$mnt/file"
	mapped fill "$mnt/file" 0 65536 7
	sync
	if [ $case = mapped ]; then
		mapped watch "$mnt/file" 0 4096 >/tmp/watcher &
		watcher=$!
		wait_for 10 grep -q ready /tmp/watcher || bail "the file cannot be watched"
	elif [ $case = open ]; then
		exec 5<"$mnt/file"
	else
		pin pipe "$mnt/file" 0 4096 </tmp/words >/tmp/pin &
		pin=$!
		exec 5>/tmp/words
		wait_for 10 grep -q pinned /tmp/pin || bail "a page is not kept"
	fi
	unbind &
	unbinder=$!
	if [ $case = kept ]; then
		check "$case: the removal waits for the page" wait_for 15 blocked_in mf_dax_revoke_pfns $unbinder
		echo >&5
		exec 5>&-
		wait "$pin"
	fi
	check "$case: the removal ends" wait_for 20 ended "$unbinder"
	if [ $case = mapped ]; then
		check "$case: its user is told" wait_for 10 ended "$watcher"
		equal "$case: by SIGBUS" SIGBUS "$(tail -n 1 /tmp/watcher)"
	elif [ $case = open ]; then
		exec 5<&-
	fi
	check "$case: it can be unmounted" umount "$mnt"
	bind
	check "$case: and mounted again" mount -t ext4 -o dax=always "$disk" "$mnt"
	equal "$case: the file is there" same "$(mapped verify "$mnt/file" 0 65536 7)"
	umount "$mnt"
done
finish
