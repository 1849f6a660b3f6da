# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A page of a file is read for the first time while its device is being removed: after
# others were told, and before it is gone.  Freezing keeps out writers only: in C the read
# maps memory that is freed a moment later, and the kernel crashes when it is unmapped.
# One allocation group, with which C gets so far.
#
# expect: rust pass, c crash:zap_vma_range
# timeout: 200

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../xfs.sh"
plan 6

namespace
mkfs_options="-d agcount=1 --unsupported"
mkfs_xfs
poison fill "$mnt/file" 0 64 3
sync
sum=$(sha256sum <"$mnt/file")
fifo /tmp/go
python3 - "$mnt/file" >/tmp/reader <<-'END' &
	import mmap, sys
	with open(sys.argv[1], "rb") as file:
	    mapping = mmap.mmap(file.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ)
	print("ready", flush=True)
	for word in ("early", "late"):
	    with open("/tmp/go", "rb") as go:
	        go.read()
	    mapping[40960]
	    print(word, flush=True)
END
reader=$!
wait_for 30 grep -q ready /tmp/reader || bail "nobody maps the file"

hold_in xfs_do_force_shutdown
unbind >/dev/null 2>&1 &
remover=$!
wait_for 60 held || bail "unbind does not shut the file system down"
timeout "$(patient 20)" sh -c ': >/tmp/go'
check "a page is read while the device is removed" wait_for 20 grep -q early /tmp/reader
let_go
check "unbind ends" wait_for 60 ended $remover
check "the disk is gone" test ! -e "/sys/block/$dev"
ended $reader || timeout "$(patient 20)" sh -c ': >/tmp/go'
wait_for 20 ended $reader
wait $reader
equal "it cannot be read any more when the device is gone" "$((128 + 7)) ready early" "$? $(paste -sd' ' /tmp/reader)"
rmmod dax_delay
check "umount" timeout "$(patient 60)" umount "$mnt"
bind
mount -t xfs -o dax=always "$disk" "$mnt" || bail "mount again"
equal "the file is as it was" "$sum" "$(sha256sum <"$mnt/file")"
finish
