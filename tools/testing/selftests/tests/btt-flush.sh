# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What was written through a block translation table is flushed when the driver is unbound.
# A flush of virtio-pmem is a request to the host, whose answer is an interrupt.
#
# expect: rust pass, c pass
# regions: 0
# alone: yes
# boot: --virtio-pmem 512M

. "$(dirname "$0")/../lib.sh"

# flushes: how many the host has answered.
flushes() {
	awk '/flush_queue/ { for (i = 2; $i ~ /^[0-9]+$/; i++) sum += $i } END { print sum + 0 }' /proc/interrupts
}

other_namespace virtio_pmem
json=$(ndctl create-namespace -f -e "$ns" -m sector -l 4096 2>/tmp/err) || bail "create-namespace: $(tail -n 1 /tmp/err)"
dev=$(jq -r .blockdev <<<"$json") disk=/dev/$dev
holder=$(basename "$(readlink -f "/sys/block/$dev/device")")
matches "there is a disk with a table" "pmem*s" "$dev"
check "it is written to" dd if=/dev/zero of="$disk" bs=4096 count=4 oflag=direct status=none
before=$(flushes)
check "flushes are counted" test "$before" -gt 0
unbind
check "the disk is gone" test ! -e "/sys/block/$dev"
equal "one more flush came with that" $((before + 1)) "$(flushes)"
finish
