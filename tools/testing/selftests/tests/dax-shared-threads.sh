# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Threads load and store pages of three clones of a file, of both sizes, while the clones are
# truncated and cloned again: what they share of a folio is counted by all of them at once.
# By how races fall, C hangs, oopses or warns.
#
# Rounds are seconds; RDAX_ROUNDS=40 finds more.
#
# expect: rust pass, fixed pass
# cpus: 2
# timeout: 200
# rounds: 20
# debug-rounds: 40

. "$(dirname "$0")/../lib.sh"
plan 6

seconds=$(asked_for rounds)
# For xfs.
# shellcheck disable=SC2034
mkfs_options="-d su=2m,sw=1,agcount=2 -l size=65m"
namespace
xfs
xfs_io -f -c "extsize 2m" -c "falloc 0 8m" "$mnt/file" || bail "xfs_io"
poison fill "$mnt/file" 0 2048 1
for n in 1 2 3; do cp --reflink=always "$mnt/file" "$mnt/$n"; done
sync
sharers store "${seconds:-20}" 12 "$mnt/1" "$mnt/2" "$mnt/3" >/tmp/storm &
storm=$!
turns=0
while ! ended $storm; do
	n=$((turns % 2 + 1))
	truncate -s 0 "$mnt/$n"
	xfs_io -c "reflink $mnt/file" "$mnt/$n" >/dev/null || bail "reflink"
	turns=$((turns + 1))
done
matches "all is good" "good after *" "$(tail -n 1 /tmp/storm)"
echo "# $turns turns, $(tail -n 1 /tmp/storm)"
check "they were cloned again meanwhile" test $turns -ge 2
equal "the file is as it was" same "$(poison verify "$mnt/file" 0 2048 1)"
equal "and the clone that nothing truncated" same "$(poison verify "$mnt/3" 0 2048 1)"
check "the file system is unmounted" umount "$mnt"
check "and is in order" xfs_repair -n "$disk"
finish
