# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Memory of the window fails.  The host still has the data: early-kill tasks are notified, the
# range is retired, and the file goes on in another one, also for tasks that have it mapped.  It stays
# retired when the window is unmounted and mounted, until the device is bound again.
#
# expect: rust pass, c fail
# regions: 0
# alone: yes
# boot: --virtiofs @SCRATCH@,window=8,cache=always --share @SCRATCH@
# timeout: 300

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../virtiofs.sh"
plan $((19 + 12 * ours))

PAGES=2048
poison fill "$there/file" 0 $PAGES 5
printf 'what was there' | dd of="$there/file" bs=4096 seek=5 conv=notrunc status=none
virtiofs_mount

# block PAGE: in which 2 MiB of memory a page of the file is.
block() {
	echo $(($(poison phys "$here/file" "$1") >> 21))
}

holder "$here/file"
equal "it is mapped" "what was there" "$(ask get $((5 * 4096)) 14)"
user watch "$here/file" 3 >/tmp/watch &
watcher=$!
check "by another task, with early kill" wait_for 30 grep -q ready /tmp/watch
bad=$(block 3)
poison phys "$here/file" 3 >/sys/devices/system/memory/hard_offline_page || echo "# it says that it failed"
# The signal comes before the failure is dealt with, and so before this one.
kill "$watcher" 2>/dev/null
wait "$watcher"
defect equal "its user, which asked for it, is told" "told SIGBUS offset=0x3000" "$(sed -n 2p /tmp/watch)"

defect check "the page is elsewhere now" test "$(block 3)" != "$bad"
defect equal "so is all that was near" "" "$(for page in 0 4 511 512 1024 1536; do block $page; done | grep -x "$bad")"
equal "the task that has it mapped goes on" "what was there" "$(ask get $((5 * 4096)) 14)"
equal "and stores" ok "$(ask put $((5 * 4096)) "WHAT")"
equal "which the host has" "WHAT was there" "$(dd if="$there/file" bs=4096 skip=5 count=1 status=none | head -c 14)"
printf 'what was there' | dd of="$there/file" bs=4096 seek=5 conv=notrunc status=none
# Three ranges for four.
used=
for turn in 1 2; do
	for page in 0 512 1024 1536; do
		equal "turn $turn, page $page: the data" same "$(mapped verify "$here/file" $(((page + 6) * 4096)) $((400 * 4096)) 5)"
		[ "$(block "$page")" != "$bad" ] || used+=" $turn:$page"
	done
done
defect equal "the bad range is used no more" "" "$used"
[ "$ours" = 0 ] || check "the log says so" sh -c "dmesg | grep 'memory of the DAX window failed at .*: 2048 KiB are out of service'"

# Nor is it by the next mount, and nor is what failed while there was none.
if [ "$ours" = 1 ]; then
	holder_ends
	idle=$(block 0)
	check "it is unmounted for a while" bounded 60 umount "$mnt"
	echo $((idle << 21)) >/sys/devices/system/memory/hard_offline_page || echo "# it says that it failed"
	virtiofs_mount
	used=
	for turn in 1 2; do
		for page in 0 512 1024 1536; do
			got=$(mapped verify "$here/file" $(((page + 6) * 4096)) $((400 * 4096)) 5)
			[ "$got" = same ] || used+=" $turn:$page is $got"
			! block $page | grep -qx -e "$bad" -e "$idle" || used+=" $turn:$page"
		done
	done
	equal "the bad ranges are used no more after that" "" "$used"
	check "the log says so, too" sh -c "dmesg | grep 'memory of the DAX window has failed: 4 MiB are out of service'"
	holder "$here/file"
fi

# All of it fails, range by range: then there is no window, and that is an error and no hang.
if [ "$ours" = 1 ]; then
	for turn in 1 2; do
		poison phys "$here/file" 700 >/sys/devices/system/memory/hard_offline_page || echo "# turn $turn: it says that it failed"
	done
	equal "without a window: a load" SIGBUS "$(bounded 30 window touch "$here/file" 0)"
	equal "without a window: a read" EIO "$(bounded 30 window read "$here/file" 0 65536)"
fi
holder_ends
if [ "$ours" = 1 ]; then
	again always
	equal "nor is there one for the next mount" SIGBUS "$(bounded 30 window touch "$here/file" 0)"
	umount "$mnt"
	driver=/sys/bus/virtio/drivers/virtiofs
	device=$(basename "$driver"/virtio*)
	check "the device is unbound" bounded 60 bash -c "echo $device >$driver/unbind"
	check "and bound" bounded 60 bash -c "echo $device >$driver/bind"
	virtiofs_mount
	used=$(for page in 0 512 1024 1536; do block $page; done | sort -u)
	equal "now all of it is used" 4 "$(wc -l <<<"$used")"
	check "what was bad first, too" grep -qx "$bad" <<<"$used"
	equal "the data" same "$(mapped verify "$here/file" $((6 * 4096)) $(((PAGES - 6) * 4096)) 5)"
fi
check "it is unmounted" bounded 60 umount "$mnt"
equal "the host has what it had" same "$(poison verify "$there/file" 6 $((PAGES - 6)) 5)"
finish
