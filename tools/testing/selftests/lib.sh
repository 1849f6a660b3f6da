# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What the tests in the guest share: results in TAP, and devices to try things on.
# Each test is a file of its own, tests/NAME.sh, which run-all describes.

set -u
kernel=$RDAX_KERNEL
count=0 failures=0 planned=''
# For the tests: 1 on our kernel, 0 on C.
# shellcheck disable=SC2034
ours=0
# shellcheck disable=SC2034
[ "$kernel" != rust ] || ours=1
# What limits in seconds are multiplied by.  RDAX_PATIENCE is how slow the machine is.  Twice on our
# kernels: there a limit only ends a test that hangs, while the defects of C wait to the end of theirs.
RDAX_PATIENCE=${RDAX_PATIENCE:-1}
patience=$RDAX_PATIENCE
[ "$kernel" = c ] || patience=$((2 * RDAX_PATIENCE))
dev='' ns='' disk='' bb='' holder=''
mnt=/mnt/pmem

# plan N: how many checks follow, on this kernel and whatever they find.  Each test says it
# before its first check, so that a check that does not happen is a failure.
plan() {
	planned=$1
	echo "1..$planned"
}

# patient SECONDS: how long a limit of so many seconds is on this machine.
patient() {
	echo $(($1 * patience))
}

# result STATUS NAME [DETAIL]: one line of TAP.  After `defect` the C kernel must fail.
result() {
	local status=$1 name=$2 detail=${3:-}
	count=$((count + 1))
	if [ -n "${as_defect:-}" ] && [ "$kernel" = c ]; then
		if [ "$status" = 0 ]; then
			failures=$((failures + 1))
			echo "not ok $count - $name: C passes, the test proves nothing"
		else
			echo "ok $count - $name (C fails, as expected${detail:+: $detail})"
		fi
	elif [ "$status" = 0 ]; then
		echo "ok $count - $name"
	else
		failures=$((failures + 1))
		echo "not ok $count - $name${detail:+: $detail}"
	fi
}

# defect CHECK...: a check that must pass on rust, and fail on c.
defect() {
	local as_defect=yes
	"$@"
}

# hw_defect CHECK..., madv_defect CHECK...: one when $how is that; else a check.  C records
# what nfit reports, and nothing that madvise did.
hw_defect() {
	if [ "$how" = hw ]; then defect "$@"; else "$@"; fi
}
madv_defect() {
	if [ "$how" = madv ]; then defect "$@"; else "$@"; fi
}

# equal NAME WANTED GOT
equal() {
	if [ "$2" = "$3" ]; then result 0 "$1"; else result 1 "$1" "wanted '$2', got '$3'"; fi
}

# matches NAME PATTERN GOT: PATTERN is the shell's.
matches() {
	# shellcheck disable=SC2053
	if [[ $3 == $2 ]]; then result 0 "$1"; else result 1 "$1" "wanted '$2', got '$3'"; fi
}

# check NAME COMMAND...
check() {
	local name=$1 status=0 output
	shift
	output=$("$@" 2>&1) || status=$?
	result "$status" "$name" "$* ended with $status: $(tail -n 3 <<<"$output" | tr '\n' ' ')"
}

# skip NAME WHY
skip() {
	count=$((count + 1))
	echo "ok $count - $1 # SKIP $2"
}

# finish: the last command of each test.
finish() {
	local status=0
	if ! release; then
		echo "# $mnt cannot be unmounted in the end"
		status=1
	fi
	if [ "$count" != "$planned" ]; then
		echo "# $count checks were made, ${planned:-none} planned"
		status=1
	fi
	[ "$failures" = 0 ] || status=1
	# The next test may load it for another function.  A task may still be in it after a failure.
	[ "$status" != 0 ] || [ ! -d /sys/module/dax_delay ] || rmmod dax_delay || status=1
	exit "$status"
}

# bail WHY: the test cannot go on.
bail() {
	result 1 "the test can run" "$1"
	finish
}

# next_region: each test takes regions of its own, since C never forgets poison.
next_region() {
	local state=/run/rdax/next-region next=0
	[ ! -f "$state" ] || next=$(<"$state")
	[ -d "/sys/bus/nd/devices/region$next" ] || return 1
	echo $((next + 1)) >"$state"
	echo "$next"
}

