# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A write that repairs has a source that is not there, that ends too early, or that does not come
# before the task is killed.  What is not written stays on record: the poison may be cleared by then,
# but nothing took its place.  C forgets it.
#
# virtio-pmem has no command to clear poison, and C takes that for success.
#
# expect: rust pass, c fail, fixed pass
# regions: 0
# boot: --virtio-pmem 512M

. "$(dirname "$0")/../lib.sh"
plan 13

page=4096 at=$((7 * 4096))
other_namespace virtio_pmem
xfs
f=$mnt/file
poison fill "$f" 0 32 3
sync
bad=$(sectors_of "$f" 7) || bail "the page has no address"
echo "$bad" >"$bb"
equal "the page is bad" EIO "$(poison pread "$f" $at $page)"

for how in badbuf badtail; do
	# C writes what there is.
	[ $how = badtail ] && sign=defect || sign=
	$sign matches "$how: it is no repair" "E@(FAULT|IO)" "$(poison pwrite "$f" $at $page x $how)"
	defect equal "$how: the record is as it was" "$bad" "$(bad_sectors)"
	defect equal "$how: and the page bad" EIO "$(poison pread "$f" $at $page)"
	# Where it was forgotten.
	[ "$(bad_sectors)" = "$bad" ] || echo "$bad" >"$bb"
done

# Two pages, of which the second is bad, and its source withheld.
fifo /tmp/give
user stall write "$f" $((6 * page)) /tmp/give >/tmp/stall &
user=$!
wait_for 20 grep -q stalled /tmp/stall || bail "the write does not stall"
equal "withheld: the record is as it was" "$bad" "$(bad_sectors)"
kill -9 $user
wait_for 30 ended $user || bail "the write cannot be killed"
wait $user 2>/dev/null
defect equal "killed: the record is as it was" "$bad" "$(bad_sectors)"

equal "a source that is there repairs" $page "$(poison pwrite "$f" $at $page R)"
equal "nothing is on record" - "$(bad_sectors)"
equal "the pages before it are whole" same "$(poison verify "$f" 0 6 3)"
equal "the pages after it are" same "$(poison verify "$f" 8 24 3)"
finish
