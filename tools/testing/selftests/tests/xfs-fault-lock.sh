# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A page that two files share goes bad while a page fault in one of them copies it: the
# fault has locked the page's entry and is about to allocate, for which it locks the
# group.  The task that notifies must not have locked the group when it waits for the entry.  C
# has, and both wait for ever.
#
# expect: rust pass, c fail
# alone: c debug-c
# splat: c
# timeout: 120

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../xfs.sh"
plan $((4 + 3 * ours))

modprobe dax_holder_test || bail "modprobe dax_holder_test"
namespace
holder_open "$disk"
mkfs_xfs
poison fill "$mnt/file" 0 16 5
cp --reflink=always "$mnt/file" "$mnt/clone"
sync
watch next "$mnt/file" 4
at=$(place_of "$mnt/file" 3)

hold_in xfs_reflink_allocate_cow
poison touch "$mnt/clone" 3 w >/tmp/touch &
toucher=$!
wait_for 20 held || bail "no fault copies a page"
notify "$at" 4096 >/tmp/notify &
notifier=$!
# With or without the group, it is on its way to the mapping's entry.
check "the failure is being told" wait_for 20 blocked_in "xfs_dax_notify_failure|mf_dax_kill_procs"
check "and a fault copies the page" held
let_go
defect ends "the failure is told" 20 $notifier 'dax_lock_mapping_entry|get_next_unlocked_entry|mf_dax_kill_procs' ''
if ! ended $notifier; then
	check "and the fault does not end" sh -c "kill -0 $toucher"
	# What it holds is not unmounted.
	release() { :; }
	reset_later 10
	finish
fi
equal "without an error" 0 "$(cat /tmp/notify)"
check "the fault ends" wait_for 20 ended $toucher
check "and the file system works" works
stop_watching
equal "no task is notified that maps another page" "not told" "$(told next)"
rmmod dax_delay
finish
