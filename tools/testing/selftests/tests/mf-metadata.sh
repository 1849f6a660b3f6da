# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A page of a namespace's metadata fails, and the namespace has its page structs in its own memory.
# Those of the metadata are what the media held: C takes the number of a node from them, which is an
# oops, with the lock of all failures.
#
# expect: rust pass, c crash:memory_failure, fixed pass

. "$(dirname "$0")/../lib.sh"
plan 5

namespace -m raw
tr '\0' '\377' </dev/zero | dd of="$disk" bs=1M count=32 iflag=fullblock oflag=direct status=none || bail "dd"
namespace -m fsdax -M dev
start=$(cat "/sys/bus/nd/devices/region$region/resource")
xfs
poison fill "$mnt/file" 0 8 3
check "the failure is refused" sh -c "! echo $start >/sys/devices/system/memory/hard_offline_page"
check "the log has it" sh -c "dmesg | grep -q 'Memory failure: .*: recovery action for dax page: Failed'"
# As any other is after it.
phys=$(poison phys "$mnt/file" 5)
check "a page of a file fails" sh -c "echo $phys >/sys/devices/system/memory/hard_offline_page"
equal "it is marked" 0 "$(poison flags "$phys" 1)"
equal "the file is whole before it" same "$(poison verify "$mnt/file" 0 5 3)"
finish
