# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The device goes while memory_failure() counts a failure of its memory for the node of the page: it
# has to wait for that.  C reads a page struct that is gone.
#
# expect: rust pass, c crash:action_result, fixed pass

. "$(dirname "$0")/../lib.sh"
plan 5

namespace
hold_in action_result
sh -c "echo $(($(data_start) + 8192)) >/sys/devices/system/memory/hard_offline_page" 2>/tmp/offline &
failure=$!
wait_for 30 held || bail "memory_failure() counts nothing"
unbind &
unbinder=$!
check "unbind waits" wait_for 20 blocked_or_ended memunmap_pages $unbinder
check "and has not ended" sh -c "sleep 1; kill -0 $unbinder"
let_go
check "memory_failure() comes to its end" wait_for 30 ended $failure
check "and so does unbind" wait_for 30 ended $unbinder
rmmod dax_delay
bind
check "the disk is back" test -b "$disk"
finish
