# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A file on a realtime device of its own: mkfs.xfs makes no reverse map for it, so that a
# failure is for memory_failure() to deal with.  When the device goes away, its files are unmapped
# from all tasks, and files of the data device are not.  C leaves them mapped, and crashes when
# the tasks unmap them.
#
# expect: rust pass, c crash:zap_vma_range
# regions: 2
# timeout: 200

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../xfs.sh"
plan 13

modprobe -a dax_holder_test hwpoison-inject || bail "modprobe"
namespace
rt=$disk rt_holder=$holder rt_dev=$dev
region=
namespace
mkfs_options="-m rmapbt=0,reflink=0 -d agcount=1 --unsupported -r rtdev=$rt"
mount_options=rtdev=$rt
mkfs_xfs
# Realtime by inheritance of its directory.
mkdir "$mnt/rt"
xfs_io -c "chattr +t" "$mnt/rt"
poison fill "$mnt/rt/file" 0 64 1
poison fill "$mnt/file" 0 64 2
sync
matches "the file is on the realtime device" "r*" "$(xfs_io -r -c lsattr "$mnt/rt/file" | cut -d' ' -f1)"
holder_open "$rt"
sum=$(cat "$mnt/rt/file" "$mnt/file" | sha256sum)

watch rt "$mnt/rt/file" 5
watch data "$mnt/file" 5
equal "without a reverse map it cannot tell" EOPNOTSUPP "$(notify "$(place_of "$mnt/rt/file" 5)" 4096)"
equal "behind the end" ENXIO "$(notify $((1 << 40)) 4096)"
# So memory_failure() does.
check "memory of it goes bad" corrupt "$(pfn_of "$mnt/rt/file" 5)"
stop_watching
equal "the task that maps it is notified" "told SIGBUS offset=0x5000" "$(told rt)"
equal "and nobody else" "not told" "$(told data)"
poison fill "$mnt/rt/file" 5 1 1
sync

# It goes away.
holder_close
watch rt "$mnt/rt/file" 7
watch data "$mnt/file" 7
holder=$rt_holder dev=$rt_dev
unbind >/dev/null 2>&1 &
remover=$!
check "unbind ends" wait_for 60 ended $remover
stop_watching
equal "the task that maps its file is notified" "told SIGBUS offset=0x7000" "$(told rt)"
equal "the task that maps one of the data device is not" "not told" "$(told data)"
check "it is shut down" is_shut_down
check "umount" timeout "$(patient 60)" umount "$mnt"
bind
wait_for 20 test -b "$rt"
check "it is mounted again" mount -t xfs -o "dax=always,rtdev=$rt" "$disk" "$mnt"
equal "and the files are as they were" "$sum" "$(cat "$mnt/rt/file" "$mnt/file" | sha256sum)"
finish
