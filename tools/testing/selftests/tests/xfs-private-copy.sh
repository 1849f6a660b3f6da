# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A process has written to a private mapping of a file, and has a copy of that page in
# ordinary memory.  The copy is not the device's: it is there after the disk has gone under
# XFS, for a file with DAX and for one without.
#
# expect: rust pass
# timeout: 200

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../xfs.sh"
plan 8

namespace
mkfs_options="-d agcount=1 --unsupported"
mkfs_xfs
umount "$mnt"
mount -t xfs -o dax=inode "$disk" "$mnt" || bail "mount -o dax=inode"
mkdir "$mnt/dax" "$mnt/cached"
xfs_io -c "chattr +x" "$mnt/dax" || bail "chattr +x"
for kind in dax cached; do
	poison fill "$mnt/$kind/file" 0 16 3
done
sync
equal "a file has DAX" dax "$(mapped dax "$mnt/dax/file")"
equal "another has none" "no dax" "$(mapped dax "$mnt/cached/file")"

# For each file: a copy of page 3, and page 5 is only read.
keep() {
	rm -f "/tmp/go-$1"
	fifo "/tmp/go-$1"
	python3 - "$mnt/$1/file" "/tmp/go-$1" >"/tmp/$1" <<-'END' &
		import mmap, signal, sys
		# The notice that the file is lost.  A load from it ends the process all the same.
		signal.signal(signal.SIGBUS, signal.SIG_IGN)
		with open(sys.argv[1], "r+b") as file:
		    mapping = mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
		mapping[3 * 4096:3 * 4096 + 4] = b"mine"
		mapping[5 * 4096]
		print("ready", flush=True)
		with open(sys.argv[2], "rb") as go:
		    go.read()
		print(mapping[3 * 4096:3 * 4096 + 4].decode(), flush=True)
		mapping[5 * 4096]
		print("the file", flush=True)
	END
	keeper[$1]=$!
	wait_for 30 grep -q ready "/tmp/$1" || bail "$1: no process maps the file"
}
declare -A keeper=()
keep dax
keep cached
unbind >/dev/null 2>&1 &
check "unbind ends" wait_for 60 ended $!
for kind in dax cached; do
	# Opening it waits for a reader.
	ended "${keeper[$kind]}" || timeout "$(patient 20)" sh -c ": >/tmp/go-$kind"
	wait_for 20 ended "${keeper[$kind]}"
	wait "${keeper[$kind]}"
	status=$?
	equal "$kind: the copy is there" mine "$(sed -n 2p /tmp/$kind)"
	[ $kind != dax ] || equal "$kind: a page of the file is not" "$((128 + 7)) ready mine" "$status $(paste -sd' ' /tmp/$kind)"
done
check "umount" timeout "$(patient 60)" umount "$mnt"
bind
mount -t xfs "$disk" "$mnt" || bail "mount again"
equal "the file has what was written to it" same "$(poison verify "$mnt/dax/file" 0 16 3)"
finish
