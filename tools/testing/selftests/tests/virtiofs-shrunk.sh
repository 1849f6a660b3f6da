# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The server says that a file is shorter than before, while a write to the file waits for a mapping.
# The write is short, and the kernel does not complain.
#
# expect: rust pass
# regions: 0
# alone: yes
# boot: --virtiofs @SCRATCH@,window=8,cache=always --share @SCRATCH@
# timeout: 500

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../virtiofs.sh"
plan 8

MIB=1048576
noise "$there/file" $((4 * MIB))
virtiofs_mount
stat "$here/file" >/dev/null
equal "an answer is to come late" ok "$(virtiofs fault "late-setupmapping=1:$until_reset")"
bounded 200 python3 -c '
import os, sys
file = os.open(sys.argv[1], os.O_RDWR)
print(os.pwrite(file, b"x" * (4 << 20), 0))
' "$here/file" >/tmp/write 2>&1 &
writer=$!
# Called by check.
# shellcheck disable=SC2317
asked() {
	[ "$(virtiofs count SETUPMAPPING)" -ge 1 ]
}
check "the write asks for a mapping" wait_for 20 asked
truncate -s $((2 * MIB)) "$there/file"
equal "the file is shorter" $((2 * MIB)) "$(bounded 20 stat --cached=never -c %s "$here/file")"
check "the write waits meanwhile" kill -0 $writer
virtiofs reset >/dev/null
check "the write ends" wait_for 120 ended $writer
equal "up to where the file ends" $((2 * MIB)) "$(cat /tmp/write)"
equal "the kernel does not complain" "" "$(complaints)"
equal "the bytes are there" "$(head -c $((2 * MIB)) /dev/zero | tr '\0' x | sha256sum | cut -d' ' -f1)" "$(sum "$there/file")"
finish
