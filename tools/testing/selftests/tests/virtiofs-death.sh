# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The server dies in the middle of a fault.  virtio-fs can be aborted neither through fusectl nor
# by umount -f: what ends a connection is the server's own request timeout.  All tasks end then, with
# the close() of what they have open: on C it sends FLUSH to the dead server, and waits for ever.
#
# expect: rust pass, c fail, fixed pass
# sleeps: yes
# regions: 0
# alone: yes
# boot: --virtiofs @SCRATCH@,window=16,cache=always,request-timeout=5 --share @SCRATCH@
# timeout: 300

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../virtiofs.sh"
plan 15

MIB=1048576
noise "$there/file" $((16 * MIB))
virtiofs_mount
holder "$here/file"
equal "before: stored" ok "$(ask put 4096 BEFORE)"
equal "a fault is ordered" ok "$(virtiofs fault die-setupmapping=1)"
tasks=()
for i in 1 2 3; do
	window touch "$here/file" $((i * 4 * MIB)) >"/tmp/touch$i" 2>&1 &
	tasks[i]=$!
done
window read "$here/file" $((6 * MIB)) 4096 >/tmp/read 2>&1 &
tasks[0]=$!
# The daemon has read the request, and is gone.  A question to it would wait for ever.
for port in /sys/class/virtio-ports/*; do
	[ "$(<"$port/name")" != rdax.virtiofs ] || state=/sys/kernel/debug/virtio-ports/${port##*/}
done
check "the server is gone" wait_for 60 grep -qx 'host_connected: 0' "$state"
equal "what was mapped before is still there" BEFORE "$(ask get 4096 6)"
# The guest looks every 15 seconds.
for i in 1 2 3; do
	check "fault $i ends" wait_for 60 test -s "/tmp/touch$i"
	# A task that came too late could not even open the file.
	matches "fault $i: by an error" "@(SIGBUS|E*)" "$(tail -n 1 "/tmp/touch$i")"
done
check "a read ends" wait_for 60 test -s /tmp/read
matches "a read: by an error" "E*" "$(cat /tmp/read)"
equal "and so does the next" ENOTCONN "$(bounded 30 window read "$here/file" 0 4096)"
check "the kernel lives" dd if=/dev/zero of=/tmp/x bs=1M count=8 status=none
# Called by check.
# shellcheck disable=SC2317
all_ended() {
	local pid
	for pid in "${tasks[@]}"; do ended "$pid" || return 1; done
}
defect check "all tasks end, and their close() before" wait_for 30 all_ended
# umount waits for the requests that the dead device has.  The mount stays.
release() { :; }
finish
