# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The holders of a dax device, by hand (dax_holder_test.c): which holder may hold which bytes,
# which one is notified of what, and until when.
#
# expect: rust pass, c fail
# timeout: 150

. "$(dirname "$0")/../lib.sh"
plan $((54 + 6 * ours))

namespace
partitions 64 128
modprobe dax_holder_test || bail "modprobe dax_holder_test"
dir=/sys/kernel/debug/dax_holder_test

# ask WORDS...: what became of it: "ok" or the error's text.
ask() {
	local words
	# The shell's own echo writes in one go, and says why it could not.
	if words=$( (echo "$*" >"$dir/control") 2>&1); then echo ok; else echo "${words##*: }"; fi
}
# calls NAME: what it was told, comma separated.
calls() {
	sed -n 's/^call //p' "$dir/$1" | paste -sd,
}
# fact NAME KEY
fact() {
	sed -n "s/^$2 //p" "$dir/$1"
}

for name in "whole $disk" "one ${disk}p1" "two ${disk}p2" "again ${disk}p1" "ref $disk" "late ${disk}p2"; do
	equal "open $name" ok "$(ask open "$name")"
done
p1=$((1 << 20)) l1=$((64 << 20)) p2=$((65 << 20)) l2=$((128 << 20))
busy="Device or resource busy"

# Which bytes a holder may have.
equal "a reference needs no holder" ok "$(ask ref ref)"
equal "nobody holds it: nobody is told" "Operation not supported" "$(ask notify ref $p1 4096 0)"
equal "a partition is held" ok "$(ask get one)"
equal "its range" "$(printf '%#x-%#x' $p1 $((p1 + l1 - 1)))" "$(fact one range)"
defect equal "another partition too" ok "$(ask get two)"
equal "the whole is not, when parts are" "$busy" "$(ask get whole)"
equal "a partition has one holder" "$busy" "$(ask get again)"
equal "and is not held twice by the same" "$busy" "$(ask as again one)"
equal "nor is another by that one" "$busy" "$(ask as late one)"

# Which holder is notified of what.
equal "a failure in one is told" ok "$(ask notify ref $((p1 + 8192)) 4096 0)"
equal "one: was told" "$(printf '%#x 0x1000 0x0' $((p1 + 8192)))" "$(calls one)"
equal "a failure in two is told" ok "$(ask notify ref $((p2 + 4096)) 8192 1)"
defect equal "two: was told" "$(printf '%#x 0x2000 0x1' $((p2 + 4096)))" "$(calls two)"
defect equal "one: was not" "$(printf '%#x 0x1000 0x0' $((p1 + 8192)))" "$(calls one)"
equal "a failure across both is told" ok "$(ask notify ref $((p2 - 4096)) 12288 2)"
defect matches "one: its part" "*,$(printf '%#x 0x1000 0x2' $((p2 - 4096)))" "$(calls one)"
defect matches "two: its part" "*,$(printf '%#x 0x2000 0x2' $p2)" "$(calls two)"
before="$(calls one) $(calls two)"
defect equal "a failure outside of both is told to nobody" "Operation not supported" \
	"$(ask notify ref $((p2 + l2 + 4096)) 4096 0)"
defect equal "no length is no failure" "Invalid argument" "$(ask notify ref $p1 0 0)"
defect equal "nor one past all ends" "Numerical result out of range" "$(ask notify ref $p1 0xffffffffffffffff 0)"
defect equal "nobody was told of these" "$before" "$(calls one) $(calls two)"
ask answer two 5 >/dev/null
defect equal "a holder's error comes back" "Input/output error" "$(ask notify ref $p2 4096 0)"
ask answer two 0 >/dev/null

# Until when: a holder that gave up its place is not at work any more.
ask delay one 100000 >/dev/null
ask notify ref $p1 4096 0 >/tmp/notify &
notifier=$!
check "a callback is at work" wait_for 10 is 1 fact one running
ask put one >/tmp/put &
putter=$!
# C's does not wait.  Called by wait_for.
# shellcheck disable=SC2317
put_waits() {
	blocked_in fs_put_dax || ended "$putter"
}
wait_for 20 put_waits
defect check "put waits for it" kill -0 $putter
defect equal "meanwhile the place is not free" "$busy" "$(ask get again)"
ask release one >/dev/null
check "then it returns" wait_for 10 ended $putter
check "and so does the callback" wait_for 10 ended $notifier
defect equal "in this order" 0 "$(fact one late)"
wait $notifier $putter
defect equal "now the place is free" ok "$(ask get again)"
before=$(calls one)
equal "the new one is told" ok "$(ask notify ref $p1 4096 0)"
equal "again: was told" "$(printf '%#x 0x1000 0x0' $p1)" "$(calls again)"
equal "one: was not" "$before" "$(calls one)"
ask put again >/dev/null
equal "one can have it back" ok "$(ask get one)"

# A callback at work does not keep another's holder from leaving.
if [ "$ours" = 1 ]; then
	ask delay one 100000 >/dev/null
	ask notify ref $p1 4096 0 >/tmp/notify &
	notifier=$!
	check "a callback is at work again" wait_for 10 is 1 fact one running
	ask put two >/tmp/put &
	putter=$!
	check "two leaves meanwhile" wait_for 10 ended $putter
	equal "and comes back" ok "$(ask get two)"
	ask release one >/dev/null
	check "the callback ends" wait_for 10 ended $notifier
fi

# The end of the device.
ask delay one 100000 >/dev/null
unbind &
unbinder=$!
check "removal is told" wait_for 20 is 1 fact one running
equal "a dying device has no new holder" "$busy" "$(ask get late)"
ask release one >/dev/null
check "removal comes to its end" wait_for 20 ended $unbinder
matches "it was told as that" "*0x80" "$(calls one)"
defect matches "to both" "*0x80" "$(calls two)"
equal "nor has a dead one" "$busy" "$(ask get late)"
equal "a dead device tells nobody" "No such device or address" "$(ask notify ref $p1 4096 0)"
[ "$ours" = 0 ] ||
	matches "and is still to be seen" "*dead*" "$(grep -hx 'state: .*' /sys/kernel/debug/dax/* | sort -u | paste -sd' ')"
for name in whole one two again late ref; do
	equal "close $name" ok "$(ask close $name)"
done
if [ "$ours" = 1 ]; then
	check "with its last user it goes" wait_for 10 sh -c "! grep -qs 'state: dead' /sys/kernel/debug/dax/*"
fi
check "the test module goes" rmmod dax_holder_test
bind
check "the disk is back" test -b "${disk}p1"
finish
