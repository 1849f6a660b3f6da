# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Pages of device-dax are in a pipe, or are a registered buffer of io_uring, when the
# device is unbound: unbind waits, and the log says for which page.  The task that waits can be
# killed; then the memory stays reserved, and its page structs stay as long as they are needed.
# C frees the page structs at once, and oopses when the pages are given back.
#
# expect: rust pass, c crash:free_pipe_info|anon_pipe_buf_release|generic_pipe_buf_release|io_release_ubuf, fixed pass
# debug: always
# regions: 2
# timeout: 400

. "$(dirname "$0")/../lib.sh"

plan 24

bus=/sys/bus/dax
mib=1048576

# devdax: a new namespace of device-dax; $dax is its device.
devdax() {
	namespace -m devdax
	modprobe -a dax_pmem device_dax || bail "modprobe -a dax_pmem device_dax"
	dax=$(ndctl list -n "$ns" -X | jq -r '.[0].daxregion.devices[0].chardev // empty')
	wait_for 30 test -c "/dev/$dax" || bail "there is no /dev/$dax"
}

# pin_by KIND LEN: $pinner keeps pages; what it says is in /tmp/pin.
pin_by() {
	fifo /tmp/pin.in
	# What the task before said is not this one's.
	: >/tmp/pin
	pin "$1" "/dev/$dax" $((2 * mib)) "$2" </tmp/pin.in >/tmp/pin 2>&1 &
	pinner=$!
	exec 6>/tmp/pin.in
	wait_for 30 grep -q pinned /tmp/pin || bail "pin $1: $(cat /tmp/pin)"
}

# unpin [WORD]: it gives them back, and ends.
unpin() {
	echo "${1:-}" >&6
	exec 6>&-
	wait $pinner
}

# said WORDS: does the kernel's log have them, after `from` lines?  Called by `check`.
# shellcheck disable=SC2317
said() {
	dmesg | tail -n +$((from + 1)) | grep -qF "$1"
}

devdax
check "device-dax holds data" mapped fill "/dev/$dax" 0 $((8 * mib)) 1
for kind in pipe ring; do
	from=$(dmesg | wc -l)
	pin_by $kind $((4 * mib))
	# In a shell of its own, which waits as the driver does.
	sh -c "echo $dax >$bus/drivers/device_dax/unbind" &
	remover=$!
	check "$kind: the log says what unbind waits for" wait_for 60 said "removal waits for page"
	check "$kind: unbind waits" kill -0 $remover
	equal "$kind: nothing can be mapped any more" ENXIO "$(mapped verify "/dev/$dax" 0 $((2 * mib)) 1)"
	unpin reads
	[ $kind = ring ] || equal "$kind: what was in it is what was in the page" same "$(tail -n 1 /tmp/pin)"
	check "$kind: unbind ends" wait_for 60 ended $remover
	check "$kind: the driver binds" sh -c "echo $dax >$bus/drivers/device_dax/bind"
	equal "$kind: the data is there" same "$(mapped verify "/dev/$dax" 0 $((8 * mib)) 1)"
done

# The namespace goes: meanwhile others can look at their devices.
other=$dax
region=''
devdax
pin_by ring $((4 * mib))
from=$(dmesg | wc -l)
ndctl disable-namespace "$ns" >/tmp/ndctl.out 2>&1 &
remover=$!
check "namespace: the log says what disabling waits for" wait_for 60 said "$dax: removal waits for page"
check "namespace: another device says its size" timeout "$(patient 10)" cat "$bus/devices/$other/size"
unpin
check "namespace: it is disabled" wait_for 60 ended $remover
check "namespace: and enabled" ndctl enable-namespace "$ns"
check "namespace: its device is there" wait_for 30 test -c "/dev/$dax"

# The task that waits is killed.
pin_by pipe $((2 * mib))
from=$(dmesg | wc -l)
ndctl disable-namespace "$ns" >/tmp/ndctl.out 2>&1 &
remover=$!
wait_for 60 said "$dax: removal waits for page" || bail "disabling does not wait"
kill -9 $remover
check "killed: the task that waited ends" wait_for 60 ended $remover
check "killed: the log says what becomes of the memory" said "cannot be used again until the next reboot"
ndctl enable-namespace "$ns" >/dev/null 2>&1
check "killed: the memory stays reserved, and is no device" \
	sh -c "! test -e /dev/$dax && grep -q ' : $dax\$' /proc/iomem"
unpin reads
equal "killed: the page had its contents to the end" same "$(tail -n 1 /tmp/pin)"
equal "killed: the other device is as it was" same "$(mapped verify "/dev/$other" 0 $((8 * mib)) 1)"
finish
