# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What was stored through a mapping is written back by fsync(), also where an allocation or a
# truncation of the file came in between, which makes C forget that it is dirty.  A page that failed
# is left out: fsync() fails once, and the pages beside it are written back.  The emulator has no
# caches that a power failure would lose, so what is asked for is counted.
#
# expect: rust pass, c fail, fixed pass
# regions: 2
# c-sign: quick

. "$(dirname "$0")/../lib.sh"
plan 15

# It lets all calls pass, and adds up their lengths.
modprobe dax_delay symbol=arch_wb_cache_pmem skip=2000000000 || bail "modprobe dax_delay"
sum=/sys/module/dax_delay/parameters/second

# Only fsync() writes back here.
timer=/proc/sys/vm/dirty_writeback_centisecs
before_test=$(<$timer)
trap 'echo "$before_test" >$timer' EXIT
echo 0 >$timer

# flushed COMMAND...: how many bytes it has written back.
flushed() {
	local before
	before=$(<$sum)
	"$@" >/tmp/said 2>&1
	echo $(($(<$sum) - before))
}

# store FILE OFFSET LENGTH COMMAND...: stores, and then these of xfs_io.
store() {
	local file=$1 words=() word
	for word in "mmap -rw 0 64k" "mwrite -S 0x5a $2 $3" "${@:4}"; do words+=(-c "$word"); done
	xfs_io "${words[@]}" "$file"
}

for kind in xfs ext4; do
	namespace
	if [ $kind = xfs ]; then
		xfs
	else
		mkfs.ext4 -q -F -b 4096 "$disk" || bail "mkfs.ext4"
		mount -o dax "$disk" "$mnt" || bail "mount"
	fi
	f=$mnt/file
	poison fill "$f" 0 256 3
	sync
	equal "$kind: a store is written back" 4096 "$(flushed store "$f" 0 4096 fsync)"
	# Before an allocation ext4 gives up no entries.
	[ $kind = xfs ] && sign=defect || sign=
	$sign equal "$kind: and after an allocation behind the file" 4096 "$(flushed store "$f" 4096 4096 "falloc 1m 4096" fsync)"
	defect equal "$kind: and after a truncation" 4096 "$(flushed store "$f" 8192 4096 "truncate 512k" fsync)"
	equal "$kind: it is what was stored" "Z 12288" "$(head -c 12288 "$f" | fold -w1 | sort | uniq -c | awk '{ print $2, $1 }')"

	# No fsync: it stays dirty.
	store "$f" 20480 8192 >/dev/null
	poison madv "$f" 6 >/dev/null
	defect equal "$kind: a page that failed is left out" 4096 "$(flushed xfs_io -c fsync "$f")"
	defect matches "$kind: and fsync() says so" "*Input/output error" "$(cat /tmp/said)"
	equal "$kind: once" "" "$(xfs_io -c fsync "$f" 2>&1)"
	umount "$mnt"
done
rmmod dax_delay
check "the kernel did not complain" test -z "$(complaints)"
finish
