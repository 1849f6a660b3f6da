# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A range is known to be bad, and its first page is reported again: all of it stays on
# record, also for the next driver that binds.  C has no agent that could report a range.
#
# expect: rust pass
# regions: 1
# timeout: 200

. "$(dirname "$0")/../lib.sh"

plan 4

namespace
echo "$((64 * 4096)) $((16 * 4096))" >"/sys/block/$dev/dax/report_failure" || bail report_failure
equal "16 pages are bad" "512 128" "$(bad_sectors)"
before=$(dmesg | grep -c "Memory failure")
hw-poison $(($(data_start) + 64 * 4096))
wait_for 20 sh -c "[ \$(dmesg | grep -c 'Memory failure') -gt $before ]" || bail "the kernel does not deal with the machine check"
equal "and after the first of them was reported again" "512 128" "$(bad_sectors)"
unbind
bind
equal "and for the next driver" "512 128" "$(bad_sectors)"
dd if=/dev/zero of="$disk" bs=4096 seek=64 count=16 oflag=direct conv=notrunc status=none
equal "until they are overwritten" - "$(bad_sectors)"
finish
