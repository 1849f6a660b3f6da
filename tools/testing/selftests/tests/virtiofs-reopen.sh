# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A file is opened while a task has it mapped, and the server did not say that what is cached
# may be kept (as virtiofsd does not, unless told so): the kernel's C drops the entries of pages
# that are mapped, and says so in the log.
#
# expect: rust pass, c fail, fixed pass
# regions: 0
# alone: yes
# splat: c
# timeout: 300
# boot: --virtiofs @SCRATCH@,window=32,cache=auto --share @SCRATCH@

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../virtiofs.sh"
plan 6

MIB=1048576
noise "$there/file" $((8 * MIB))
# A byte of the noise may be a newline, which ends an answer before its end.
for at in 4096 $((2 * MIB + 4096)); do
	printf LOADED | dd of="$there/file" bs=4096 seek=$((at / 4096)) conv=notrunc status=none
done
virtiofs_mount
holder "$here/file"
for at in 4096 $((2 * MIB + 4096)); do
	[ "$(ask get $at 6)" = LOADED ] || bail "the page at $at is not mapped"
done
for _ in {1..5}; do
	cat "$here/file" >/dev/null
done
defect equal "no warning" 0 "$(dmesg | grep -c 'WARNING: ')"
equal "the mapping holds" ok "$(ask put 4096 HELD)"
equal "and the file has what was stored" HELD "$(tail -c +4097 "$here/file" | head -c 4)"
equal "as the host has it" HELD "$(tail -c +4097 "$there/file" | head -c 4)"
equal "all of it is right" "$(sum "$there/file")" "$(bounded 60 window cat mmap "$here/file" | sha256sum | cut -d' ' -f1)"
holder_ends
defect equal "and no warning at all" 0 "$(dmesg | grep -c 'WARNING: ')"
umount "$mnt"
finish
