# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A clone is removed, or truncated, while a page that it shares is in a pipe.  It waits for the pipe,
# and for no more: the other file may stay mapped.  C waits until no task maps the page any more; rm
# cannot be killed meanwhile.
#
# expect: rust pass, c lost:dax_break_layout_final, fixed pass
# splat: c
# timeout: 150

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../sharers.sh"
plan 22

namespace
xfs

for kind in small huge; do
	for how in rm truncate; do
		f=$mnt/$kind-$how pages=16
		if [ $kind = huge ]; then
			pages=1024
			xfs_io -f -c "extsize 2m" -c "falloc 0 4m" "$f" || bail "xfs_io"
		fi
		poison fill "$f" 0 $pages 1
		cp --reflink=always "$f" "$f.clone"
		sync
		[ $kind = small ] || equal "$kind, $how: the mapping is huge" 1 "$(poison faults "$f" 0)"
		matches "$kind, $how: the clone has the page" "byte *" "$(poison touch "$f.clone" 7)"

		pinned "$f" 7
		if [ $how = rm ]; then
			rm "$f.clone" &
		else
			truncate -s 0 "$f.clone" &
		fi
		waiter=$!
		check "$kind, $how: it waits for the pipe" wait_for 20 blocked_in dax_break_layout $waiter

		tell drain >/dev/null
		defect ends "$kind, $how: it ends when the pipe is empty" 10 $waiter dax_break_layout
		let_go_of
		check "$kind, $how: it has ended when no task maps the page" wait_for 30 ended $waiter
		equal "$kind, $how: the file is as it was" same "$(poison verify "$f" 0 $pages 1)"
	done
done
finish
