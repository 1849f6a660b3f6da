# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Memory goes bad in a block that is free: it is on record, nobody is told and nothing is
# shut down; a file that gets the block is written to it, which repairs it.
#
# expect: rust pass, c fail
# timeout: 120

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../xfs.sh"
plan 9

modprobe hwpoison-inject || bail "modprobe hwpoison-inject"
namespace
mkfs_xfs
poison fill "$mnt/other" 0 16 4
poison fill "$mnt/file" 0 256 5
at=$(place_of "$mnt/file" 100)
pfn=$(pfn_of "$mnt/file" 100) || bail "where is page 100"
rm "$mnt/file"
# Its blocks are free when the log says so.
sync
fsfreeze -f "$mnt" && fsfreeze -u "$mnt"
map=$(fsmap)
owner=$(awk -v sector=$((at / 512)) '$1 <= sector && sector <= $2 { print $3, $4 }' <<<"$map")
equal "the block is free" "free space" "$owner"

watch other "$mnt/other" 3
check "its memory goes bad" corrupt "$pfn"
stop_watching
equal "nobody is told" "not told" "$(told other)"
check "nothing is shut down" works
defect equal "it is on record" "$((at / 512)) 8" "$(bad_sectors)"

# Files until one has the block.
for ((i = 0; i < 40; i++)); do
	poison fill "$mnt/new$i" 0 256 $i || bail "file $i cannot be written"
	# shellcheck disable=SC2015
	page=$(xfs_io -r -c bmap "$mnt/new$i" | awk -F'[]:. []+' -v at=$((at / 512)) \
		'$4 <= at && at <= $5 { print int(($2 + at - $4) / 8) }')
	[ -z "$page" ] || break
done
check "a file gets the block (page ${page:-?} of file $i)" test -n "$page"
equal "nothing is on record any more" - "$(bad_sectors)"
equal "and the file is whole" same "$(poison verify "$mnt/new$i" 0 256 $i)"
matches "through a mapping, too" "byte *" "$(poison touch "$mnt/new$i" "${page:-0}")"
finish
