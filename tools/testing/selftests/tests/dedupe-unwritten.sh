# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# An unwritten extent reads as zeros, whatever its blocks have: here what a removed file had.
# Deduplication with a file that has the same must find a difference.  C compares the blocks: one
# file loses its data, or the other gets some.
#
# expect: rust pass, c fail, fixed pass

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../xfs.sh"
plan 9

# dedupe FROM PAGE TO PAGE: what comes of it.
dedupe() {
	xfs_io -c "dedupe $1 $(($2 * 4096)) $(($4 * 4096)) 4096" "$3" 2>&1 | tail -n 1
}

# zeros FILE PAGE: "zeros", or what else the page has.
zeros() {
	if dd if="$1" bs=4096 skip="$2" count=1 status=none | cmp -s -n 4096 - /dev/zero; then
		echo zeros
	else
		echo data
	fi
}

namespace
mkfs_xfs
poison fill "$mnt/gone" 0 256 5
poison fill "$mnt/x" 0 256 5
poison fill "$mnt/y" 0 256 5
truncate -s 1M "$mnt/hole"
at=$(place_of "$mnt/gone" 100) || bail "where is page 100"
rm "$mnt/gone"
# Its blocks are free when the log says so.
sync
fsfreeze -f "$mnt" && fsfreeze -u "$mnt"

# Unwritten extents, until one has the block.
for ((i = 0; i < 100; i++)); do
	u=$mnt/unwritten$i
	xfs_io -f -c "falloc 0 1m" "$u" || bail "xfs_io"
	page=$(xfs_io -r -c bmap "$u" | awk -F'[]:. []+' -v at=$((at / 512)) \
		'$4 <= at && at <= $5 { print int(($2 + at - $4) / 8) }')
	[ -z "$page" ] || break
done
check "an unwritten extent has the block (page ${page:-?} of file $i)" test -n "$page"
equal "the block has what was in it" "$(dd if="$mnt/x" bs=4096 skip=100 count=1 status=none | sha256sum)" \
	"$(dd if="$disk" bs=4096 skip=$((at / 4096)) count=1 iflag=direct status=none | sha256sum)"
equal "it reads as zeros" zeros "$(zeros "$u" "${page:-0}")"

defect matches "a file with data is not the same" "*did not match*" "$(dedupe "$u" "${page:-0}" "$mnt/x" 100)"
defect equal "and keeps it" same "$(poison verify "$mnt/x" 0 256 5)"
defect matches "nor is it the other way round" "*did not match*" "$(dedupe "$mnt/y" 100 "$u" "${page:-0}")"
defect equal "and zeros stay" zeros "$(zeros "$u" "${page:-0}")"
equal "the other file has its data" same "$(poison verify "$mnt/y" 0 256 5)"
release
check "the file system is in order" xfs_repair -n "$disk"
finish
