# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The guest gives up a read that the device has, and the connection with it.  The device writes to the
# pages of the reader when it comes to that: they must not be another's by then.
#
# expect: rust pass, fixed pass
# cpus: 2
# sleeps: yes
# debug: always
# regions: 0
# alone: yes
# timeout: 600
# boot: --virtiofs @SCRATCH@,window=4,request-timeout=2 --share @SCRATCH@

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../virtiofs.sh"
plan 6

MIB=1048576
noise "$there/file" $((4 * MIB))
virtiofs_mount never
stat "$here/file" >/dev/null
equal "a late reply is ordered" ok "$(virtiofs fault "late-read=*:$until_reset")"
for i in 0 1 2 3; do
	dd if="$here/file" of=/dev/null bs=$MIB skip=$i count=1 iflag=direct status=none 2>"/tmp/read$i" &
	readers[i]=$!
done
# Called by check.
# shellcheck disable=SC2317
all_ended() {
	local pid
	for pid in "${readers[@]}"; do ended "$pid" || return 1; done
}
# The guest looks every 15 seconds.
check "the reads are given up" wait_for 45 all_ended
matches "by an error" "*rror*" "$(cat /tmp/read0)"
# All that was theirs is free.  Take it, and look at it when the device is done with it.
cat >/tmp/look.py <<'EOF'
import mmap, sys, time
size = 256 << 20
memory = mmap.mmap(-1, size)
for at in range(0, size, 4096):
    memory[at] = 0
print("taken", flush=True)
sys.stdin.read()
chunk = 1 << 20
print(sum(memory[at:at + chunk].count(0) != chunk for at in range(0, size, chunk)))
EOF
coproc LOOKER { exec python3 /tmp/look.py; }
read -r -t "$(patient 240)" words <&"${LOOKER[0]}"
equal "the memory is taken before a reply comes" "taken, 0 came" "$words, $(virtiofs count late) came"
virtiofs reset >/dev/null
# Called by check.
# shellcheck disable=SC2317
all_came() {
	[ "$(virtiofs count late)" -ge 4 ]
}
check "the replies come" wait_for 20 all_came
looker_in=${LOOKER[1]} looker_out=${LOOKER[0]}
exec {looker_in}>&-
words=''
read -r -t "$(patient 120)" words <&"$looker_out"
equal "nothing was written to it" 0 "$words"
finish
