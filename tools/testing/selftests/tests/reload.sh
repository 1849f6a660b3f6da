# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The module comes and goes with a device bound to it, and takes all it had along.
#
# expect: rust pass, c pass

. "$(dirname "$0")/../lib.sh"
plan 6

dmesg -c >/dev/null
namespace
head -c 4M /dev/urandom >/tmp/data
dd if=/tmp/data of="$disk" bs=1M oflag=direct status=none
# free: in KiB, without what caches hold.
free() {
	sync
	echo 3 >/proc/sys/vm/drop_caches
	awk '/^MemFree/ { print $2 }' /proc/meminfo
}
free_before=$(free)
rounds=0
while [ $rounds -lt 20 ]; do
	rmmod nd_pmem || break
	[ ! -e "/sys/block/$dev" ] || break
	modprobe nd_pmem || break
	[ -b "$disk" ] || break
	echo "$((rounds * 8 + 65536)) 8" >"$bb"
	poison pread "$disk" 0 4096 direct >/dev/null
	rounds=$((rounds + 1))
done
equal "20 rounds of rmmod and modprobe" 20 "$rounds"
check "the data is still there" cmp -n 4194304 /tmp/data "$disk"
free_after=$(free)
echo "free memory: $free_before KiB before, $free_after KiB after"
if [ -e /sys/kernel/debug/kmemleak ]; then
	# KASAN keeps what was freed for a while; kmemleak says what really leaked.
	skip "no memory went with it" "MemFree says nothing with KASAN; scripts/boot scans with kmemleak"
else
	check "no memory went with it" test $((free_before - free_after)) -lt 32768
fi
exec 7<"$disk"
check "an open disk keeps the module" sh -c "! rmmod nd_pmem 2>/dev/null"
exec 7<&-
check "and a closed one does not" rmmod nd_pmem
equal "nothing was said of leaks or bugs" "" "$(complaints)"
finish
