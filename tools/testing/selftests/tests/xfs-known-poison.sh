# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# XFS is mounted over poison that the disk knows: in a superblock that is a copy, in a part of the
# log that is not in use, and in a file.  The mount notifies no holder, and so it works, also to
# rescue data.  The first access of the file is an error.  A verification of the media names the
# file, which need not be in core.  A notification does not name such a file, and for the copy of
# the superblock it shuts XFS down: that is why a mount does not begin with one
# (Documentation/xfs-notify.md).
#
# expect: rust pass, c pass
# timeout: 150

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../xfs.sh"
plan 18

modprobe dax_holder_test || bail "modprobe dax_holder_test"
namespace
holder_open "$disk"
mkfs_xfs
poison fill "$mnt/file" 0 16 1
poison fill "$mnt/other" 0 16 2
sync
map=$(fsmap)
number=$(stat -c %i "$mnt/file")
file=$(place_of "$mnt/file" 5)
copy=$((2 * agsize))
# Three quarters into it, in sectors of 4 KiB: a new log is used from its start.
log=$(awk '/journalling log$/ { print ($1 + int(($2 - $1) * 3 / 32) * 8) * 512; exit }' <<<"$map")
[ -n "$log" ] || bail "there is no log: $(grep -v inode <<<"$map" | head -n 5 | tr '\n' ' ')"
release

for at in "$file" "$copy" "$log"; do
	echo "$((at / 512)) 8" >"$bb"
done
known=$(bad_sectors)
equal "three pages are bad" 24 "$(awk '{ sum += $2 } END { print sum }' "$bb")"

# mounted NAME [OPTION...]: it is, and has all but the page that is bad.
mounted() {
	check "$1: it is mounted" mount -t xfs -o "dax=always${2:+,$2}" "$disk" "$mnt"
	# `poison pread` would open it for writing.
	matches "$1: the bad page cannot be read" "*Input/output error*" \
		"$(dd if="$mnt/file" of=/dev/null bs=4096 skip=5 count=1 status=none 2>&1)"
	equal "$1: the page before it is good" same "$(poison verify "$mnt/file" 0 5 1)"
	equal "$1: and so is another file" same "$(poison verify "$mnt/other" 0 16 2)"
}

mounted "read-only, for a rescue" ro,norecovery
release
mounted "as usual"
check "as usual: it takes writes" works
release

# The file is not in core.
mount -t xfs -o dax=always "$disk" "$mnt" || bail "mount again"
monitor_losses
equal "a notification of the file" 0 "$(notify "$file" 4096)"
check "the notification names no file" sh -c "sleep 1; ! grep -q '^lost ' /tmp/lost"
check "the media is verified" python3 - "$mnt" "$((file / 512))" <<-'END'
	import ctypes, os, struct, sys
	libc = ctypes.CDLL(None, use_errno=True)
	fd = os.open(sys.argv[1], os.O_RDONLY)
	first = int(sys.argv[2])
	# XFS_IOC_VERIFY_MEDIA of the data device, with XFS_VERIFY_MEDIA_REPORT
	ask = struct.pack("=IIQQIIII", 1, 1, first, first + 8, 0, 4096, 0, 0)
	if libc.ioctl(fd, ctypes.c_ulong(0xC0285846), ctypes.create_string_buffer(ask)) < 0:
	    sys.exit("verify media: " + os.strerror(ctypes.get_errno()))
END
check "the verification names the file" wait_for 20 grep -qx "lost $number" /tmp/lost
kill $listener
wait $listener

equal "a notification of the superblock's copy is corruption" EUCLEAN "$(notify "$copy" 4096)"
check "and shuts the file system down" is_shut_down
release
# Called by `check`.
# shellcheck disable=SC2317
mounted_again() {
	mount -t xfs -o dax=always "$disk" "$mnt" && works
}
check "which works when it is mounted again" mounted_again
equal "and all of the poison is still on record" "$known" "$(bad_sectors)"
holder_close
finish
