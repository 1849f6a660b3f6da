# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What can be seen of the dax core: trace events, and the state of each device.
#
# expect: rust pass
# timeout: 150

. "$(dirname "$0")/../lib.sh"
plan 32

tracing=/sys/kernel/tracing
namespace
modprobe -a hwpoison-inject dax_holder_test || bail "modprobe -a hwpoison-inject dax_holder_test"
for event in dax_alloc dax_register dax_notify dax_unregister dax_kill; do
	check "there is the event $event" test -e $tracing/events/dax/$event/enable
done

# said EVENT: its last line, without what every event has.
said() {
	sed -n "s/.*: $1: //p" $tracing/trace | tail -n 1
}

# line KEY: of the device's state.
line() {
	grep "^$1: " "$(dax_state)" | cut -d' ' -f2-
}

state=$(dax_state)
check "there is a state of $dev" test -f "$state"
equal "it is alive" alive "$(line state)"
matches "its flags" "*synchronous*" "$(line flags)"
equal "it has no holder" "" "$(line holder)"
echo >$tracing/trace
echo 1 >$tracing/events/dax/enable

# A life: bind, mount, failure, unmount, unbind.
unbind
check "the state went with the device" test -z "$(dax_state)"
matches "dax_kill was seen" "?*" "$(said dax_kill)"
bind
check "and came with the next" test -f "$(dax_state)"
matches "dax_alloc was seen" "?*" "$(said dax_alloc)"
xfs
matches "dax_register was seen" "*0x0-0x*" "$(said dax_register)"
matches "the holder is to be seen" "0x0-0x* xfs_dax_notify_failure calls 0 *" "$(line holder)"
equal "with no notification" 0 "$(line notified)"
poison fill "$mnt/file" 0 8 1
pfn=$(pfn_of "$mnt/file" 3)
offset=$(printf '0x%x' $((pfn * 4096 - $(data_start))))
corrupt "$pfn"
matches "dax_notify was seen with its range" "*$offset*" "$(said dax_notify)"
for word in flags holder result took; do
	matches "and with its $word" "*$word*" "$(said dax_notify)"
done
equal "one notification" 1 "$(line notified)"
equal "that did not fail" 0 "$(line failed)"
matches "the holder was called" "*calls 1 *" "$(line holder)"
# The bytes have a holder.
control=/sys/kernel/debug/dax_holder_test/control
refused=$(line refused)
echo "open trace$$ $disk" >$control || bail "open $disk"
check "another holder is refused" sh -c "! echo get trace$$ >$control 2>/dev/null"
equal "refusals are counted" $((refused + 1)) "$(line refused)"
echo "close trace$$" >$control
umount "$mnt"
matches "dax_unregister was seen" "?*" "$(said dax_unregister)"
equal "it has no holder any more" "" "$(line holder)"

# Two parts, two holders.
partitions 240 240
mkdir -p /mnt/p1
words=$(mkfs.xfs -q -f --unsupported "${disk}p2" 2>&1) || bail "mkfs.xfs: $(head -n 1 <<<"$words")"
mount -t xfs -o dax=always "${disk}p2" /mnt/p1 || bail "mount of a partition"
matches "a partition's range" "$(printf '0x%x-0x%x ' $((241 << 20)) $((481 << 20)))*" "$(line holder)"
umount /mnt/p1
echo 0 >$tracing/events/dax/enable
echo >$tracing/trace

# Reading while devices come and go.
: >/tmp/read
(while :; do
	cat /sys/kernel/debug/dax/* >/dev/null 2>&1
	echo >>/tmp/read
done) &
reader=$!
# has_read LINES: more often than that?  Called by wait_for.
# shellcheck disable=SC2317
has_read() {
	[ "$(wc -l </tmp/read)" -gt "$1" ]
}
wait_for 20 has_read 0 || bail "the state cannot be read"
for _ in {1..10}; do
	unbind
	bind
done
check "reading the state while devices come and go" wait_for 20 has_read "$(wc -l </tmp/read)"
kill $reader
check "the state is there" test -f "$(dax_state)"
equal "the kernel does not complain" "" "$(complaints)"
finish
