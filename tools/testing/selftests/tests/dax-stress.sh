# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Failures are reported without a pause on one CPU, and on the other two partitions are
# mounted, written, unmounted, partitioned, unbound and bound (src/stress.c).
#
#   RDAX_ROUNDS=10000 run-all --kernel debug --append kmemleak=off dax-stress
#
# Half of the time goes to kmemleak otherwise, which the 40 rounds of check-debug are enough for.
# It says nothing of C, where anything may happen.  To see what does:
#
#   RDAX_ROUNDS=10000 run-all --any --kernel debug-c dax-stress
#
# expect: rust pass
# cpus: 2
# debug: always
# rounds: 40
# timeout: 300

. "$(dirname "$0")/../lib.sh"
plan 10

rounds=$(asked_for rounds)
rounds=$(((${rounds:-40} + 1) / 2))
fresh=$(fresh_seed)
echo "# seed $fresh; again: --append rdax.seed=$fresh"
namespace
partitions 240 240
# C mounts no partition with reflink and DAX, and then the test would say nothing of it.
options=()
[ "$kernel" = rust ] || options=(-m reflink=0)
for p in 1 2; do
	words=$(mkfs.xfs -q -f --unsupported "${options[@]}" "${disk}p$p" 2>&1) || bail "mkfs.xfs: $(head -n 1 <<<"$words")"
	mount -t xfs -o dax=always "${disk}p$p" "$mnt" || bail "mount of partition $p"
	poison fill "$mnt/victim" 0 16 1
	for page in {0..15}; do
		poison phys "$mnt/victim" "$page"
	done >>/tmp/addresses
	umount "$mnt"
done

# Each failure is three lines, each mount two: too much for a serial console.  All that
# is said of anything else goes there.
dmesg -n 1
(while :; do
	sed -un '/Memory failure: \|Injecting memory failure\|;XFS (\|;nd_pmem \|; pmem0: /d; s/^[0-9]*,[0-9]*,\([0-9]*\),[^;]*;/[\1] /p' /dev/kmsg
	sleep 1
done) >/dev/ttyS0 2>/dev/null &
forwarder=$!
# One half of the rounds as ever, the other as never before.
for seed in 1 "$fresh"; do
	stress "$rounds" "$disk" "$holder" /tmp/addresses "$seed" >/tmp/stress &
	stress=$!
	tail -n +1 -f --pid=$stress /tmp/stress
	wait $stress
	equal "seed $seed: $rounds rounds, and in the end all is good" 0 $?
	matches "seed $seed: it was mostly mounted" "*2 of 2 file systems good, mostly mounted" "$(tail -n 1 /tmp/stress)"
	check "seed $seed: failures were reported" grep -qE '[1-9][0-9]* failures reported' /tmp/stress
done
# For the forwarder to read to the end; no check is about that.
sleep 1
# With its child.
kill -STOP $forwarder
pkill -KILL -P $forwarder
kill -KILL $forwarder
dmesg -n "${RDAX_LOGLEVEL:-6}"
equal "nothing is bad in the end" - "$(bad_sectors)"
if [ "$ours" = 1 ]; then
	state=$(dax_state)
	check "the device is there, and has a state" test -n "$state"
	equal "nobody is left as a holder" "" "$(grep '^holder: ' "$state")"
else
	skip "the device is there, and has a state" "C shows no holders"
	skip "nobody is left as a holder" "C shows no holders"
fi
equal "nothing was said of bugs" "" "$(complaints)"
finish
