# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Poison under a 2 MiB mapping: the page that is bad is recorded and marked, not the first
# of the folio, and repair touches nothing else.
#
# expect: rust pass, c fail
# c-sign: quick

. "$(dirname "$0")/../lib.sh"
plan 56

namespace
# For xfs.
# shellcheck disable=SC2034
mkfs_options="-d su=2m,sw=1,agcount=2 -l size=65m"
xfs
for how in madv hw; do
	f=$mnt/$how
	xfs_io -f -c "extsize 2m" -c "falloc 0 8m" "$f" || bail "xfs_io"
	poison fill "$f" 0 2048 5
	equal "$how: the mapping is huge" 1 "$(poison faults "$f" 0)"
	chunk=0
	for k in 0 1 255 511; do
		head=$(poison phys "$f" $((chunk * 512)))
		want=$(sectors_of "$f" $((chunk * 512 + k)))
		before=$(bad_sectors)
		[ "$before" = - ] || want=$before,$want
		inject $how "$f" $((chunk * 512 + k)) >/tmp/out
		madv_defect equal "$how $k: just this page is bad" "$want" "$(bad_sectors)"
		if [ $k = 0 ]; then
			equal "$how $k: just this page is marked" $k "$(poison flags "$head" 512)"
		else
			defect equal "$how $k: just this page is marked" $k "$(poison flags "$head" 512)"
		fi
		hw_defect equal "$how $k: it can be repaired" 4096 "$(poison pwrite "$f" $(((chunk * 512 + k) * 4096)) 4096 H)"
		defect equal "$how $k: no page is marked" none "$(poison flags "$head" 512)"
		hw_defect equal "$how $k: it can be read" 4096 "$(poison pread "$f" $(((chunk * 512 + k) * 4096)) 4096)"
		[ $k = 0 ] || equal "$how $k: the pages before it are intact" same "$(poison verify "$f" $((chunk * 512)) $k 5)"
		[ $k = 511 ] || equal "$how $k: the pages after it are intact" same \
			"$(poison verify "$f" $((chunk * 512 + k + 1)) $((511 - k)) 5)"
		chunk=$((chunk + 1))
	done
	hw_defect equal "$how: nothing is bad in the end" - "$(bad_sectors)"
done
finish
