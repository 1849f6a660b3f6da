# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The device is unbound under a mount: its memory goes, so nobody may have it any more.  The kernel's C
# leaves it mapped in processes and in files, and frees its pages while they are kept for I/O.
#
# expect: rust pass, c fail
# cpus: 2
# regions: 0
# alone: yes
# splat: c
# boot: --virtiofs @SCRATCH@,window=16,cache=always --share @SCRATCH@
# timeout: 500

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../virtiofs.sh"
plan $((6 + 17 * ours))

MIB=1048576
noise "$there/file" $((8 * MIB))
# Page by page 9p takes long.
poison fill /tmp/crowd 0 8192 3
cp /tmp/crowd "$there/crowd"
virtiofs_mount
virtiofs zero >/dev/null
driver=/sys/bus/virtio/drivers/virtiofs
device=$(basename "$driver"/virtio*)
check "there is a device" test -e "$driver/$device"

holder "$here/file"
equal "a store" ok "$(ask put 4096 BEFORE)"
equal "a page is kept for I/O" ok "$(ask pin $((4 * MIB)))"
exec 9<"$here/file"
window crowd "$here/crowd" 20 4000 3 hostile >/tmp/crowd 2>&1 &
crowd=$!
# Called by wait_for.
# shellcheck disable=SC2317
asked() {
	[ "$(virtiofs count SETUPMAPPING)" -ge 12 ]
}
wait_for 60 asked || bail "the crowd does not come to ask for the window"
check "a crowd is at it" kill -0 $crowd

echo "$device" >"$driver/unbind" &
unbinder=$!
# It has taken everything away, and waits for the page; C's does not.
wait_for 30 blocked_or_ended 'fuse_dax|virtio_fs' $unbinder
defect check "the device waits for the page that is kept" kill -0 $unbinder
defect equal "a load from what was mapped" SIGBUS "$(ask get 4096 6)"
# What C does from here on is anything.
if [ "$ours" = 0 ]; then
	release() { :; }
	finish
fi
equal "a store to what was not mapped" SIGBUS "$(ask put $((6 * MIB)) AFTER)"
equal "the page is let go" ok "$(ask unpin)"
check "the device is gone" wait_for 30 ended $unbinder
check "and not bound any more" test ! -e "$driver/$device"
matches "a read of what is open" "*not connected*" "$(bounded 30 dd bs=64k count=1 <&9 2>&1 >/dev/null)"
matches "nothing can be opened" "*not connected*" "$(cat "$here/crowd" 2>&1 >/dev/null)"
check "the crowd comes to an end" wait_for 200 ended $crowd
equal "none of it saw wrong data" same "$(grep -v ' of 4000 accesses failed' /tmp/crowd)"
equal "all of it saw errors" 20 "$(grep -c '^[1-9][0-9]* of 4000 accesses failed' /tmp/crowd)"
exec 9<&-
holder_ends
check "it is unmounted" bounded 60 umount "$mnt"
equal "there is nothing to mount" 32 "$(bounded 30 mount -t virtiofs dax "$mnt" 2>/dev/null; echo $?)"
equal "what was stored is there" BEFORE "$(tail -c +4097 "$there/file" | head -c 6)"

# Nothing of what was there before is in the way; QEMU itself does not come to the end otherwise.
check "the device is bound again" bounded 60 bash -c "echo $device >$driver/bind"
virtiofs_mount
equal "the data, by loads" "$(sum "$there/file")" "$(sum_by mmap "$here/file")"
equal "and by reads" "$(sum "$there/crowd")" "$(sum_by read "$here/crowd")"
check "it is unmounted again" bounded 60 umount "$mnt"
check "and unbound" bounded 60 bash -c "echo $device >$driver/unbind"
finish
