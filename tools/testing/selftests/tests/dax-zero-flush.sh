# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A part of a shared block is zeroed, by punching a hole and by truncation: the block that the file
# gets instead has to be written back from the caches.  The emulator has no caches that a power
# failure would lose, so what is asked for is counted.  C asks for nothing.
#
# expect: rust pass, c fail, fixed pass
# timeout: 120

. "$(dirname "$0")/../lib.sh"
plan 12

namespace
xfs
# It lets all calls pass, and adds up their lengths.
modprobe dax_delay symbol=arch_wb_cache_pmem skip=2000000000 || bail "modprobe dax_delay"
sum=/sys/module/dax_delay/parameters/second

# flushed COMMAND...: how many bytes it has written back.
flushed() {
	local before
	before=$(<$sum)
	"$@" >/dev/null 2>&1 || echo failed
	echo $(($(<$sum) - before))
}

# written_back NAME ZEROES BYTES: the zeroes of a file's own block, which C does, too, or the
# whole of a copy.
written_back() {
	if [ $kind = own ]; then
		check "$kind: $1 is written back" test "$3" -ge "$2"
	else
		defect check "$kind: $1 is written back" test "$3" -ge 4096
	fi
}

for kind in own shared; do
	f=$mnt/$kind
	poison fill "$f" 0 16 3
	truncate -s 65000 "$f"
	[ $kind = own ] || cp --reflink=always "$f" "$f.clone"
	cp "$f" /tmp/want
	sync
	equal "$kind: nothing is written back of what is clean" 0 "$(flushed xfs_io -c fsync "$f")"
	written_back "a hole" 1000 "$(flushed xfs_io -c "fpunch 8200 1000" "$f")"
	dd if=/dev/zero of=/tmp/want bs=1 seek=8200 count=1000 conv=notrunc status=none
	equal "$kind: the file holds what it should" "$(md5sum </tmp/want)" "$(md5sum <"$f")"
	sync
	written_back "the end of the file" 2768 "$(flushed truncate -s 30000 "$f")"
	truncate -s 30000 /tmp/want
	truncate -s 40000 "$f" /tmp/want
	equal "$kind: what was behind it is zero" "$(md5sum </tmp/want)" "$(md5sum <"$f")"
done
equal "the clone is as it was" same "$(poison verify "$mnt/shared.clone" 0 15 3)"
rmmod dax_delay
check "the file system is unmounted" umount "$mnt"
finish
