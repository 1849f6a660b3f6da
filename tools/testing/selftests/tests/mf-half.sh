# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A page in a huge page of an ext4 file fails, which has no owner that is told, so that the page is
# asked whose it is.  A task that maps just the second MiB, in pages, is told of that page and does
# not have it any more; the same beside a task that maps all.  C looks for users of the first page.
#
# expect: rust pass, c fail, fixed pass
# timeout: 200

. "$(dirname "$0")/../lib.sh"
plan 19

page=300
offset=$(printf %#x $((page * 4096)))
fifo /tmp/words /tmp/said

# whole WORD: asks the task that maps all.
whole() {
	echo "$1" >&5
	read -r -t "$(patient 60)" answer <&8
	echo "$answer"
}

namespace
ext4
for case in alone beside; do
	f=$mnt/$case
	# One allocation for all of it.
	dd if=/dev/zero of="$f" bs=4M count=1 conv=fsync status=none || bail dd
	poison fill "$f" 0 1024 5
	equal "$case: the mapping is huge" 1 "$(poison faults "$f" 0)"
	head=$(poison phys "$f" 0)
	sign=defect
	if [ $case = beside ]; then
		mappers 1 shared,early $page "$f" </tmp/words >/tmp/said 2>/tmp/whole.err &
		other=$!
		exec 5>/tmp/words 8</tmp/said
		read -r -t "$(patient 60)" answer <&8
		[ "$answer" = ready ] || bail "mappers: $answer $(cat /tmp/whole.err)"
		equal "$case: the other has the page as a part of a huge one" 1 "$(whole next)"
		# For the user that it finds C unmaps all that the user has mapped.
		sign=
	fi
	mappers_of 1 shared,early,half $page "$f"
	equal "$case: the task has the page" 1 "$(ask mapped)"
	equal "$case: and nothing else" 0 "$(ask next)"

	inject hw "$f" $page >/dev/null
	$sign equal "$case: it does not have it any more" 0 "$(ask mapped)"
	defect equal "$case: it is told" "1 SIGBUS code=MCEERR_AO lsb=12 offset=$offset" "$(ask told)"
	$sign equal "$case: a touch tells where it is" "1 SIGBUS code=MCEERR_AR lsb=12 offset=$offset" "$(ask touch)"
	end_mappers
	if [ $case = beside ]; then
		equal "$case: the other does not have it either" 0 "$(whole mapped)"
		# In the fixed C, too, it is told that all is lost that was one entry of the page table.
		defect matches "$case: it is told of this page" "1 SIGBUS code=MCEERR_AO lsb=* offset=$offset" "$(whole told)"
		exec 5>&- 8<&-
		wait "$other"
	fi
	defect equal "$case: just this page is marked" $page "$(poison flags "$head" 512)"
	equal "$case: the pages after it are good" same "$(poison verify "$f" $((page + 1)) 400 5)"
done
finish
