# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The server takes its time to answer a truncation.  Faults in that file wait for it, as many as the
# window has ranges.  Accesses of another file, which need one of these ranges, do not wait.
#
# expect: rust pass
# regions: 0
# alone: yes
# boot: --virtiofs @SCRATCH@,window=4,cache=always --share @SCRATCH@
# timeout: 400

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../virtiofs.sh"
plan 14

MIB=1048576
noise "$there/cut" $((4 * MIB))
noise "$there/other" $((4 * MIB))
virtiofs_mount
stat "$here/other" >/dev/null
equal "the first range is mapped" loaded "$(bounded 30 window touch "$here/cut" 0)"
equal "the second range is mapped" loaded "$(bounded 30 window touch "$here/cut" $((2 * MIB)))"

equal "an answer is to come late" ok "$(virtiofs fault "late-setattr=1:$until_reset")"
truncate -s $((8 * MIB)) "$here/cut" &
truncation=$!
# Called by check.
# shellcheck disable=SC2317
asked() {
	[ "$(virtiofs count SETATTR)" -ge 1 ]
}
check "the server is asked to truncate the file" wait_for 20 asked

window touch "$here/cut" 0 >/tmp/first 2>&1 &
first=$!
window store "$here/cut" $((2 * MIB)) >/tmp/second 2>&1 &
second=$!
check "a load in the first range waits" wait_for 10 blocked_in fuse_dax $first
check "a store in the second range waits" wait_for 10 blocked_in fuse_dax $second
equal "another file is read" 65536 "$(bounded 40 window read "$here/other" 0 65536 "$there/other")"
equal "and mapped" loaded "$(bounded 40 window touch "$here/other" $((2 * MIB)))"
kill -KILL $first
check "kill -9 ends a fault that waits" wait_for 30 ended $first
check "the truncation was not answered meanwhile" kill -0 $truncation
virtiofs reset >/dev/null
check "the truncation comes to its end" wait_for 150 ended $truncation
check "and so does the store" wait_for 30 ended $second
equal "the store has its page" stored "$(cat /tmp/second)"
check "it is unmounted" bounded 30 umount "$mnt"
finish
