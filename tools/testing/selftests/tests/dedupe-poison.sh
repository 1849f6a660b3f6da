# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Deduplication of files with memory that is bad without anybody knowing: EIO, and nothing is
# shared.  C oopses.
#
# expect: rust pass, c crash:dax_range_compare_iter|dax_dedupe_file_range_compare
# c-sign: quick

. "$(dirname "$0")/../lib.sh"
plan 8

# dedupe FROM TO BYTES: what comes of it.
dedupe() {
	xfs_io -c "dedupe $1 0 0 $3" "$2" 2>&1 | tail -n 1
}

namespace
xfs
poison fill "$mnt/a" 0 64 3
poison fill "$mnt/b" 0 64 3
poison fill "$mnt/c" 0 64 3
sync
matches "files that are the same are shared" "*ops*" "$(dedupe "$mnt/a" "$mnt/c" 262144)"
phys=$(poison phys "$mnt/b" 41)
modprobe dax_hide "phys=$phys" || bail "modprobe dax_hide"
matches "the target is bad" "*Input/output error" "$(dedupe "$mnt/a" "$mnt/b" 262144)"
matches "the source is bad" "*Input/output error" "$(dedupe "$mnt/b" "$mnt/a" 262144)"
matches "what comes before it is shared" "*ops*" "$(dedupe "$mnt/a" "$mnt/b" 131072)"
rmmod dax_hide
echo "$(((phys - $(data_start)) / 512)) 1" >"$bb"
matches "one that is on record" "*Input/output error" "$(dedupe "$mnt/a" "$mnt/b" 262144)"
equal "it can be repaired" 4096 "$(poison pwrite "$mnt/b" $((41 * 4096)) 4096 d)"
poison fill "$mnt/b" 41 1 3
matches "and shared then" "*ops*" "$(dedupe "$mnt/a" "$mnt/b" 262144)"
equal "it is what it was" same "$(poison verify "$mnt/b" 0 64 3)"
finish
