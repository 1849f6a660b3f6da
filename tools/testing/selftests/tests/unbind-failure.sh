# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A page fails while its device is being removed: new users are kept out, and the users that are
# left have not lost their pages yet.  They are looked for by the pages, and told at once.
#
# Before the page structs are freed, a removal waits for the tasks that dropped the last references
# to them, also where it finds no page in use.
#
# expect: rust pass
# timeout: 150
# regions: 1

. "$(dirname "$0")/../lib.sh"
plan 10

namespace
ext4
truncate -s 64K "$mnt/file"
mapped fill "$mnt/file" 0 65536 7
sync
pfn=$(mapped pfn "$mnt/file" 0 4096)
mapped watch "$mnt/file" 0 4096 >/tmp/watcher &
watcher=$!
wait_for 10 grep -q ready /tmp/watcher || bail "the file cannot be watched"
hold_in mf_dax_revoke_pfns
unbind &
unbinder=$!
check "no page is revoked yet" wait_for 20 held
echo $((pfn * 4096)) >/sys/devices/system/memory/hard_offline_page
check "a user of the page is told" wait_for 30 ended "$watcher"
equal "by SIGBUS" SIGBUS "$(tail -n 1 /tmp/watcher)"
let_go
check "the removal ends" wait_for 20 ended "$unbinder"
check "it can be unmounted" umount "$mnt"

bind
mount -t ext4 -o dax=always "$disk" "$mnt" || bail mount
exec 5<"$mnt/file"
equal "a page is read" 4096 "$(poison pread "$mnt/file" 4096 4096)"
rmmod dax_delay
# How often the removal waits.  The probe lets all calls pass, and counts them.
unbind_counted() {
	modprobe dax_delay symbol=synchronize_rcu_tasks skip=2000000000 pid=$$ || bail "modprobe dax_delay"
	unbind
	cat /sys/module/dax_delay/parameters/hits
	rmmod dax_delay
}
unbind_counted >/tmp/hits
equal "a removal that finds no page in use waits once" 1 "$(cat /tmp/hits)"
exec 5<&-
check "it can be unmounted then" umount "$mnt"

bind
xfs
poison fill "$mnt/file" 0 16 7
unbind_counted >/tmp/hits
equal "so does one whose holder gave all memory up" 1 "$(cat /tmp/hits)"
check "and that is unmounted" umount "$mnt"
finish
