# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Two queues of requests, one for each processor.  What a task asks for goes by the queue of its
# processor.  Two tasks, on a processor each, load the same file at once.
#
# expect: rust pass
# cpus: 2
# regions: 0
# boot: --virtiofs @SCRATCH@,window=4,queues=2,cache=always --share @SCRATCH@
# timeout: 300

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../virtiofs.sh"
plan 12

MIB=1048576
for i in 0 1 both; do noise "$there/$i" $((8 * MIB)); done
virtiofs_mount
# load CPU NAME: of the file as a task there reads it through a mapping, the sum.
load() {
	bounded 100 taskset -c "$1" window cat mmap "$here/$2" | sha256sum | cut -d' ' -f1
}

used=()
for cpu in 0 1; do
	virtiofs zero >/dev/null
	equal "processor $cpu loads a file of two windows" "$(sum "$there/$cpu")" "$(load $cpu $cpu)"
	check "which takes mappings" test "$(virtiofs count SETUPMAPPING)" -ge 4
	counts=("$(virtiofs count queue1)" "$(virtiofs count queue2)")
	echo "# processor $cpu: ${counts[*]} requests by the two queues"
	# A worker on the other processor may have mappings removed.
	queue=$((counts[0] > counts[1] ? 0 : 1))
	used+=($((queue + 1)))
	check "its mappings were asked for by one queue" test "${counts[queue]}" -ge 4
	check "and little else by the other" test "${counts[1 - queue]}" -lt "${counts[queue]}"
done
check "each processor has a queue of its own (${used[*]})" test "${used[0]}" != "${used[1]}"

virtiofs zero >/dev/null
load 0 both >/tmp/first &
first=$!
load 1 both >/tmp/second
wait "$first"
sum=$(sum "$there/both")
equal "two tasks load the same file at once" "$sum $sum" "$(cat /tmp/first /tmp/second | paste -sd' ')"
for queue in 1 2; do
	check "queue $queue has requests of that" test "$(virtiofs count queue$queue)" -gt 0
done
umount "$mnt"
finish
