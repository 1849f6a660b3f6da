#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Run one test of tests/ where the machine has what its head asks for, and skip it where not
# (status 4, as kselftest has it).
#
#   ksft-run.sh TEST
#
# The tests make new namespaces in the NVDIMMs' regions, from region 0 on, and overwrite what
# is there.  They do so only with RDAX_KSFT_OVERWRITE=yes, or in a guest of scripts/boot.
#
#   RDAX_KSFT_BOOT=WORDS      options of scripts/boot that made this machine.  Tests that name
#                             some of virtio-fs run only where they are the same.
#
# The kernel has to be one with CONFIG_DAX_RUST, or one with the fixes alone: there only those
# run whose head says "fixed pass".

here=$(cd "$(dirname "$(readlink -f "$0")")" && pwd)
test=${1:?usage: ksft-run.sh TEST}
file=$here/tests/$test.sh
modules=$here/modules

skip() {
	echo "1..0 # SKIP $1"
	exit 4
}

# head_of KEY DEFAULT: what the test's head says.
head_of() {
	local value
	value=$(sed -n "1,30s/^# $1: *//p" "$file" | head -n 1)
	echo "${value:-$2}"
}

# virtio_device ID: is there such a device?
virtio_device() {
	grep -qsx "$1" /sys/bus/virtio/devices/*/device
}

# need_machine WORD...: what scripts/boot would have been asked for.
need_machine() {
	local words=$*
	while [ $# -gt 0 ]; do
		case $1 in
		--virtiofs)
			[ "${RDAX_KSFT_BOOT:-}" = "$words" ] || skip "needs a machine by scripts/boot $words"
			;;
		--virtio-pmem) virtio_device 0x001b || skip "needs a virtio-pmem device of $2" ;;
		--modules) modinfo nfit_test >/dev/null 2>&1 || skip "needs nfit_test.ko (tools/testing/nvdimm)" ;;
		--append) grep -qwF -- "$2" /proc/cmdline || skip "needs the kernel parameter $2" ;;
		--memmap) grep -qi 'persistent memory (legacy)' /proc/iomem || skip "needs the kernel parameter memmap=${2/@/!}" ;;
		--nvdimm) [ "$(cat /sys/bus/nd/devices/region0/size 2>/dev/null || echo 0)" -ge $((${2%G} << 30)) ] || skip "needs an NVDIMM of $2" ;;
		esac
		shift
		[ $# = 0 ] || shift
	done
}

# wipe REGION: no sector is bad any more.  What tests before have poisoned would be counted.
wipe() {
	local name=/dev/null start count
	[ -s "/sys/bus/nd/devices/region$1/badblocks" ] || return 0
	name=/dev/$(ndctl create-namespace -f -e "namespace$1.0" -m raw 2>/dev/null | jq -r '.blockdev // empty')
	[ -b "$name" ] || return
	while read -r start count; do
		dd if=/dev/zero of="$name" bs=512 seek="$start" count="$count" oflag=direct conv=notrunc status=none || return
	done <"/sys/block/${name#/dev/}/badblocks"
}

# need_regions COUNT: that many which no test has used, or which are made as new.
need_regions() {
	local next have state=/run/rdax/next-region region
	[ "$1" != 0 ] || return 0
	modprobe -a nfit nd_pmem 2>/dev/null
	have=$(find /sys/bus/nd/devices/ -name 'region[0-9]*' | wc -l)
	[ "$have" -ge "$1" ] || skip "needs $1 NVDIMMs, there are $have"
	mkdir -p /run/rdax
	next=$(cat "$state" 2>/dev/null || echo 0)
	[ $((next + $1)) -gt "$have" ] || return 0
	[ "$RDAX_KERNEL" = rust ] || skip "needs $1 NVDIMMs that no test has used since the start"
	for ((region = 0; region < have; region++)); do
		wipe "$region" || skip "region$region has bad sectors that cannot be overwritten"
	done
	echo 0 >"$state"
}

[ -f "$file" ] || {
	echo "Bail out! there is no test $test"
	exit 1
}
[ "$(id -u)" = 0 ] || skip "needs root"
for tool in ndctl jq xfs_io mkfs.xfs; do
	command -v $tool >/dev/null || skip "needs $tool"
done
[ -d /sys/kernel/debug/dax ] || mount -t debugfs debugfs /sys/kernel/debug 2>/dev/null

# Those of scripts/boot come with the environment.
if grep -q ' dax_dev_read_lock$' /proc/kallsyms; then RDAX_KERNEL=rust; else RDAX_KERNEL=fixed; fi
export RDAX_KERNEL RDAX_TOP=$here
if [ "$RDAX_KERNEL" = fixed ]; then
	case $(head_of expect "") in *"fixed pass"*) ;; *) skip "needs CONFIG_DAX_RUST" ;; esac
fi

# Words.
# shellcheck disable=SC2046
need_machine $(head_of boot "")
if grep -v '^[[:space:]]*#' "$file" | grep -qE '(^|[^a-z])hw([^a-z]|$)|whole_life'; then
	command -v hw-poison >/dev/null || skip "needs hw-poison, which has QEMU raise a machine check"
fi
if grep -q 'poison flags' "$file"; then
	grep -qsx rdax.mon /sys/class/virtio-ports/*/name || skip "needs QEMU's monitor at a port rdax.mon, as run-all makes it"
fi
for module in dax_delay dax_hide dax_holder_test; do
	! grep -qE "modprobe.* $module|$([ $module = dax_delay ] && echo hold_in || echo $module)" "$file" || [ -f "$modules/$module.ko" ] ||
		modinfo $module >/dev/null 2>&1 || skip "needs $module.ko"
done
regions=$(head_of regions 1)
if [ "$regions" != 0 ] || [ -n "$(head_of boot "")" ]; then
	[ "${RDAX_KSFT_OVERWRITE:-}" = yes ] || [ -e /run/rdax/ctl ] ||
		skip "overwrites NVDIMMs: RDAX_KSFT_OVERWRITE=yes if it may"
fi
need_regions "$regions"

mkdir -p /mnt/pmem /mnt/scratch /run/rdax
RDAX_PATIENCE=${RDAX_PATIENCE:-1}
export RDAX_PATIENCE PATH=$here:$PATH

# In front of the machine's modprobe for the test: a module of modules/ is loaded from there,
# where it is not installed.  The test calls it.
# shellcheck disable=SC2317
modprobe() {
	local name
	case ${1:-} in
	-a)
		for name in "${@:2}"; do modprobe "$name" || return; done
		;;
	-*) command modprobe "$@" ;;
	*)
		if [ ! -f "$RDAX_TOP/modules/${1:-}.ko" ]; then
			command modprobe "$@"
		elif ! grep -q "^$1 " /proc/modules; then
			insmod "$RDAX_TOP/modules/$1.ko" "${@:2}"
		fi
		;;
	esac
}
export -f modprobe
timeout -k 5 $(($(head_of timeout 90) * RDAX_PATIENCE)) bash "$file"
status=$?
[ "$status" != 124 ] || echo "# the test did not end"
[ "$status" = 0 ] || status=1
exit "$status"
