# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The guest has given up a request, and the connection with it, when the reply comes after all.
# The kernel's C has freed the request by then.
#
# expect: rust pass, fixed pass
# cpus: 2
# sleeps: yes
# debug: always
# regions: 0
# alone: yes
# boot: --virtiofs @SCRATCH@,window=4,cache=always,request-timeout=2 --share @SCRATCH@
# timeout: 300

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../virtiofs.sh"
plan 11

MIB=1048576
noise "$there/file" $((16 * MIB))
virtiofs_mount
stat "$here/file" >/dev/null
equal "a delay is ordered" ok "$(virtiofs fault "delay-setupmapping=1:$until_reset")"
window touch "$here/file" 0 >/tmp/fault 2>&1 &
toucher=$!
# The daemon has one thread: while it delays the read's request, the other could not open the file.
# Called by check.
# shellcheck disable=SC2317
asked() {
	[ "$(virtiofs count SETUPMAPPING)" -ge 1 ]
}
check "the fault asks for a mapping" wait_for 30 asked
window read "$here/file" $((4 * MIB)) 4096 >/tmp/read 2>&1 &
reader=$!
# The guest looks every 15 seconds.
check "a fault is given up" wait_for 44 test -s /tmp/fault
equal "a fault: by SIGBUS" SIGBUS "$(tail -n 1 /tmp/fault)"
check "and so is a read" wait_for 10 test -s /tmp/read
matches "a read: by an error" "E*" "$(cat /tmp/read)"
virtiofs reset >/dev/null
# The daemon answers now, and says so.
# Called by check.
# shellcheck disable=SC2317
came() {
	[ "$(virtiofs count shmem_map)" -ge 1 ]
}
check "the reply comes" wait_for 60 came
sleep 2
# Memory that was freed is used by others now.
for _ in {1..200}; do read -r _ </proc/self/status; done
equal "nobody was harmed" "" "$(complaints)"
# close() sends FLUSH, which has to fail at once.
check "the task of the fault ends" wait_for 30 ended $toucher
check "the task of the read ends" wait_for 30 ended $reader
check "the file system is unmounted" bounded 60 umount "$mnt"
finish
