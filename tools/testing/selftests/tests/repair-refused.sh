# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A processor without ERMS has no copy that survives a machine check.  There poison is not
# overwritten, because reading it back could be the end of the machine: writes are EIO and change
# nothing, and a namespace with poison in its page structs is refused.
#
# expect: rust pass
# regions: 2
# alone: yes
# boot: --append clearcpuid=erms
# timeout: 200

. "$(dirname "$0")/../lib.sh"
plan 23

page=4096
check "the processor has no ERMS" sh -c "! grep -qw erms /proc/cpuinfo"
namespace
check "the log says that poison stays" sh -c "dmesg | grep -q 'poison stays: firmware cannot clear it'"
xfs
for how in madv hw; do
	f=$mnt/$how
	poison fill "$f" 0 16 3
	phys=$(poison phys "$f" 7)
	at=$((phys - $(data_start)))
	inject $how "$f" 7 >/dev/null
	bad=$(bad_sectors)
	matches "$how: it is on record" "*$((at / 512)) 8" "$bad"
	equal "$how: it is EIO" EIO "$(poison pread "$f" $((7 * page)) $page)"
	equal "$how: a pwrite of the page is EIO" EIO "$(poison pwrite "$f" $((7 * page)) $page x)"
	equal "$how: a write of the disk, too" EIO "$(poison pwrite "$disk" $at $page x direct)"
	equal "$how: the record is as it was" "$bad" "$(bad_sectors)"
	equal "$how: the pages before it are whole" same "$(poison verify "$f" 0 7 3)"
	equal "$how: the pages after it are" same "$(poison verify "$f" 8 8 3)"
done
umount "$mnt"

# Page structs on the device: libnvdimm overwrites them when it enables the namespace.
region=''
namespace -m fsdax -M dev
bad=/sys/bus/nd/devices/region$region/badblocks
hw-poison $(($(cat "/sys/bus/nd/devices/$ns/resource") + 65536))
wait_for 10 grep -q . "$bad"
listed=$(cat "$bad")
check "page structs: the region has it on record" test -n "$listed"
check "page structs: the namespace is disabled" ndctl disable-namespace "$ns"
ndctl enable-namespace "$ns" >/tmp/ndctl.out 2>&1 &
check "page structs: enabling it ends" wait_for 30 ended $!
check "page structs: there is no disk" test ! -e "/sys/block/$dev"
check "page structs: the log has the sectors" sh -c "dmesg | grep -q '$ns: poison: cannot write sectors 128 to '"
equal "page structs: the record is as it was" "$listed" "$(cat "$bad")"
check "the kernel did not complain" test -z "$(complaints)"
finish
