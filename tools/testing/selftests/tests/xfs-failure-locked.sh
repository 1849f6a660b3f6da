# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A page of a file fails while a user has the file's locks, for as long as the user likes: in the
# middle of a clone of the file (FICLONE), and in the middle of an exchange of its contents.
# memory_failure() has a mutex meanwhile that every other failure waits for.  So both failures are
# told of meanwhile: that of the file, and that of a file that nothing has locked.  The
# task that maps the page of the first need not be notified: a clone takes the pages of its file out
# of page tables.
#
# expect: rust pass
# timeout: 200

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../xfs.sh"
plan 12

modprobe hwpoison-inject || bail "modprobe hwpoison-inject"
from=$(dmesg | wc -l)
namespace
mkfs_options="-i exchange=1"
mkfs_xfs
for name in locked other donor; do
	poison fill "$mnt/$name" 0 64 5
done
sync

# watch_both PAGE: each file has a user of that page, which is to fail.
watch_both() {
	page=$1 offset=$(printf %#x $(($1 * 4096)))
	watch locked "$mnt/locked" "$page"
	watch other "$mnt/other" "$page"
	locked=$(pfn_of "$mnt/locked" "$page")
	other=$(pfn_of "$mnt/other" "$page")
}

# fail_both WORD: while $user is held with the locks of the first.
fail_both() {
	began=$SECONDS
	corrupt "$locked" &
	first=$!
	# It is under way; or the other one is the first.  Both have to end.
	sleep 0.2
	corrupt "$other" &
	second=$!
	check "$1: the failure of the file is told meanwhile" wait_for 40 ended $first
	check "$1: and the other one" wait_for 40 ended $second
	echo "# $1: $((SECONDS - began)) s"
	check "$1: the file's locks are held" held
	let_go
	wait_for 60 ended "$user"
	stop_watching
	equal "$1: the user of the other one is told" "told SIGBUS offset=$offset" "$(told other)"
}

watch_both 7
hold_in xfs_reflink_remap_blocks
cp --reflink=always "$mnt/locked" "$mnt/clone" &
user=$!
wait_for 20 held || bail "the file is not cloned"
fail_both clone
equal "clone: reads of the page fail" EIO "$(poison pread "$mnt/locked" $((7 * 4096)) 4096)"

# With the lock of the extents, too.
rm "$mnt/clone"
watch_both 9
hold_in xfs_exchange_mappings
xfs_io -c "exchangerange $mnt/donor" "$mnt/locked" >/tmp/exchange 2>&1 &
user=$!
wait_for 20 held || bail "the contents are not exchanged: $(cat /tmp/exchange)"
fail_both exchange

# A real one, of many extents: nothing is held but what the clone holds.
rmmod dax_delay
rm -f "$mnt/donor"
python3 - "$mnt/pieces" <<-'END'
	import os, sys
	fd = os.open(sys.argv[1], os.O_CREAT | os.O_RDWR)
	for i in range(8000):
	    os.pwrite(fd, b"%08d" % i * 512, i * 8192)
	os.fsync(fd)
END
pfn=$(pfn_of "$mnt/pieces" 2000)
watch pieces "$mnt/pieces" 2000
cp --reflink=always "$mnt/pieces" "$mnt/clone" &
cloner=$!
sleep 0.1
corrupt "$pfn" &
check "pieces: the failure is told" wait_for 40 ended $!
echo "# the clone $(if ended $cloner; then echo has ended; else echo goes on; fi)"
wait $cloner
stop_watching
check "the file system works" works
check "it is not shut down" sh -c "! dmesg | tail -n +$((from + 1)) | grep 'Shutting down filesystem'"
finish
