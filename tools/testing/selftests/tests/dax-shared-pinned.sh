# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A page of a cloned file is in a pipe when it is loaded again, through another mapping, or stored
# to.  The folio must stay as it is meanwhile: C takes it apart and warns.
#
# expect: rust pass, c fail, fixed pass
# splat: c
# alone: c debug-c
# timeout: 240

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../sharers.sh"
. "$(dirname "$0")/../xfs.sh"
plan 65

namespace
xfs

# C waits for ever for the entry of a huge page that is in a pipe and loaded through a mapping that
# is shifted.  Nothing is unmounted after that.
wedged=
for kind in small huge; do
	for how in again other shifted store pwrite; do
		f=$mnt/$kind-$how
		[ $kind = small ] || xfs_io -f -c "extsize 2m" -c "falloc 0 4m" "$f" || bail "xfs_io"
		poison fill "$f" 0 1024 1
		[ $kind = small ] || equal "$kind, $how: the mapping is huge" 1 "$(poison faults "$f" 0)"
		cp --reflink=always "$f" "$f.clone"
		sync
		before=$(warned)
		pinned "$f" 7
		equal "$kind, $how: it is done" "done" "$(tell $how)"
		# C says it once, for the first of each kind.
		if [ $how = again ]; then
			defect equal "$kind, $how: nothing is said of it" "$before" "$(warned)"
		else
			equal "$kind, $how: nothing is said of it" "$before" "$(warned)"
		fi
		equal "$kind, $how: the pipe has what was in the file" "$(printf '%#x' "$(head -c $((7 * 4096 + 1)) "$f.clone" | tail -c 1 | od -An -tu1)")" "$(tell drain)"
		let_go_of
		truncate -s 0 "$f" &
		truncates=
		[ $kind-$how != huge-shifted ] || truncates=defect wedged=defect
		$truncates equal "$kind, $how: the file can be truncated" yes "$(wait_for 60 ended $! && echo yes)"
		rm -f /tmp/again
		(umount "$mnt" && mount -t xfs -o dax=always "$disk" "$mnt" && echo yes >/tmp/again) &
		$wedged equal "$kind, $how: and unmounted" yes "$(wait_for 60 ended $! && cat /tmp/again)"
		equal "$kind, $how: its clone is as it was" same "$(poison verify "$f.clone" 0 1024 1)"
	done
done
if [ ! -e /tmp/again ]; then
	release() { :; }
	reset_later 10
fi
finish
