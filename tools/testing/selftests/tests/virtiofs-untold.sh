# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A server that says nothing of the alignment of mappings is asked for 2 MiB each, as C does: it may
# know nothing smaller.
#
# expect: rust pass, c pass
# regions: 0
# timeout: 300
# boot: --virtiofs @SCRATCH@,window=16,align=none,cache=always --share @SCRATCH@

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../virtiofs.sh"
plan 5

MIB=1048576
for i in {1..6}; do
	noise "$there/$i" $((i * 3000))
done
noise "$there/large" $((48 * MIB))
virtiofs_mount
for i in {1..6}; do
	differs mmap "$i" && echo "$i"
done >/tmp/others
equal "the data of small files" "" "$(cat /tmp/others)"
equal "each is a mapping" 6 "$(virtiofs count shmem_map)"
equal "of 2 MiB" $((6 * 2 * MIB)) "$(virtiofs count mapped_bytes)"
virtiofs zero >/dev/null
# A page here and there, of a file of three windows.
for ((i = 0; i < 60; i++)); do
	window touch "$here/large" $(((i * 7 % 24) * 2 * MIB + i * 4096)) >/dev/null
done
maps=$(virtiofs count shmem_map)
equal "whatever is used of a large one" $((maps * 2 * MIB)) "$(virtiofs count mapped_bytes)"
check "it is unmounted" bounded 60 umount "$mnt"
finish
