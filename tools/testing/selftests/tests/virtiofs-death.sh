# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The server dies in the middle of a fault.  (virtio-fs can be aborted neither through fusectl nor
# by umount -f: what ends a connection is the server's own request timeout.  Then close() of
# what is open waits for ever, since virtio_fs.c queues FLUSH for the dead server all the same: so
# the tasks are asked what they saw, not whether they are gone.)
#
# expect: rust pass, c pass
# sleeps: yes
# regions: 0
# alone: yes
# boot: --virtiofs @SCRATCH@,window=16,cache=always,request-timeout=5 --share @SCRATCH@
# timeout: 300

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../virtiofs.sh"
plan 14

MIB=1048576
noise "$there/file" $((16 * MIB))
virtiofs_mount
holder "$here/file"
equal "before: stored" ok "$(ask put 4096 BEFORE)"
equal "a fault is ordered" ok "$(virtiofs fault die-setupmapping=1)"
for i in 1 2 3; do
	window touch "$here/file" $((i * 4 * MIB)) >"/tmp/touch$i" 2>&1 &
done
window read "$here/file" $((6 * MIB)) 4096 >/tmp/read 2>&1 &
# The daemon has read the request, and is gone.
# Called by check.
# shellcheck disable=SC2317
gone() {
	! timeout 5 virtiofs stats >/dev/null 2>&1
}
check "the server is gone" wait_for 60 gone
equal "what was mapped before is still there" BEFORE "$(ask get 4096 6)"
# The guest looks every 15 seconds.
for i in 1 2 3; do
	check "fault $i ends" wait_for 60 test -s "/tmp/touch$i"
	# Who came too late could not even open it.
	matches "fault $i: by an error" "@(SIGBUS|E*)" "$(tail -n 1 "/tmp/touch$i")"
done
check "a read ends" wait_for 60 test -s /tmp/read
matches "a read: by an error" "E*" "$(cat /tmp/read)"
equal "and so does the next" ENOTCONN "$(bounded 30 window read "$here/file" 0 4096)"
check "the kernel lives" dd if=/dev/zero of=/tmp/x bs=1M count=8 status=none
# The close() of a task that had the file open does not end on an aborted connection, in C's
# part of virtio-fs.  The mount stays.
release() { :; }
finish
