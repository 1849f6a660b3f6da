# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The trace events of a failure: bytes without a holder, files that lose pages, and the tasks that are
# signalled.
#
# expect: rust pass
# timeout: 200

. "$(dirname "$0")/../lib.sh"
plan 13

tracing=/sys/kernel/tracing
modprobe hwpoison-inject || bail "modprobe hwpoison-inject"
for event in dax_unheld dax_lost dax_signal; do
	check "there is the event $event" test -e $tracing/events/dax/$event/enable
done

# seen EVENT: what it says, without what every event has.
seen() {
	sed -n "s/.*: $1: //p" $tracing/trace
}

# A file system that the core does not know.
namespace
ext4
f=$mnt/file
poison fill "$f" 0 8 3
sync
mappers_of 2 shared,early 5 "$f"
phys=$(poison phys "$f" 5)
offset=$(printf '%#x' $((phys - $(data_start))))
echo >$tracing/trace
echo 1 >$tracing/events/dax/enable
corrupt $((phys / 4096))
matches "ext4: the bytes have no holder" "dev * offset $offset length 0x1000 flags *" "$(seen dax_unheld)"
inode=$(printf '%#x' "$(stat -c %i "$f")")
matches "ext4: the file loses the page" "fs *:* inode $inode page 0x5 count 0x1 flags *" "$(seen dax_lost)"
equal "ext4: two tasks are signalled" 2 "$(seen dax_signal | wc -l)"
matches "ext4: with their addresses" "mappers:* address 0x*5000 lsb 12 code 5 result 0" "$(seen dax_signal | head -n 1)"
echo 0 >$tracing/events/dax/enable
end_mappers
umount "$mnt"

# One that it knows.
xfs
poison fill "$f" 0 8 3
sync
mappers_of 2 shared 4 "$f"
phys=$(poison phys "$f" 4)
echo >$tracing/trace
echo 1 >$tracing/events/dax/enable
corrupt $((phys / 4096))
equal "XFS: all bytes have a holder" "" "$(seen dax_unheld)"
matches "XFS: it is notified" "*holder*took*" "$(seen dax_notify)"
inode=$(printf '%#x' "$(stat -c %i "$f")")
matches "XFS: the file loses the page" "fs *:* inode $inode page 0x4 count 0x1 flags *" "$(seen dax_lost)"
equal "XFS: no task asked to be signalled" "" "$(seen dax_signal)"
end_mappers

# A removal is to be told from that.
mappers_of 1 shared 3 "$f"
echo >$tracing/trace
unbind
matches "removal: pages go away" "*flags 0x80" "$(seen dax_lost | tail -n 1)"
matches "removal: its user is signalled" "mappers:* code 5 result 0" "$(seen dax_signal | tail -n 1)"
echo 0 >$tracing/events/dax/enable
end_mappers
finish
