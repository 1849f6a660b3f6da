# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The disk goes under XFS while direct I/O collects the pages of its buffer, which is a mapping of
# a file: it has the first page, and the page fault for the second one wants the lock of the file.
# The removal must not wait for the first page with that lock.
#
# expect: rust pass
# regions: 2
# timeout: 200

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../xfs.sh"
plan 5

namespace
source=$disk
region=''
namespace
mkfs_options="-d agcount=1 --unsupported"
mkfs_xfs
poison fill "$mnt/file" 0 16 3
sync
fifo /tmp/go
python3 - "$mnt/file" "$source" >/tmp/reader 2>&1 <<-'END' &
	import errno, mmap, os, signal, sys
	# The notice that the file is lost.
	signal.signal(signal.SIGBUS, signal.SIG_IGN)
	with open(sys.argv[1], "r+b") as file:
	    mapping = mmap.mmap(file.fileno(), 65536)
	mapping[0] = mapping[0]
	source = os.open(sys.argv[2], os.O_RDONLY | os.O_DIRECT)
	print("ready", flush=True)
	with open("/tmp/go", "rb") as go:
	    go.read()
	with memoryview(mapping) as view:
	    try:
	        print(os.preadv(source, [view[:8192]], 0), flush=True)
	    except OSError as e:
	        print(errno.errorcode[e.errno], flush=True)
	os._exit(0)
END
reader=$!
wait_for 30 grep -q ready /tmp/reader || bail "no process maps the file"
hold_in xfs_filemap_fault
: >/tmp/go
wait_for 20 held || bail "no page fault for the second page"
unbind >/dev/null 2>&1 &
remover=$!
check "unbind goes through the files" wait_for 20 blocked_in xfs_dax_notify_failure $remover
let_go
began=$SECONDS
check "unbind ends" wait_for 60 ended $remover
check "soon ($((SECONDS - began)) s)" test $((SECONDS - began)) -lt "$(patient 15)"
wait_for 20 ended $reader
# A part of it may have been done.
matches "the I/O does not get both pages" "[E4]*" "$(tail -n 1 /tmp/reader)"
rmmod dax_delay
check "umount" timeout "$(patient 60)" umount "$mnt"
finish
