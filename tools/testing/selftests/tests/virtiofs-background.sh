# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A miss does not wait for the readahead of others: the server allows 12 background requests, and does not
# answer those.
#
# expect: rust pass, c pass
# regions: 0
# alone: yes
# timeout: 500
# boot: --virtiofs @SCRATCH@,window=4,cache=always,dax-min=1048576,max-background=12 --share @SCRATCH@

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../virtiofs.sh"
plan 8

MIB=1048576
noise "$there/dax" $((16 * MIB))
for i in {1..30}; do noise "$there/$i" 1000000; done
virtiofs_mount inode
stat "$here/"* >/dev/null
equal "the large file is DAX" dax "$(mapped dax "$here/dax")"
equal "the others are not" "no dax" "$(mapped dax "$here/1")"
equal "replies are ordered to be late" ok "$(virtiofs fault "late-read=*:$until_reset")"
for i in {1..30}; do
	cat "$here/$i" >/dev/null &
	readers[i]=$!
done
# Called by check.
# shellcheck disable=SC2317
many() {
	[ "$(virtiofs count READ)" -ge 12 ]
}
check "readers wait for the server" wait_for 30 many
sleep 2
equal "a load does not" loaded "$(bounded 30 window touch "$here/dax" $((4 * MIB)) | tail -n 1)"
equal "a read does not" 4096 "$(bounded 30 window read "$here/dax" $((8 * MIB)) 4096)"
equal "they came before the others' answers" 0 "$(virtiofs count late)"
virtiofs reset >/dev/null
for pid in "${readers[@]}"; do
	wait_for 200 ended "$pid" || echo "$pid"
done >/tmp/left
equal "the readers end" "" "$(cat /tmp/left)"
finish
