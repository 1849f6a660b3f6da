# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The region is flushed when a block translation table is unbound, as with any namespace.
# A flush of virtio-pmem is a request to the host, whose answer is an interrupt.
#
# expect: rust pass, c pass, fixed pass
# timeout: 150
# regions: 0
# alone: yes
# boot: --virtio-pmem 512M

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../virtio-pmem.sh"
plan 4

other_namespace virtio_pmem
json=$(ndctl create-namespace -f -e "$ns" -m sector -l 4096 2>/tmp/err) || bail "create-namespace: $(tail -n 1 /tmp/err)"
dev=$(jq -r .blockdev <<<"$json") disk=/dev/$dev
holder=$(basename "$(readlink -f "/sys/block/$dev/device")")
matches "there is a disk with a table" "pmem*s" "$dev"
# Making the table wrote to it.  Writing to the disk would have C wait for the host with a lane's
# spinlock held.
before=$(flushes)
check "flushes are counted" test "$before" -gt 0
unbind
check "the disk is gone" test ! -e "/sys/block/$dev"
equal "one more flush came with that" $((before + 1)) "$(flushes)"
finish
