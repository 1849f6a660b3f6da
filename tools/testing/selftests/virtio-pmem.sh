# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What tests of virtio-pmem share.

# flushes: how many flushes of virtio-pmem the host has answered.
flushes() {
	local device
	device=$(basename /sys/bus/virtio/drivers/virtio_pmem/virtio*)
	awk -v name="^$device(-|$)" '$NF ~ name { for (i = 2; $i ~ /^[0-9]+$/; i++) sum += $i } END { print sum + 0 }' /proc/interrupts
}