# namespace [ndctl options]: make a namespace in a fresh region (or in $region), and set
# $ns, $dev (pmem0), $disk (/dev/pmem0), $bb, and $holder (the sysfs device that is bound).
namespace() {
	local json
	modprobe -a nfit nd_pmem || bail "modprobe -a nfit nd_pmem"
	if [ -z "${region:-}" ]; then
		region=$(next_region) || bail "no NVDIMM is left"
	fi
	if [ $# = 0 ]; then set -- -m fsdax; fi
	json=$(ndctl create-namespace -f -e "namespace$region.0" "$@" 2>/tmp/ndctl.err) || bail "ndctl create-namespace: $(tail -n 1 /tmp/ndctl.err)"
	ns=$(jq -r .dev <<<"$json")
	dev=$(jq -r '.blockdev // empty' <<<"$json")
	disk=/dev/$dev bb=/sys/block/$dev/badblocks
	[ -z "$dev" ] || holder=$(basename "$(readlink -f "/sys/block/$dev/device")")
}

# nfit_bus: the bus that tools/testing/nvdimm makes up, as $bus, with empty labels.
nfit_bus() {
	modprobe nfit_test || bail "modprobe nfit_test: $(dmesg | tail -n 3 | tr '\n' ' ')"
	wait_for 20 has_nfit_test || bail "there is no bus nfit_test.0"
	bus=nfit_test.0
	ndctl disable-region -b "$bus" all >/dev/null 2>&1
	check "labels are cleared" ndctl init-labels -f -b "$bus" all
	check "regions are enabled" ndctl enable-region -b "$bus" all
	scrub_ends
}

# Called by wait_for.
# shellcheck disable=SC2317
has_nfit_test() {
	is 1 sh -c "ndctl list -B | jq '[.[] | select(.provider == \"nfit_test.0\")] | length'"
}

# scrubbed: have the buses looked for bad memory to the end?  They say 7+ while they do, 7 then.
# shellcheck disable=SC2317
scrubbed() {
	[[ $(cat /sys/bus/nd/devices/ndbus*/nfit/scrub) =~ ^[0-9[:space:]]+$ ]]
}

# scrub_ends: one that still runs would bring back what is made good meanwhile, or find what is injected.
scrub_ends() {
	wait_for 60 scrubbed || bail "the bus is scrubbed on and on"
}

# nfit_gone: that bus goes, and the other one.
nfit_gone() {
	ndctl disable-region -b "$bus" all >/dev/null 2>&1
	ndctl disable-region -b nfit_test.1 all >/dev/null 2>&1
	check "the bus can go" modprobe -r nfit_test
}

# xfs: a file system with DAX on $disk, at $mnt.  $mkfs_options are mkfs.xfs's.
xfs() {
	local words
	# shellcheck disable=SC2086
	words=$(mkfs.xfs -q -f ${mkfs_options:-} "$disk" 2>&1) || bail "mkfs.xfs: $(head -n 1 <<<"$words")"
	mount -t xfs -o dax=always "$disk" "$mnt" || bail "mount"
}

# ext4: the same.
ext4() {
	mkfs.ext4 -q -F -b 4096 "$disk" || bail "mkfs.ext4"
	mount -t ext4 -o dax=always "$disk" "$mnt" || bail "mount"
}

# release: unmount.  The namespace stays, its region is not used again.  (mountpoint asks
# the file system, and one that is shut down has no answer.)
release() {
	while grep -q " $mnt " /proc/mounts; do umount "$mnt" || return; done
}

# bad_sectors: what badblocks says, "START COUNT" lines joined by commas; - for nothing.
bad_sectors() {
	local lines
	lines=$(paste -sd, "$bb")
	echo "${lines:--}"
}

# data_start: the physical address at which the data of $dev begins.
data_start() {
	cat "/sys/bus/nd/devices/$holder/resource"
}

# sectors_of FILE PAGE: what badblocks says when just that page of the file is bad.
sectors_of() {
	local phys
	phys=$(poison phys "$1" "$2") || return
	echo "$(((phys - $(data_start)) / 512)) 8"
}

# verdicts PFN: how often memory_failure() was through with the page, as the log has it.
verdicts() {
	dmesg | grep -c "Memory failure: $(printf %#x "$1"): recovery action"
}

# dealt_with PFN COUNT: has it been so more often than that?
dealt_with() {
	[ "$(verdicts "$1")" -gt "$2" ]
}

# recorded COUNT: badblocks has not so many lines any more.
recorded() {
	[ "$(grep -c . "$bb")" != "$1" ]
}

# hw_poison PHYS: a machine check for that address, with which memory_failure() is through.
hw_poison() {
	local pfn=$(($1 / 4096)) verdicts
	verdicts=$(verdicts "$pfn")
	hw-poison "$1" || bail "hw-poison $1"
	wait_for 30 dealt_with "$pfn" "$verdicts" || bail "the kernel does not deal with a machine check at $1"
}

# inject HOW FILE PAGE: HOW is madv or hw.
inject() {
	local before pfn verdicts
	before=$(grep -c . "$bb")
	if [ "$1" != hw ]; then
		poison "$@"
		return
	fi
	# Two workers deal with a machine check: one of mm, and one of nfit, which records it.  (The
	# second does nothing for a page that is on record, or where no nfit driver is.)
	pfn=$(pfn_of "$2" "$3") || return
	verdicts=$(verdicts "$pfn")
	poison "$@"
	wait_for 30 dealt_with "$pfn" "$verdicts" || echo "# the failure of page $3 is not dealt with"
	wait_at_most 3 recorded "$before"
	return 0
}

# bind, unbind: the driver of $dev.
unbind() {
	echo "$holder" >/sys/bus/nd/drivers/nd_pmem/unbind
}

bind() {
	echo "$holder" >/sys/bus/nd/drivers/nd_pmem/bind
}

# other_namespace MODULE...: as `namespace`, where another driver than nfit has the region.
other_namespace() {
	modprobe -a "$@" nd_pmem || bail "modprobe $*"
	wait_for 10 test -b /dev/pmem0 || bail "there is no /dev/pmem0"
	# For the tests.
	# shellcheck disable=SC2034
	ns=namespace0.0 dev=pmem0 disk=/dev/pmem0 bb=/sys/block/pmem0/badblocks
	holder=$(basename "$(readlink -f /sys/block/pmem0/device)")
}

# nap: a twentieth of a second.  `sleep` is a program, and the emulator is slow to start one.
exec {never}<> <(:)
nap() {
	read -r -t 0.05 -u "$never" || :
}

# wait_for SECONDS COMMAND...: until it succeeds.
wait_for() {
	local seconds=$(($1 * patience))
	shift
	wait_at_most "$seconds" "$@"
}

# wait_at_most SECONDS COMMAND...: the same for what may never come, where the test goes on without it.
# That time is the same on each machine.
wait_at_most() {
	local end=$((SECONDS + $1)) tries=$(($1 * 4))
	shift
	# A guest that the host does not run for a while has not had that time.
	while ! "$@"; do
		tries=$((tries - 1))
		[ "$SECONDS" -lt "$end" ] || [ "$tries" -gt 0 ] || return 1
		nap
	done
}

# fifo FILE...: makes pipes, whatever an earlier test of the boot has left there.
fifo() {
	rm -f "$@"
	mkfifo "$@" || bail "mkfifo $*"
}

# ended PID: has that child of the shell ended?
ended() {
	! kill -0 "$1" 2>/dev/null
}

# blocked_in PATTERN [PID]: does a task, or one of that process, sleep in such a function?
# PATTERN is of grep -E, and matches a part of the name (Rust's are mangled).  A task that
# runs has no stack here.
blocked_in() {
	# shellcheck disable=SC2086
	grep -qsE "$1" /proc/${2:-[0-9]*}/task/*/stack
}

# blocked_or_ended PATTERN PID
blocked_or_ended() {
	blocked_in "$1" "$2" || ended "$2"
}

# ends NAME SECONDS PID WHERE [TASK]: that process comes to its end.  As a defect: C's, or that
# task, or any where TASK is '', sleeps in a function like WHERE, and is not merely slow.
ends() {
	if wait_for "$2" ended "$3"; then
		result 0 "$1"
	elif [ -n "${as_defect:-}" ] && ! blocked_in "$4" "${5-$3}"; then
		as_defect=''
		result 1 "$1" "it has not ended in $2 s, and does not wait in $4 either"
	else
		result 1 "$1" "it has not ended in $2 s"
	fi
}

# runs FILE PID: does the process run that program?
runs() {
	[ "$(readlink "/proc/$2/exe")" = "$1" ]
}

# is WANTED COMMAND...: does it print that?
is() {
	local wanted=$1
	shift
	[ "$("$@" 2>/dev/null)" = "$wanted" ]
}

# corrupt PFN: report a failure of that page, as hwpoison's own tests do.
corrupt() {
	echo "$1" >/sys/kernel/debug/hwpoison/corrupt-pfn
}

# pfn_of FILE PAGE
pfn_of() {
	local phys
	phys=$(poison phys "$1" "$2") || return
	echo $((phys / 4096))
}

# asked_for KEY: the number that the kernel's command line has for rdax.KEY=, if any.  That of rounds
# is also what the test's head says of the kernel.
asked_for() {
	if [ "$1" = rounds ] && [ -n "${RDAX_ROUNDS:-}" ]; then
		echo "$RDAX_ROUNDS"
		return
	fi
	sed -n "s/.*rdax\\.$1=\\([0-9]*\\).*/\\1/p" /proc/cmdline
}

# fresh_seed: another one in each run.  run-all --append rdax.seed=N runs the test with that one.
fresh_seed() {
	local seed
	seed=$(asked_for seed)
	echo "${seed:-$SRANDOM}"
}

# complaints: what the kernel said that no test may cause, on one line.
complaints() {
	dmesg | "$RDAX_TOP/scripts/splats" | sed 's/^[0-9]*://; s/^\[[^]]*\] *//' | sort -u | paste -sd';'
}

# hold_in FUNCTION [PARAMETER...]: the next task that enters it waits there (dax_delay.c).
hold_in() {
	local function=$1
	shift
	! grep -q '^dax_delay ' /proc/modules || rmmod dax_delay
	modprobe dax_delay "symbol=$function" "delay_ms=$(patient 100)000" "$@" || bail "modprobe dax_delay symbol=$function"
}

# fail_in FUNCTION ERROR: its next call does nothing and returns -ERROR.
fail_in() {
	hold_in "$1" "error=$2"
}

# failed_in: has it?
failed_in() {
	is 0 cat /sys/module/dax_delay/parameters/count
}

# held: does a task wait?  let_go: not any more.
held() {
	is 1 cat /sys/module/dax_delay/parameters/delaying
}

let_go() {
	echo 1 >/sys/module/dax_delay/parameters/release
}

# mappers_of COUNT KIND PAGE FILE...: start them (mappers.c); `ask WORD` asks them.
mappers_of() {
	fifo /tmp/ask /tmp/answer
	mappers "$@" </tmp/ask >/tmp/answer 2>/tmp/mappers.err &
	mappers_pid=$!
	exec 6>/tmp/ask 7</tmp/answer
	read -r -t "$(patient 60)" answer <&7
	[ "$answer" = ready ] || bail "mappers $*: $answer $(cat /tmp/mappers.err)"
}

ask() {
	echo "$1" >&6
	read -r -t "$(patient 60)" answer <&7
	echo "$answer"
}

end_mappers() {
	exec 6>&- 7<&-
	wait "$mappers_pid"
}

# partitions MIB...: a GPT on $disk, and ${disk}p1 and so on.
partitions() {
	{
		echo "label: gpt"
		printf 'size=%sMiB\n' "$@"
	} | sfdisk -q --wipe always --wipe-partitions always "$disk" >/tmp/sfdisk.out 2>&1 || bail "sfdisk: $(tail -n 1 /tmp/sfdisk.out)"
	wait_for 10 test -b "${disk}p$#" || bail "there is no ${disk}p$#"
}

# dax_state: the debugfs file of $dev's dax device; nothing when there is none.
dax_state() {
	grep -lx "disk: $dev" /sys/kernel/debug/dax/* 2>/dev/null | head -n 1
}

# whole_life: a file system on $disk with poison and repair.  Nobody but the driver is
# there to record poison, so C does not, whoever reported it.
whole_life() {
	local how f
	xfs
	for how in madv hw; do
		f=$mnt/$how
		poison fill "$f" 0 64 11
		equal "$how: a file holds data" same "$(poison verify "$f" 0 64 11)"
		inject $how "$f" 20 >/dev/null
		defect equal "$how: poison is on record" 8 "$(bad_sectors | cut -d, -f1 | cut -d' ' -f2)"
		defect equal "$how: and is not read" EIO "$(poison pread "$f" $((20 * 4096)) 4096)"
		hw_defect equal "$how: a pwrite repairs" 4096 "$(poison pwrite "$f" $((20 * 4096)) 4096 v)"
		equal "$how: nothing is on record" - "$(bad_sectors)"
		equal "$how: the neighbours are good" same "$(poison verify "$f" 0 20 11)"
	done
	umount "$mnt"
	mount -t xfs -o dax=always "$disk" "$mnt" || bail "mount again"
	equal "all is there after a remount" same "$(poison verify "$mnt/madv" 21 43 11)"
	umount "$mnt"
	echo "800000 1" >"$bb"
	equal "a bad sector of the disk is EIO" EIO "$(poison pread "$disk" $((800000 * 512)) 512 direct)"
	check "fsync of the disk" dd if=/dev/urandom of="$disk" bs=4096 count=64 conv=fsync,notrunc status=none
	check "FUA writes" dd if=/dev/zero of="$disk" bs=4096 count=64 oflag=direct,dsync conv=notrunc status=none
}
