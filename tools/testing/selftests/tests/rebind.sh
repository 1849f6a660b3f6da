# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What is known of poison outlives unbinding the driver, and what was repaired stays good.
#
# expect: rust pass, c fail
# c-sign: quick

. "$(dirname "$0")/../lib.sh"
plan 21

namespace
xfs
f=$mnt/file
poison fill "$f" 0 16 9
for how in madv hw; do
	case $how in madv) p=3 ;; hw) p=9 ;; esac
	want=$(sectors_of "$f" "$p")
	inject $how "$f" "$p" >/dev/null
	umount "$mnt"
	madv_defect equal "$how: it is on record" "$want" "$(bad_sectors)"
	unbind
	check "$how: the disk is gone" test ! -e "/sys/block/$dev"
	bind
	check "$how: and is there again" test -b "$disk"
	madv_defect equal "$how: it is still on record" "$want" "$(bad_sectors)"
	first=${want% *}
	madv_defect equal "$how: and cannot be read" EIO "$(poison pread "$disk" $((first * 512)) 4096 direct)"
	mount -t xfs -o dax=always "$disk" "$mnt" || bail "mount after $how"
	madv_defect equal "$how: not by the file either" EIO "$(poison pread "$f" $((p * 4096)) 4096)"
	poison fill "$f" "$p" 1 9 2>/dev/null
	hw_defect equal "$how: it is repaired" same "$(poison verify "$f" 0 16 9)"
	hw_defect equal "$how: nothing is on record" - "$(bad_sectors)"
	umount "$mnt"
	unbind
	bind
	hw_defect equal "$how: nor after another round" - "$(bad_sectors)"
	mount -t xfs -o dax=always "$disk" "$mnt" || bail "mount again after $how"
	hw_defect equal "$how: and the data is whole" same "$(poison verify "$f" 0 16 9)"
done

# Injected by hand: that is the disk's, not the bus's, and goes with the disk, as in C.
umount "$mnt"
before=$(bad_sectors)
echo "400000 8" >"$bb"
unbind
bind
equal "what was injected by hand is gone with the disk" "$before" "$(bad_sectors)"
finish
