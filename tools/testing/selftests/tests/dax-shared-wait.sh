# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A clone is removed, or truncated, while a page that it shares is in a pipe.  It waits for the pipe,
# and for no more: the other file may stay mapped.  C waits until nobody maps the page any more; rm
# cannot be killed meanwhile.
#
# expect: rust pass, c lost:dax_break_layout_final, fixed pass
# splat: c
# timeout: 150

. "$(dirname "$0")/../lib.sh"
plan 22

# For xfs.
# shellcheck disable=SC2034
mkfs_options="-d su=2m,sw=1,agcount=2 -l size=65m"
namespace
xfs
fifo /tmp/words /tmp/answers

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

		sharers pin "$f" 7 </tmp/words >/tmp/answers &
		pin=$!
		exec 6>/tmp/words 7</tmp/answers
		read -r -t "$(patient 30)" answer <&7
		[ "$answer" = pinned ] || bail "sharers pin: $answer"
		if [ $how = rm ]; then
			rm "$f.clone" &
		else
			truncate -s 0 "$f.clone" &
		fi
		waiter=$!
		check "$kind, $how: it waits for the pipe" wait_for 20 blocked_in dax_break_layout $waiter

		echo drain >&6
		read -r -t "$(patient 30)" answer <&7
		defect ends "$kind, $how: it ends when the pipe is empty" 10 $waiter dax_break_layout
		exec 6>&- 7<&-
		wait $pin
		check "$kind, $how: it has ended when nobody maps the page" wait_for 30 ended $waiter
		equal "$kind, $how: the file is as it was" same "$(poison verify "$f" 0 $pages 1)"
	done
done
finish
