# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Each page of a 2 MiB mapping fails in turn, and another task reports it: the signal names that
# page and no other, only that page is lost and marked, and a pwrite repairs it.  The same when
# 100 processes map it.
#
# expect: rust pass, c fail
# timeout: 240

. "$(dirname "$0")/../lib.sh"
plan $((29 + ours))

namespace
# For xfs.
# shellcheck disable=SC2034
mkfs_options="-d su=2m,sw=1,agcount=2 -l size=65m"
xfs
f=$mnt/file
xfs_io -f -c "extsize 2m" -c "falloc 0 4m" "$f" || bail "xfs_io"
poison fill "$f" 0 1024 5
sync
equal "the mapping is huge" 1 "$(poison faults "$f" 0)"
defect equal "each page in turn" all "$(mappers each-huge "$f" 0 512 5)"
equal "nothing is on record in the end" - "$(bad_sectors)"
[ "$ours" = 0 ] || equal "all is there" same "$(poison verify "$f" 0 1024 5)"

for k in 1 100 256 510; do
	head=$(poison phys "$f" 512)
	echo $((head + k * 4096)) >/sys/devices/system/memory/hard_offline_page
	defect equal "$k: just this page is marked" $k "$(poison flags "$head" 512)"
	equal "$k: it can be written" 4096 "$(poison pwrite "$f" $(((512 + k) * 4096)) 4096 H)"
	defect equal "$k: no page is marked" none "$(poison flags "$head" 512)"
done

f=$mnt/crowd
xfs_io -f -c "extsize 2m" -c "falloc 0 4m" "$f" || bail "xfs_io"
poison fill "$f" 0 1024 6
sync
for kind in shared shared,early; do
	# A huge page for each kind.
	page=77 name="100 processes"
	[ $kind = shared ] || page=$((512 + 77)) name="100 processes, asked to be told"
	offset=$(printf %#x $((page * 4096)))
	mappers_of 100 $kind $page "$f"
	equal "$name: all have the page" 100 "$(ask mapped)"
	equal "$name: as a part of a huge one" 100 "$(ask next)"
	# The task that reports must not be the one that had the page mapped for `phys`.
	phys=$(poison phys "$f" $page)
	echo "$phys" >/sys/devices/system/memory/hard_offline_page
	if [ $kind = shared ]; then
		defect equal "$name: nobody has it when the failure is dealt with" 0 "$(ask mapped)"
		defect equal "$name: nor what came with it" 0 "$(ask next)"
		equal "$name: no task is notified that does not touch it" none "$(ask told)"
	else
		# With a task to notify, C unmaps too.
		equal "$name: nobody has it when the failure is dealt with" 0 "$(ask mapped)"
		equal "$name: nor what came with it" 0 "$(ask next)"
		defect equal "$name: all are told, of this page" "100 SIGBUS code=MCEERR_AO lsb=12 offset=$offset" "$(ask told)"
	fi
	defect equal "$name: a touch tells where it is" "100 SIGBUS code=MCEERR_AR lsb=12 offset=$offset" "$(ask touch)"
	end_mappers
	equal "$name: its neighbours are good" same "$(poison verify "$f" $((page + 1)) 400 6)"
done
finish
