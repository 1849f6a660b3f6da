# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A realtime device that has groups, each with a reverse map.  mkfs.xfs makes none, but the
# kernel does when the device is added to a file system that has groups and reverse maps.
# Tasks that map a file are notified of a failure in it, in the first group and in the last; the
# beginning of the first group is the file system's own.
#
# expect: rust pass, c pass
# regions: 2
# timeout: 200

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../xfs.sh"
plan 20

modprobe dax_holder_test || bail "modprobe dax_holder_test"
namespace
rt=$disk
region=
namespace
mkfs_options="-m metadir=1,rmapbt=1,reflink=0 -d agcount=1 -r rgsize=64m --unsupported"
mount_options=rtdev=$rt
mkfs_xfs
# XFS_IOC_FSGROWFSRT: all blocks of the device, extents of one.
python3 - "$mnt" $(($(blockdev --getsize64 "$rt") / 4096)) <<-'END' || bail "the realtime device cannot be added"
	import fcntl, os, struct, sys
	fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x40105870, struct.pack("=QII", int(sys.argv[2]), 1, 0))
END
groups=$(xfs_info "$mnt" | sed -n 's/.*rgcount=\([0-9]*\) .*/\1/p')
check "it has more than one realtime group ($groups)" [ "$groups" -gt 1 ]

mkdir "$mnt/rt"
xfs_io -c "chattr +t" "$mnt/rt"
# It is longer than a group.
poison fill "$mnt/rt/file" 0 20000 1
poison fill "$mnt/rt/other" 0 64 3
poison fill "$mnt/file" 0 64 2
sync
matches "the file is on the realtime device" "r*" "$(xfs_io -r -c lsattr "$mnt/rt/file" | cut -d' ' -f1)"
holder_open "$rt"

for page in 5 19990; do
	at=$(place_of "$mnt/rt/file" $page) || bail "where page $page is"
	watch rt "$mnt/rt/file" $page
	watch next "$mnt/rt/file" $((page + 1))
	watch other "$mnt/rt/other" 5
	watch data "$mnt/file" 5
	equal "page $page, in group $((at >> 26)): the failure is reported" 0 "$(notify "$at" 4096)"
	stop_watching
	equal "page $page: the task that maps it is notified" "told SIGBUS offset=$(printf '%#x' $((page * 4096)))" "$(told rt)"
	equal "page $page: the task that maps the next page is not" "not told" "$(told next)"
	equal "page $page: nor the task that maps another file of the device" "not told" "$(told other)"
	equal "page $page: nor the task that maps one of the data device" "not told" "$(told data)"
done
check "the pages were in different groups" \
	[ $(($(place_of "$mnt/rt/file" 5) >> 26)) != $(($(place_of "$mnt/rt/file" 19990) >> 26)) ]
watch rt "$mnt/rt/file" 5
end=$(blockdev --getsize64 "$rt")
equal "free space: nobody loses anything" 0 "$(notify $((end - 4096)) 4096)"
equal "behind the end" ENXIO "$(notify "$end" 4096)"
stop_watching
equal "and nobody is told" "not told" "$(told rt)"
check "it is not shut down" works

watch rt "$mnt/rt/file" 5
equal "the superblock of the first group" EUCLEAN "$(notify 0 4096)"
stop_watching
equal "is no file's" "not told" "$(told rt)"
check "it is shut down" is_shut_down
holder_close
finish
