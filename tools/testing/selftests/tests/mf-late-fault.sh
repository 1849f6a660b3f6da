# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A page fails while a page fault has its address, and the page does not say yet whose it is: the
# file system knows of no owners, and so the page is asked.  The failure waits for such faults, and
# then finds the file.  The same where the page is one file's already, and the fault is about to make
# it another's, too.
#
# expect: rust pass
# regions: 2
# timeout: 240

. "$(dirname "$0")/../lib.sh"
plan 15

modprobe hwpoison-inject || bail "modprobe hwpoison-inject"
fifo /tmp/words

# fails_meanwhile NAME PFN: the page fails while the fault is held, which goes on then.
fails_meanwhile() {
	local reporter
	check "$1: the fault has the address" wait_for 20 held
	corrupt "$2" >/dev/null 2>&1 &
	reporter=$!
	check "$1: the failure waits, or is dealt with" wait_for 30 blocked_or_ended synchronize_srcu $reporter
	check "$1: the fault still waits" held
	let_go
	read -r -t "$(patient 60)" _ <&7 || bail "the mapper does not answer"
	check "$1: the failure is dealt with" wait_for 30 ended $reporter
	equal "$1: nobody has the page then" 0 "$(ask mapped)"
	matches "$1: a touch tells" "*SIGBUS code=MCEERR_AR lsb=12 offset=0x5000" "$(ask touch)"
}

# The first write to blocks that were allocated, and of which a zero page was read.
namespace
ext4
f=$mnt/file
xfs_io -f -c "falloc 0 64k" "$f" || bail xfs_io
sync
block=$(filefrag -e -b4096 "$f" | awk '$1 == "0:" { sub(/\.\./, "", $4); print $4 }')
check "ext4: the file has blocks" test -n "$block"
mappers_of 1 shared 5 "$f"
hold_in unmap_mapping_pages "pid=$(pgrep -n mappers)"
echo write >&6
fails_meanwhile ext4 $(($(data_start) / 4096 + block + 5))
end_mappers
rmmod dax_delay
umount "$mnt"

# A clone, of which the page is the other file's.
region=''
namespace
# For xfs.
# shellcheck disable=SC2034
mkfs_options="-m rmapbt=0,reflink=1"
xfs
f=$mnt/file
poison fill "$f" 0 16 3
cp --reflink=always "$f" "$f.clone"
sync
pfn=$(pfn_of "$f" 5)
mappers_of 1 shared-unread 5 "$f.clone"
mappers 1 shared 5 "$f" </tmp/words >/tmp/mapped 2>&1 &
other=$!
exec 5>/tmp/words
wait_for 20 grep -q ready /tmp/mapped || bail "the file cannot be mapped"
hold_in unmap_mapping_pages "pid=$(pgrep -n -P "$mappers_pid" mappers)"
echo touch >&6
fails_meanwhile clone "$pfn"
echo mapped >&5
wait_for 20 grep -qx '[01]' /tmp/mapped
equal "clone: nor has the user of the file" 0 "$(tail -n 1 /tmp/mapped)"
exec 5>&-
wait "$other"
end_mappers
equal "clone: its neighbours are good" same "$(poison verify "$f.clone" 6 2 3)"
rmmod dax_delay
finish
