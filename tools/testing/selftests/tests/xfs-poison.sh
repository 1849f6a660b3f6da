# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A failure in each kind of place that XFS has.  For data, the tasks that map it are notified.
# Metadata shuts the file system down.  Space without data does neither.  The core is notified of
# byte ranges (dax_holder_test), so that nothing stays poisoned.
#
# expect: rust pass, c fail
# regions: 2
# timeout: 500

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../xfs.sh"
plan 52

modprobe -a dax_holder_test hwpoison-inject || bail "modprobe"
namespace
holder_open "$disk"

# places: a new file system with one of everything: a file of ours, a clone, one with
# an attribute that has a block of its own, and one in so many pieces that there is a tree.
places() {
	release
	mkfs_xfs
	poison fill "$mnt/file" 0 64 1
	cp --reflink=always "$mnt/file" "$mnt/clone"
	poison fill "$mnt/next" 0 8 2
	python3 - "$mnt" <<-'END'
		import os, sys
		path = sys.argv[1]
		open(path + "/attr", "w").close()
		os.setxattr(path + "/attr", "user.large", b"x" * 12000)
		fd = os.open(path + "/pieces", os.O_CREAT | os.O_RDWR)
		for i in range(200):
		    os.pwrite(fd, b"p" * 4096, i * 8192)
		os.fsync(fd)
	END
	sync
	map=$(fsmap)
}

# again: the file system is mounted again; what failed was not really lost.
again() {
	release
	mount -t xfs -o "dax=always${mount_options:+,$mount_options}" "$disk" "$mnt" || bail "mount again"
}

# lost NAME PLACE...: a failure there shuts the file system down, as corrupt.
lost() {
	local name=$1 at
	shift
	at=$(place "$@") || bail "there is no $*"
	equal "$name: is corruption" EUCLEAN "$(notify "$at" 4096)"
	check "$name: and shuts it down" is_shut_down
	again
}

places

lost "the header of a group" "static fs metadata" 2
lost "the free space trees" "per-AG metadata" 1
lost "the inode tree" "inode btree" 1
lost "an inode chunk" "inodes"
lost "the log" "journalling log"
lost "a block of an extent tree" "inode [0-9]+ data extent map"
lost "an attribute's block" "inode [0-9]+ attr .*"

# The AGF by itself, in the middle of a page where sectors are small.
equal "16 bytes of a group's header: are corruption" EUCLEAN "$(notify $((agsize + 4096)) 16)"
again

# nobody NAME WANTED AT LEN: the file system does not mind.
nobody() {
	equal "$1" "$2" "$(notify "$3" "$4")"
	check "$1: it is not shut down" works
}

nobody "free space" 0 "$(place "free space" 1)" 4096
nobody "a byte of free space" 0 $(($(place "free space" 1) + 77)) 1
# Data, told by the byte.
watch file "$mnt/file" 5
watch clone "$mnt/clone" 5
watch next "$mnt/next" 5
at=$(place_of "$mnt/file" 5)
equal "100 bytes of a page of a file" 0 "$(notify $((at + 1000)) 100)"
stop_watching
equal "the task that maps the file is notified" "told SIGBUS offset=0x5000" "$(told file)"
equal "and the clone" "told SIGBUS offset=0x5000" "$(told clone)"
equal "and nobody else" "not told" "$(told next)"
check "it is not shut down" works

# Two bytes, in two pages.
watch before "$mnt/file" 8
watch after "$mnt/file" 9
watch far "$mnt/file" 10
equal "the last byte of a page and the first of the next" 0 "$(notify $(($(place_of "$mnt/file" 9) - 1)) 2)"
stop_watching
defect equal "the task that maps the one is notified" "told SIGBUS offset=0x8000" "$(told before)"
equal "and the task that maps the other" "told SIGBUS offset=0x9000" "$(told after)"
equal "but not of a third" "not told" "$(told far)"

# A file system that was shut down still notifies the tasks that map its files.  It finds them by
# the inodes in memory, because its reverse map cannot be read any more.
watch file "$mnt/file" 20
watch clone "$mnt/clone" 21
watch next "$mnt/next" 1
at=$(place_of "$mnt/file" 20)
xfs_io -x -c shutdown "$mnt"
notify "$at" 8192 >/tmp/notify
stop_watching
defect equal "shut down: the task that maps the file is notified" "told SIGBUS offset=0x14000" "$(told file)"
defect equal "shut down: and the clone" "told SIGBUS offset=0x15000" "$(told clone)"
equal "shut down: and nobody else" "not told" "$(told next)"
again

# What is set aside for copies on write has nobody's data.
equal "a page of the clone is copied" 4096 "$(poison pwrite "$mnt/clone" 40960 4096 c)"
sync
map=$(fsmap)
at=$(place "cow reservation") || bail "no blocks are set aside for copies on write: $(grep -v inode <<<"$map" | tail -n 5 | tr '\n' ' ')"
defect nobody "blocks set aside for copies on write" 0 "$at" 4096

# A file that nobody uses any more, but whose inode is not freed yet.
! is_shut_down || again
at=$(place_of "$mnt/next" 3)
evict
defect equal "a file that is not in use" 0 "$(notify "$at" 4096)"
defect check "a file that is not in use: it is not shut down" works

# A file system that is smaller than the disk.
release
mkfs_options="-d size=320m"
places
end=$((320 << 20))
nobody "behind the end" ENXIO $end 4096
nobody "far behind the end" ENXIO $((end + (100 << 20))) 4096
nobody "from the last block to behind the end" 0 $((end - 4096)) 8192
release

# A log on a device of its own.
data=$disk
region=
namespace
log=$disk disk=$data
mkfs_options="-l logdev=$log,size=64m"
mount_options=logdev=$log
places
holder_open "$log"
nobody "the log's device, behind the log" ENXIO $((64 << 20)) 4096
equal "the log's device: is corruption" EUCLEAN "$(notify 4096 8)"
check "the log's device: it is shut down" is_shut_down
release

# The log in a partition of the same device.
disk=$log
partitions 100 350
disk=${log}p2
mkfs_options="-m reflink=0 -l logdev=${log}p1,size=64m"
mount_options=logdev=${log}p1
release
mkfs_xfs
poison fill "$mnt/file" 0 64 1
sync
holder_open "$log"
log_at=$(($(cat "/sys/class/block/$(basename "$log")p1/start") * 512))
data_at=$(($(cat "/sys/class/block/$(basename "$log")p2/start") * 512))
nobody "two partitions: behind the log" ENXIO $((log_at + (64 << 20))) 4096
at=$(place_of "$mnt/file" 5)
watch file "$mnt/file" 5
equal "two partitions: a page of a file" 0 "$(notify $((data_at + at)) 4096)"
stop_watching
equal "two partitions: the task that maps it is notified" "told SIGBUS offset=0x5000" "$(told file)"
defect equal "two partitions: the log is corruption" EUCLEAN "$(notify $log_at 4096)"
defect check "two partitions: it is shut down" is_shut_down
finish
