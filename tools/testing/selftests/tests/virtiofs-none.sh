# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A device without a window (Debian's virtiofsd): what is refused, and what works as ever.
#
# expect: rust pass, c pass
# regions: 0
# timeout: 300
# boot: --virtiofs @SCRATCH@,server=virtiofsd --share @SCRATCH@

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../virtiofs.sh"
plan 14

noise "$there/file" 5000000
equal "dax=always is refused" 32 "$(mount -t virtiofs -o dax=always dax "$mnt" 2>/dev/null; echo $?)"
check "and the log says why" sh -c "dmesg | grep -q 'dax can.t be enabled'"
for mode in never inode; do
	check "dax=$mode is not" mount -t virtiofs -o dax=$mode dax "$mnt"
	equal "dax=$mode: the data, by read()" "$(sum "$there/file")" "$(sum_by read "$here/file")"
	equal "dax=$mode: the data, through a mapping" "$(sum "$there/file")" "$(sum_by mmap "$here/file")"
	equal "dax=$mode: no DAX" "no dax" "$(mapped dax "$here/file")"
	check "dax=$mode: it is written" dd if=/dev/zero of="$here/file" bs=1M count=1 conv=notrunc,fsync status=none
	equal "dax=$mode: as the host has it" "$(sum "$there/file")" "$(sum_by read "$here/file")"
	umount "$mnt"
done
finish
