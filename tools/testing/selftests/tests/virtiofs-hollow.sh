# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A server says that it wrote data, and did not: the reader gets zeroes, and not what was in that memory
# before.  Only reads past the window have the kernel's memory between; C sends none.
#
# expect: rust pass
# regions: 0
# alone: yes
# timeout: 300
# boot: --virtiofs @SCRATCH@,window=4,align=262144,cache=always --share @SCRATCH@

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../virtiofs.sh"
plan 5

RANGES=16 LEN=16384
for i in {1..60}; do
	noise "$there/$i" $LEN
done
virtiofs_mount

# The window is full of the first files.
for ((i = 1; i <= RANGES; i++)); do
	window cat mmap "$here/$i" | cat >/dev/null
done
zeroes=$(head -c $LEN /dev/zero | sha256sum)
virtiofs zero >/dev/null
# Memory that holds the data of others is freed.
for i in {20..39}; do window cat read "$here/$i" >/dev/null; done
check "reads go past the window" test "$(virtiofs count READ)" -ge 20
equal "a fault is ordered" ok "$(virtiofs fault hollow-read=*)"
for i in {40..59}; do
	data=$(bounded 60 window cat read "$here/$i" | sha256sum)
	[ "$data" = "$zeroes" ] || echo "$i"
done >/tmp/others
equal "what was not written is zero" "" "$(cat /tmp/others)"
virtiofs reset >/dev/null
equal "a read that is answered" "" "$(differs read 19 && echo 19)"
check "it is unmounted" bounded 60 umount "$mnt"
finish
