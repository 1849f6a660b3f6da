# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Each page of a 2 MiB mapping fails in turn, reported by somebody else: the signal names that
# page and no more, only it is lost, only it is marked, and a pwrite repairs it.
#
# expect: rust pass, c fail
# timeout: 240

. "$(dirname "$0")/../lib.sh"

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
[ "$kernel" = c ] || equal "all is there" same "$(poison verify "$f" 0 1024 5)"

for k in 1 100 256 510; do
	head=$(poison phys "$f" 512)
	echo $((head + k * 4096)) >/sys/devices/system/memory/hard_offline_page
	defect equal "$k: just this page is marked" $k "$(poison flags "$head" 512)"
	equal "$k: it can be written" 4096 "$(poison pwrite "$f" $(((512 + k) * 4096)) 4096 H)"
	defect equal "$k: no page is marked" none "$(poison flags "$head" 512)"
done
finish
