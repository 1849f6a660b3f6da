# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A read that starts good and meets poison returns the good bytes, the next one EIO,
# and never EFAULT.  C fails the whole read, or (after MADV_HWPOISON) sees no poison.
#
# expect: rust pass, c fail
# c-sign: quick

. "$(dirname "$0")/../lib.sh"
plan 14

namespace
xfs
page=4096
for how in madv hw; do
	f=$mnt/$how
	poison fill "$f" 0 64 2
	inject $how "$f" 9
	defect equal "$how: a read of 3 pages ends before the poison" $page "$(poison pread "$f" $((8 * page)) $((3 * page)))"
	defect equal "$how: a large read too" $((9 * page)) "$(poison pread "$f" 0 $((64 * page)))"
	defect equal "$how: a read that starts in a page too" 100 "$(poison pread "$f" $((9 * page - 100)) 4096)"
	madv_defect equal "$how: the next one is EIO" EIO "$(poison pread "$f" $((9 * page)) $((2 * page)))"
	equal "$how: with a bad buffer it is the buffer's EFAULT" EFAULT "$(poison pread "$f" $((8 * page)) $page badbuf)"
	equal "$how: a read after the poison is whole" $((54 * page)) "$(poison pread "$f" $((10 * page)) $((100 * page)))"
	defect equal "$how: O_DIRECT reads do the same" $page "$(poison pread "$f" $((8 * page)) $((3 * page)) direct)"
done
finish
