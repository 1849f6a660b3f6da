# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# HardwareCorrupted counts what memory_failure() was called for: a repair does not lower it, and an
# agent's report, of which memory management does not hear, does not raise it.
#
# expect: rust pass
# timeout: 120

. "$(dirname "$0")/../lib.sh"
plan 6

# corrupted: in kB.
corrupted() {
	sed -n 's/^HardwareCorrupted: *\([0-9]*\) kB/\1/p' /proc/meminfo
}

namespace
xfs
modprobe hwpoison-inject || bail "modprobe hwpoison-inject"
f=$mnt/file
poison fill "$f" 0 16 3
sync
before=$(corrupted)
corrupt "$(pfn_of "$f" 5)"
equal "a failure is counted" $((before + 4)) "$(corrupted)"
equal "it is repaired" 4096 "$(poison pwrite "$f" $((5 * 4096)) 4096 v)"
equal "and stays counted" $((before + 4)) "$(corrupted)"
corrupt "$(pfn_of "$f" 5)"
equal "the same page is counted again" $((before + 8)) "$(corrupted)"
phys=$(poison phys "$f" 7)
echo "$((phys - $(data_start))) 4096" >"/sys/block/$dev/dax/report_failure"
equal "what an agent reports is bad" EIO "$(poison pread "$f" $((7 * 4096)) 4096)"
equal "and is not counted" $((before + 8)) "$(corrupted)"
finish
