# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# When a disk of virtio-pmem asks the host to make data durable: for a flush, for a write that
# says so (FUA), for a write that repairs, and when it is unbound; and not for other writes.  A
# repair drops what the caches hold of the poison before it writes.
#
# expect: rust pass
# regions: 0
# alone: yes
# boot: --virtio-pmem 512M

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../virtio-pmem.sh"
plan 9

other_namespace virtio_pmem
# It lets all calls pass, and counts them.
symbol=$(awk '$3 ~ /4pmem.*6Window10invalidate$/ { print $3 }' /proc/kallsyms)
modprobe dax_delay "symbol=$symbol" skip=2000000000 || bail "modprobe dax_delay symbol=$symbol"
calls=/sys/module/dax_delay/parameters/hits

# asked COMMAND...: how many flushes came of it, or that it failed.
asked() {
	local before
	before=$(flushes)
	if "$@" >/dev/null 2>&1; then echo $(($(flushes) - before)); else echo failed; fi
}

# write WORDS: of one page, past the page cache.  Called by asked.
# shellcheck disable=SC2317
write() {
	dd if=/dev/zero of="$disk" bs=4096 count=1 conv=notrunc oflag="$1"
}

equal "a write asks for none" 0 "$(asked write direct)"
equal "a flush asks for one" 1 "$(asked xfs_io -c fsync "$disk")"
# The write is FUA, and fsync() follows.
equal "a write that has to be durable asks for one before fsync" 2 "$(asked write direct,dsync)"

echo "0 8" >"$bb"
equal "the page is bad" EIO "$(poison pread "$disk" 0 4096 direct)"
before=$(<$calls)
equal "a write that repairs asks for one" 1 "$(asked write direct)"
equal "what the caches held of the page is dropped once" 1 $(($(<$calls) - before))
equal "the page is good" - "$(bad_sectors)"
rmmod dax_delay

equal "unbinding asks for one" 1 "$(asked unbind)"
check "the disk is gone" test ! -e "/sys/block/$dev"
finish
