# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The disk goes under XFS while the inode of an unlinked file is evicted.  The inode is in no list of
# its super block then, and the file still has entries of the disk's pages, whose page structs go with
# the disk.  Three times: with pages that are idle; with one that is in a pipe, before the eviction has
# looked for such pages; and while the eviction waits for that page, and looks at it again later than
# the removal does.
#
# expect: rust pass
# timeout: 200

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../xfs.sh"
plan 18

# keep FILE: the last user of the file, which is unlinked.  It evicts the inode when it may go on.
keep() {
	fifo /tmp/go
	: >/tmp/keeper
	python3 - "$1" >/tmp/keeper 2>&1 <<-'END' &
		import mmap, os, sys
		file = os.open(sys.argv[1], os.O_RDONLY)
		with mmap.mmap(file, 65536, mmap.MAP_SHARED, mmap.PROT_READ) as mapping:
		    mapping[0], mapping[3 * 4096]
		os.unlink(sys.argv[1])
		print("ready", flush=True)
		with open("/tmp/go", "rb") as go:
		    go.read()
		os.close(file)
		print("closed", flush=True)
	END
	keeper=$!
	wait_for 30 grep -q ready /tmp/keeper || bail "the file has no user: $(cat /tmp/keeper)"
}

# pin_page FILE PAGE: a page is in a pipe.
pin_page() {
	fifo /tmp/words
	# What the task before said is not this one's.
	: >/tmp/pin
	pin pipe "$1" $(($2 * 4096)) 4096 </tmp/words >/tmp/pin 2>&1 &
	piper=$!
	exec 8>/tmp/words
	wait_for 30 grep -q pinned /tmp/pin || bail "pin: $(cat /tmp/pin)"
	pfn=$(printf %#x "$(pfn_of "$1" "$2")")
}

# unpin_page: the pipe goes.
unpin_page() {
	# Other children have the fifo open, too.
	echo >&8
	exec 8>&-
	wait $piper
}

# waits_for_page: does the log say that the removal waits for the page in the pipe?
# shellcheck disable=SC2317
waits_for_page() {
	dmesg | grep -q "page $pfn of .*in use"
}

# closed: has the keeper evicted the inode?
# shellcheck disable=SC2317
closed() {
	grep -q closed /tmp/keeper
}

# ended_well WHERE: the removal and the eviction have ended, and the disk comes back.
ended_well() {
	check "$1: unbind ends" wait_for 60 ended $remover
	check "$1: the disk is gone" test ! -e "/sys/block/$dev"
	let_go
	check "$1: the inode is evicted" wait_for 30 closed
	equal "$1: the kernel has no complaint" "" "$(complaints)"
	rmmod dax_delay
	check "$1: umount" timeout "$(patient 60)" umount "$mnt"
	bind
	mount -t xfs -o dax=always "$disk" "$mnt" || bail "mount again"
}

namespace
mkfs_xfs
for name in idle piped waiting; do
	poison fill "$mnt/$name" 0 16 3
done
sync

keep "$mnt/idle"
hold_in xfs_fs_evict_inode "pid=$keeper"
: >/tmp/go
wait_for 20 held || bail "the inode is not evicted"
unbind >/dev/null 2>&1 &
remover=$!
ended_well "idle pages"

pin_page "$mnt/piped" 5
keep "$mnt/piped"
hold_in xfs_fs_evict_inode "pid=$keeper"
: >/tmp/go
wait_for 20 held || bail "the inode is not evicted"
unbind >/dev/null 2>&1 &
remover=$!
check "a page in a pipe: the removal waits for it" wait_for 30 waits_for_page
unpin_page
ended_well "a page in a pipe"

pin_page "$mnt/waiting" 5
keep "$mnt/waiting"
: >/tmp/go
wait_for 20 blocked_in dax_break_layout_final $keeper || bail "the eviction does not wait for the page"
hold_in prepare_to_wait_event "pid=$keeper"
unbind >/dev/null 2>&1 &
remover=$!
check "an eviction that waits: the removal waits, too" wait_for 30 waits_for_page
unpin_page
wait_for 20 held || bail "the eviction does not look again"
ended_well "an eviction that waits"
check "the file system works" works
finish
