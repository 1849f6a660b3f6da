# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A load of a single page of a cloned file that has a 2 MiB entry, while another one waits for the
# entry: C stores a small entry over the huge one and wakes no one, and the other load waits for
# ever.  Then many threads, of which some have 2 MiB pages, load, give pages up, and store, so that
# blocks are copied out of huge pages, with an extent size for copies that makes XFS copy blocks that
# are not shared.
#
# expect: rust pass, c fail, fixed pass
# cpus: 2
# alone: c debug-c
# splat: c
# timeout: 240

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../xfs.sh"
plan 12

# For xfs.
# shellcheck disable=SC2034
mkfs_options="-d su=2m,sw=1,agcount=2 -l size=65m"
namespace
xfs
# storm HOW SECONDS FILE: of eight threads.  Sets $said: good, or what is wrong.
storm() {
	local storm
	sharers "$1" "$2" 8 "$3" >/tmp/storm &
	storm=$!
	if wait_for $(($2 + 90)) ended $storm; then
		said=$(tail -n 1 /tmp/storm)
		said=${said/#good after */good}
	else
		said="hangs: $(tail -n 1 /tmp/storm)"
	fi
}

for f in "$mnt/own" "$mnt/file" "$mnt/near"; do
	xfs_io -f -c "extsize 2m" -c "falloc 0 8m" "$f" || bail "xfs_io"
	poison fill "$f" 0 2048 1
done
equal "the mapping is huge" 1 "$(poison faults "$mnt/own" 0)"
storm storm 5 "$mnt/own"
equal "a file of its own can be read" good "$said"
cp --reflink=always "$mnt/file" "$mnt/clone"
sync
equal "the clone's mapping is huge" 1 "$(poison faults "$mnt/file" 0)"
hold_in dax_direct_access
sharers faults "$mnt/file" 5 1 1 >/tmp/first &
first=$!
check "a load has the entry" wait_for 60 held
sharers faults "$mnt/file" 9 1 1 >/tmp/second &
second=$!
check "another one waits for it" wait_for 60 grep -qs get_next_unlocked_entry "/proc/$second/stack"
let_go
check "the first one ends" wait_for 60 ended $first
defect check "the other one ends" wait_for 20 ended $second
if ! ended $second; then
	sed 's/^/# it is in /' "/proc/$second/stack"
	# What has it mapped is not unmounted.
	release() { :; }
	for left in "read by threads" "stored to" "left alone in its clone" "stored to where parts are cloned" unmounted; do
		skip "it can be $left" "a load hangs"
	done
	reset_later 10
	finish
fi
rmmod dax_delay
storm storm 12 "$mnt/file"
equal "it can be read by threads" good "$said"
storm store 12 "$mnt/file"
equal "it can be stored to" good "$said"
equal "its clone is as it was" same "$(poison verify "$mnt/clone" 0 2048 1)"
# Some blocks of it are shared.
xfs_io -c "cowextsize 2m" "$mnt/near" || bail "xfs_io"
for page in 3 515 1030; do
	xfs_io -f -c "reflink $mnt/near $((page * 4096)) $((page * 4096)) 4096" "$mnt/part" >/dev/null || bail "xfs_io"
done
sync
storm store 12 "$mnt/near"
equal "so can a file of which parts are cloned" good "$said"
check "the file system is unmounted" umount "$mnt"
finish
