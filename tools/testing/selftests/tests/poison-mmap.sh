# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A task meets poison in its mapping: the signal says where, and the page stays poison.
# C kills once, records nothing, and lets all tasks read the page again.
#
# expect: rust pass, c fail
# c-sign: quick

. "$(dirname "$0")/../lib.sh"
plan 12

namespace
xfs
f=$mnt/file
poison fill "$f" 0 16 1
equal "a good page is read" "byte 0x15" "$(poison touch "$f" 0)"

want=$(sectors_of "$f" 5)
equal "SIGBUS names the page and its size" "SIGBUS code=MCEERR_AR lsb=12 offset=0x5000" "$(poison madv "$f" 5)"
defect equal "badblocks has the page's 8 sectors and no others" "$want" "$(bad_sectors)"
defect matches "the page cannot be read through a mapping" "SIGBUS*offset=0x5000" "$(poison touch "$f" 5)"
defect matches "nor written" "SIGBUS*offset=0x5000" "$(poison touch "$f" 5 w)"
defect equal "nor by pread" EIO "$(poison pread "$f" $((5 * 4096)) 4096)"
defect equal "nor a byte of it" EIO "$(poison pread "$f" $((5 * 4096 + 4095)) 1)"
equal "the pages before it are good" same "$(poison verify "$f" 0 5 1)"
equal "the pages after it are good" same "$(poison verify "$f" 6 10 1)"
matches "and can be mapped" "byte *" "$(poison touch "$f" 6)"
umount "$mnt"
mount -t xfs -o dax=always "$disk" "$mnt" || bail "mount again"
defect equal "it is still bad after a remount" EIO "$(poison pread "$f" $((5 * 4096)) 4096)"
defect equal "badblocks still has it" "$want" "$(bad_sectors)"
finish
