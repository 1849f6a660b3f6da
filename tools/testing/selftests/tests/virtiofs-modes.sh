# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# dax=always, never, inode: which files have DAX, and how each is read.  Programs
# run from a window that holds them all: an emulator does not see that code was replaced by
# mapping something else there.
#
# expect: rust pass, c pass
# regions: 0
# timeout: 300
# boot: --virtiofs @SCRATCH@,window=32,cache=always,dax-min=65536 --share @SCRATCH@

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../virtiofs.sh"
plan 62

noise "$there/small" 65535
noise "$there/large" 65536

# reads MODE FILE COUNTER: `mode` has N reads of that kind for the file, N more than none or none.
reads() {
	virtiofs zero >/dev/null
	equal "dax=$1: $2: its data" "$(sum "$there/$2")" "$(sum_by read "$here/$2")"
	equal "dax=$1: $2: its data, through a mapping" "$(sum "$there/$2")" "$(sum_by mmap "$here/$2")"
	if [ "$3" = SETUPMAPPING ]; then
		equal "dax=$1: $2 is DAX" dax "$(mapped dax "$here/$2")"
		equal "dax=$1: $2: no FUSE READ" 0 "$(virtiofs count READ)"
	else
		equal "dax=$1: $2 is not DAX" "no dax" "$(mapped dax "$here/$2")"
		equal "dax=$1: $2: no mapping" 0 "$(virtiofs count SETUPMAPPING)"
	fi
	check "dax=$1: $2: some $3" test "$(virtiofs count "$3")" -gt 0
}

virtiofs_mount always
reads always small SETUPMAPPING
reads always large SETUPMAPPING
again never
matches "dax=never is told" "*dax=never*" "$(grep " $mnt " /proc/mounts)"
reads never small READ
reads never large READ
again inode
matches "dax=inode is told" "*dax=inode*" "$(grep " $mnt " /proc/mounts)"
reads inode small READ
reads inode large SETUPMAPPING
# A file that grew asks for DAX when it is looked up anew.
noise "$there/small" 100000
check "dax=inode: a file that grew is DAX when it is looked up again" wait_for 20 is dax mapped dax "$here/small"
equal "dax=inode: and has its data" "$(sum "$there/small")" "$(sum_by mmap "$here/small")"
# The default is inode, and nobody is told.
umount "$mnt"
check "no mode" mount -t virtiofs dax "$mnt"
reads default large SETUPMAPPING
equal "no mode: none is told" 0 "$(grep " $mnt " /proc/mounts | grep -c dax=)"

# -- one file system at two places
check "the same again elsewhere" mount -t virtiofs dax /mnt/vfs2
holder "$here/large"
equal "two places: stored in one" ok "$(ask put 4096 TWICE)"
equal "two places: loaded in the other" TWICE "$(window cat mmap "/mnt/vfs2/$name/large" | tail -c +4097 | head -c 5)"
holder_ends
umount /mnt/vfs2
umount "$mnt"

equal "a mode that there is not is refused" 32 "$(mount -t virtiofs -o dax=sometimes dax "$mnt" 2>/dev/null; echo $?)"

# -- programs
virtiofs_mount always
cp "$(command -v jq)" "$(command -v busybox)" "$there/"
ldd "$(command -v jq)" | grep -o '/[^ ]*' | while read -r lib; do cp -L "$lib" "$there/"; done
chmod +x "$there"/*
equal "a program runs from it" hello "$("$here/busybox" echo hello)"
equal "and one with libraries" 3 "$(LD_LIBRARY_PATH=$here "$here/jq" -n '1+2')"
equal "by mappings alone" 0 "$(virtiofs count READ)"
"$here/busybox" sleep 100 &
program=$!
check "a program runs on" wait_for 20 runs "$here/busybox" $program
matches "and cannot be written" "*Text file busy" "$(printf x | dd of="$here/busybox" conv=notrunc status=none 2>&1)"
kill $program
wait $program
umount "$mnt"

# -- modules
for round in 1 2 3; do
	check "the modules go ($round)" modprobe -r virtiofs fuse
	check "and are gone ($round)" test ! -e /sys/module/fuse
	virtiofs_mount
	equal "a mount brings them back ($round)" "$(sum "$there/large")" "$(sum_by mmap "$here/large")"
	equal "with DAX ($round)" dax "$(mapped dax "$here/large")"
	umount "$mnt"
done
finish
