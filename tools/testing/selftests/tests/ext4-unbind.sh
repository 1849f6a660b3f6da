# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The disk goes under ext4 with DAX while a file is mapped, and while one is open that
# was mapped.  ext4 is not told by the dax core, and memunmap_pages() waits for no page
# of FS_DAX: C frees the page structs under the page tables (oops in __zap_vma_range() at
# the user's exit) and under the inode's entries (oops in dax_layout_busy_page_range() at
# umount).
#
# expect: rust pass, c crash:zap_vma_range|dax_layout_busy_page_range
# regions: 2

. "$(dirname "$0")/../lib.sh"
plan 10

for case in mapped open; do
	region=''
	namespace
	mkfs.ext4 -q -F -b 4096 "$disk" || bail mkfs.ext4
	mount -t ext4 -o dax=always "$disk" "$mnt" || bail mount
	truncate -s 64K "$mnt/file"
	mapped fill "$mnt/file" 0 65536 7
	sync
	if [ $case = mapped ]; then
		mapped watch "$mnt/file" 0 4096 >/tmp/watcher &
		watcher=$!
		wait_for 10 grep -q ready /tmp/watcher || bail "the file cannot be watched"
	else
		exec 5<"$mnt/file"
	fi
	unbind &
	unbinder=$!
	check "$case: the removal ends" wait_for 20 ended "$unbinder"
	if [ $case = mapped ]; then
		check "$case: its user is told" wait_for 10 ended "$watcher"
		equal "$case: by SIGBUS" SIGBUS "$(tail -n 1 /tmp/watcher)"
	else
		exec 5<&-
	fi
	check "$case: it can be unmounted" umount "$mnt"
	bind
	check "$case: and mounted again" mount -t ext4 -o dax=always "$disk" "$mnt"
	equal "$case: the file is there" same "$(mapped verify "$mnt/file" 0 65536 7)"
	umount "$mnt"
done
finish
