# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Legacy persistent memory (memmap=, type 12 in the e820 table): no firmware, no labels.
#
# expect: rust pass, c fail
# regions: 0
# boot: --memory 2G --memmap 512M@1G

. "$(dirname "$0")/../lib.sh"
plan 19

other_namespace nd_e820
equal "it has DAX" 1 "$(cat /sys/block/pmem0/queue/dax)"
whole_life
check "it can have an information block" ndctl create-namespace -f -e namespace0.0 -m fsdax
disk=/dev/$(basename "$(echo /sys/block/pmem*)")
xfs
poison fill "$mnt/file" 0 64 12
equal "and a file system then" same "$(poison verify "$mnt/file" 0 64 12)"
finish
