# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Small reads while the window is full: what is read once is not worth a mapping, which takes the
# room of another, and is asked for by READ; what is read again and again is mapped.  The data is
# the same, whichever process wrote it and in whichever way.
#
# expect: rust pass, c fail
# regions: 0
# alone: yes
# boot: --virtiofs @SCRATCH@,window=4,align=262144,cache=always --share @SCRATCH@
# timeout: 300

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../virtiofs.sh"
plan $((14 + 15 * ours))

RANGES=16
for i in {1..60}; do
	noise "$there/$i" $((i * 200))
done
virtiofs_mount

# fill FROM: the window is full of mappings of as many files, which one task makes.
fill() {
	local i files=()
	for ((i = $1; i < $1 + RANGES; i++)); do
		files+=("$here/$i")
	done
	is "mapped $RANGES" bounded 60 window peak "${files[@]}" </dev/null || bail "the window is not filled"
}

# elsewhere: the window is full of what nobody asks for below, and the rest is long forgotten.
elsewhere() {
	fill 1
	fill 17
	fill 33
}

# others HOW FROM TO: which of the files do not have what the host's have.
others() {
	local i
	for ((i = $2; i <= $3; i++)); do
		differs "$1" "$i" && echo "$i by $1"
	done
}

fill 1
# C has a worker that takes ranges back while they are read: it may ask for one more than once.
asked=$(virtiofs count SETUPMAPPING)
check "with room for them files are mapped ($asked)" test "$asked" -ge "$RANGES"
[ "$ours" = 0 ] || equal "each once" "$RANGES" "$asked"
virtiofs zero >/dev/null
equal "read once: the data" "" "$(others read 21 60)"
asked=$(virtiofs count SETUPMAPPING)
defect equal "read once: nothing is mapped for it" 0 "$asked"
[ "$ours" = 0 ] || equal "read once: one READ for each" 40 "$(virtiofs count READ)"
virtiofs zero >/dev/null
equal "and what was mapped still is" "" "$(others read 1 16)"
defect equal "with no request" "0 0" "$(virtiofs count SETUPMAPPING) $(virtiofs count READ)"

virtiofs zero >/dev/null
for _ in {1..6}; do
	others read 30 30
done >/tmp/others
equal "read again and again: the data" "" "$(cat /tmp/others)"
asked=$(virtiofs count SETUPMAPPING)
check "read again and again: it is mapped" test "$asked" -ge 1
if [ "$ours" = 1 ]; then
	equal "read again and again: once" 1 "$asked"
	equal "read again and again: after two READs" 2 "$(virtiofs count READ)"
fi

# What a store, the host and the guest wrote.
holder "$here/50"
equal "a store" ok "$(ask put 0 stored)"
elsewhere
virtiofs zero >/dev/null
equal "a store is seen past the window" stored "$(head -c 6 "$here/50")"
[ "$ours" = 0 ] || equal "it was past the window" "0 1" "$(virtiofs count SETUPMAPPING) $(virtiofs count READ)"
printf hosted | dd of="$there/51" conv=notrunc status=none
equal "what the host wrote is seen past the window" hosted "$(head -c 6 "$here/51")"
printf guests | dd of="$here/52" conv=notrunc status=none
elsewhere
equal "so is what was written" guests "$(head -c 6 "$here/52")"
equal "and the task that has it mapped still sees it" stored "$(ask get 0 6)"
holder_ends

# ordered FAULT: the window is full, of other files.
ordered() {
	local answer
	virtiofs reset >/dev/null
	elsewhere
	answer=$(virtiofs fault "$1")
	[ "$answer" = ok ] || bail "$answer"
}

# What is wrong with a READ its reader sees.  C sends none.
if [ "$ours" = 1 ]; then
	ordered "fail-read=1:ENOSPC"
	equal "an error" ENOSPC "$(window read "$here/55" 0 100)"
	ordered "fail-read=1:7"
	equal "an error that is none" EIO "$(window read "$here/55" 0 100)"
	for kind in garbage short length unique silent; do
		ordered "$kind-read=1"
		matches "$kind: the data or an error" "@(100|E*)" "$(bounded 30 window read "$here/56" 0 100 "$there/56")"
		again always
	done
	ordered "late-read=1:$until_reset"
	window read "$here/57" 0 100 >/dev/null &
	check "a late one is waited for" wait_for 20 blocked_in fuse_dax $!
	kill -9 $!
	check "a signal ends the wait for a late one" wait_for 10 ended $!
	equal "a signal ends the wait for a late one: before it comes" 0 "$(virtiofs count late)"
	virtiofs reset >/dev/null
fi
virtiofs reset >/dev/null
equal "in the end all is well" "" "$(others read 53 60)$(others mmap 53 60)"
# No task waited for the late answer any more.  The file stayed open until it came, at the reset.
check "it is unmounted" wait_for 60 umount "$mnt"
finish
