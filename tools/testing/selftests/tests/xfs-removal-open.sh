# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The disk goes under XFS with DAX while a file is open that was mapped.  The file must not know
# of a page any more when the page structs are freed, because umount would look at them.
#
# expect: rust pass

. "$(dirname "$0")/../lib.sh"
plan 4

namespace
xfs
poison fill "$mnt/file" 0 16 7
sync
matches "a page is loaded" "byte 0x*" "$(poison touch "$mnt/file" 3)"
exec 5<"$mnt/file"
unbind &
check "the removal ends" wait_for 30 ended $!
exec 5<&-
check "it can be unmounted" umount "$mnt"
bind
mount -t xfs -o dax=always "$disk" "$mnt" || bail "mount again"
equal "the file is there" same "$(poison verify "$mnt/file" 0 16 7)"
umount "$mnt"
finish
