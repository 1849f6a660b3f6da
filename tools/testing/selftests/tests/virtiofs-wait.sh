# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Every range of the window is in use: pages of each are pinned.  A task that needs a range waits,
# and can be killed; when ranges are free again, it goes on.  A task that waits for the server's
# answer can be killed, too.
#
# expect: rust pass, c fail
# regions: 0
# alone: c debug-c fixed
# boot: --virtiofs @SCRATCH@,window=4,cache=always --share @SCRATCH@
# timeout: 300

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../virtiofs.sh"
plan $((18 + 4 * ours))

MIB=1048576
noise "$there/pinned" $((4 * MIB))
noise "$there/wanted" $((4 * MIB))
virtiofs_mount
stat "$here/wanted" >/dev/null

# In these a task sleeps that needs a range and finds none.
no_range='fuse_dax|dmap'

# waiter NAME COMMAND...: it runs in the background, and should be waiting by now.
waiter() {
	"${@:2}" >/tmp/waiter 2>&1 &
	waiter=$!
	check "$1: it waits" wait_for 20 blocked_in "$no_range" $waiter
}

# The kernel's C sleeps in a fault until there is a range, whatever comes.
killed_fault() {
	kill -KILL $waiter
	defect ends "$1: kill -9 ends it" 10 $waiter fuse_dax_fault
}
killed_call() {
	kill -KILL $waiter
	check "$1: kill -9 ends it" wait_for 10 ended $waiter
}

holder "$here/pinned"
equal "a page of the first range is pinned" ok "$(ask pin 4096)"
equal "a page of the second range is pinned" ok "$(ask pin $((3 * MIB)))"

waiter "a fault" window touch "$here/wanted" 0
killed_fault "a fault"
waiter "a store" window store "$here/wanted" $((2 * MIB))
killed_fault "a store"
waiter "a read" window read "$here/wanted" 0 65536
killed_call "a read"
defect equal "a small read needs no range" 4096 "$(bounded 10 window read "$here/wanted" 0 4096)"
waiter "a write" dd if=/dev/zero of="$here/wanted" bs=4096 count=1 conv=notrunc status=none
killed_call "a write"
waiter "a fault that has patience" window touch "$here/wanted" 0
equal "the pages are let go" ok "$(ask unpin)"
check "a fault that has patience: it ends" wait_for 30 ended $waiter
equal "a fault that has patience: has its page" loaded "$(cat /tmp/waiter)"
equal "the data is right" "$(sum "$there/wanted")" "$(bounded 30 window cat mmap "$here/wanted" | sha256sum | cut -d' ' -f1)"
equal "and that of the pinned file" "$(sum "$there/pinned")" "$(bounded 30 window cat mmap "$here/pinned" | sha256sum | cut -d' ' -f1)"
holder_ends
if [ "$ours" = 1 ]; then
	noise "$there/late" $((2 * MIB))
	stat "$here/late" >/dev/null
	equal "an answer is to come late" ok "$(virtiofs fault "late-setupmapping=1:$until_reset")"
	waiter "a fault without an answer" window touch "$here/late" 0
	killed_call "a fault without an answer"
	equal "a fault without an answer: it does not come to one" 0 "$(virtiofs count late)"
	virtiofs reset >/dev/null
fi
check "it is unmounted" bounded 30 umount "$mnt"
finish
