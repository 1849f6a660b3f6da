# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A machine check on memory that no nfit driver watches: the kernel takes the page out of
# its map.  C has no record of that, and oopses with the next write through the disk.
#
# expect: rust pass, c crash:__memcpy_flushcache
# c-sign: quick
# regions: 0
# boot: --virtio-pmem 512M

. "$(dirname "$0")/../lib.sh"
plan 5

other_namespace virtio_pmem
xfs
poison fill "$mnt/file" 0 16 13
phys=$(poison phys "$mnt/file" 5)
at=$((phys - $(data_start)))
inject hw "$mnt/file" 5
umount "$mnt"
equal "it is on record" "$((at / 512)) 8" "$(bad_sectors)"
equal "and read as EIO" EIO "$(poison pread "$disk" $at 4096 direct)"
equal "a write repairs it" 4096 "$(poison pwrite "$disk" $at 4096 u direct)"
equal "nothing is on record" - "$(bad_sectors)"
equal "and it can be read" 4096 "$(poison pread "$disk" $at 4096 direct)"
finish
