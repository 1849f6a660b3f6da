# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Two files share 2 MiB of memory, and map it in pages of different sizes: a small mapping of one
# first and a huge one of the other, and the other way round.  C warns, and the load of the huge
# one is SIGBUS.
#
# expect: rust pass, c fail, fixed pass
# alone: c debug-c
# timeout: 120
# splat: c

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../sharers.sh"
plan 21

namespace
xfs

for f in a b c d; do
	xfs_io -f -c "extsize 2m" -c "falloc 0 4m" "$mnt/$f" || bail "xfs_io"
	poison fill "$mnt/$f" 0 1024 1
	cp --reflink=always "$mnt/$f" "$mnt/$f.clone"
done
sync
before=$(warned)

# Small first.
equal "small pages of a file" "good in 3 faults" "$(sharers faults "$mnt/a" 0 3 1)"
defect matches "huge ones of its clone, where these are" "good in *" "$(sharers faults "$mnt/a.clone" 0 512 0)"
equal "and beside them" "good in 1 faults" "$(sharers faults "$mnt/a.clone" 512 512 0)"
defect equal "nothing is said of it" "$before" "$(warned)"
equal "all is as it was" same "$(poison verify "$mnt/a.clone" 0 1024 1)"
# Not the first page, of which alone the folio tells.
before=$(warned)
equal "small pages of another" "good in 3 faults" "$(sharers faults "$mnt/b" 100 3 1)"
matches "huge ones of its clone" "good in *" "$(sharers faults "$mnt/b.clone" 0 512 0)"
equal "and the small ones again" "good in 3 faults" "$(sharers faults "$mnt/b" 100 3 1)"
check "the clone is removed" rm "$mnt/b.clone"
equal "the file has what it had" same "$(poison verify "$mnt/b" 0 1024 1)"
check "the file is removed" rm "$mnt/b"
equal "nothing is said of it, either" "$before" "$(warned)"

# Huge first, and it goes first.
before=$(warned)
equal "a huge page of a file" "good in 1 faults" "$(sharers faults "$mnt/c" 0 512 0)"
equal "small ones of its clone" "good in 3 faults" "$(sharers faults "$mnt/c.clone" 5 3 1)"
equal "nothing is said of that" "$before" "$(warned)"
check "the file is removed, the clone not" rm "$mnt/c"
# The block of page 7 is copied, and that of page 6 stays.
equal "a page of the clone is written" "done" "$(echo store | sharers pin "$mnt/c.clone" 7 | tail -n 1)"
equal "the rest is as it was" same "$(poison verify "$mnt/c.clone" 0 7 1)"
matches "and can be huge in another file" "good in *" "$(sharers faults "$mnt/d.clone" 0 512 0)"
check "the file system is unmounted" umount "$mnt"
check "nothing is said of references" sh -c "! dmesg | grep -E 'refcount_t|BUG: |Oops'"
finish
