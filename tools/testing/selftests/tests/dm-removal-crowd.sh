# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# An NVDIMM below a volume goes while as many agents report failures as device mapper is notified of at
# a time, and all of their callbacks are at work.  The holder of the volume is notified of the removal
# all the same: it is notified of that once, and never again.
#
# expect: rust pass
# timeout: 200

. "$(dirname "$0")/../lib.sh"
plan 6

MIB=1048576
AGENTS=8
control=/sys/kernel/debug/dax_holder_test/control
told=/sys/kernel/debug/dax_holder_test/volume
modprobe dax_holder_test || bail "modprobe"
namespace
dmsetup create crowd --table "0 $((256 * MIB / 512)) linear $disk 8192" || bail "dmsetup create"
for words in "open volume /dev/mapper/crowd" "get volume" "delay volume 100000"; do
	echo "$words" >$control || bail "$words"
done

# at_work NUMBER: are so many callbacks of the volume's holder at work?  Called by wait_for.
# shellcheck disable=SC2317
at_work() {
	[ "$(sed -n 's/^running //p' "$told")" = "$1" ]
}
# removals: how often the holder was notified of one.  MF_MEM_PRE_REMOVE is 0x80.
removals() {
	grep -cE '^call .* 0x[0-9a-f]*[89a-f][0-9a-f]$' $told
}

agents=()
for ((i = 0; i < AGENTS; i++)); do
	sh -c "echo $(((8 + i) * MIB)) 4096 >/sys/block/$dev/dax/report_failure" 2>/dev/null &
	agents+=($!)
done
check "$AGENTS callbacks are at work" wait_for 30 at_work $AGENTS
equal "the holder knows of no removal yet" 0 "$(removals)"
unbind &
remover=$!
check "the holder is notified of the removal" wait_for 30 is 1 removals
echo "release volume" >$control
check "the removal ends" wait_for 60 ended $remover
wait "${agents[@]}"
equal "the holder was notified once" 1 "$(removals)"
echo "close volume" >$control
check "the volume goes" dmsetup remove crowd
finish
