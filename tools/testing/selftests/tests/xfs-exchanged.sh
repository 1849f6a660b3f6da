# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A page of a file fails while the contents of the file are exchanged with those of another one, which
# then has the page.  The exchange has the extents locked, so where the page is cannot be looked up.
# The failure is dealt with in spite of that.  A process that maps the file, and has not touched the
# page, has lost nothing.  What is reported as lost waits for the exchange, and names the other file.
#
# expect: rust pass
# timeout: 180

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../xfs.sh"
plan 9

modprobe dax_holder_test || bail "modprobe dax_holder_test"
namespace
holder_open "$disk"
mkfs_options="-i exchange=1"
mkfs_xfs
poison fill "$mnt/file" 0 16 5
poison fill "$mnt/donor" 0 16 6
sync
at=$(place_of "$mnt/file" 3)

monitor_losses
mappers_of 1 shared-unread,early 3 "$mnt/file"

hold_in xfs_exchange_mappings
xfs_io -c "exchangerange $mnt/donor" "$mnt/file" >/tmp/exchange 2>&1 &
user=$!
wait_for 20 held || bail "the contents are not exchanged: $(cat /tmp/exchange)"
notify "$at" 4096 >/tmp/notify &
notifier=$!
check "the failure is told" wait_for 60 ended $notifier
equal "without an error" 0 "$(cat /tmp/notify)"
check "the extents are locked" held
equal "the user of the file is not told" none "$(ask told)"
let_go
check "the exchange ends" wait_for 20 ended $user
equal "the other file has the page" "$at" "$(place_of "$mnt/donor" 3)"
check "it has lost something" wait_for 20 lost "$mnt/donor"
check "the file has not" sh -c "! grep -qx 'lost $(stat -c %i "$mnt/file")' /tmp/lost"
end_mappers
rmmod dax_delay
kill $listener
wait $listener
# What is still to be reported keeps the file system.
check "umount" timeout "$(patient 60)" umount "$mnt"
finish
