# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Small files do not take 2 MiB of window each, if the server says that it maps at less: 200 of
# them are mapped at once in a window of 4 MiB, by a server that maps at 16 KiB.  (QEMU maps no
# more than about 500 pieces at once, and 4 KiB would ask for 1024; KUnit and the host model go on.)
#
# expect: rust pass, c fail
# regions: 0
# alone: yes
# boot: --virtiofs @SCRATCH@,window=4,cache=always,align=16384 --share @SCRATCH@
# timeout: 400

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../virtiofs.sh"
plan 28

MIB=1048576
FILES=200
head -c $((FILES * 4096)) /dev/urandom >/tmp/noise
split -b 4096 -a 3 -d /tmp/noise "$there/"
virtiofs_mount
cd "$here" || bail "cd $here"
files=(???)
equal "the files are there" $FILES "${#files[@]}"
equal "what is in them" "$(sum /tmp/noise)" "$(bounded 100 cat "${files[@]}" | sha256sum | cut -d' ' -f1)"

virtiofs zero >/dev/null
coproc HOLDER { exec timeout "$(patient 120)" window peak "${files[@]}"; }
# shellcheck disable=SC2153
pid=$HOLDER_PID holder_in=${HOLDER[1]}
read -r -t "$(patient 100)" words <&"${HOLDER[0]}"
equal "a task maps and loads of each" "mapped $FILES" "$words"
mapped=$(virtiofs count mapped)
echo "# $mapped mappings at once, $(virtiofs count SETUPMAPPING) SETUPMAPPING"
defect check "and they are all mapped at once ($mapped)" test "$mapped" -ge $FILES
virtiofs zero >/dev/null
# One after the other, and all compared at once: to start a program takes long here.
# shellcheck disable=SC2016
equal "through mappings, again" "" \
	"$(bounded 100 bash -c 'for file; do window cat mmap "$file"; done' bash "${files[@]}" | cmp /tmp/noise - 2>&1)"
defect equal "which asks the server for nothing" 0 "$(virtiofs count SETUPMAPPING)"
exec {holder_in}>&-
wait "$pid"

# Small and large ones, by turns: ranges are put together again and divided again.
noise "$there/large" $((8 * MIB))
for round in 1 2 3; do
	equal "round $round: a file of two windows" "$(sum "$there/large")" "$(bounded 60 window cat mmap large | sha256sum | cut -d' ' -f1)"
	equal "round $round: the small ones" "$(sum /tmp/noise)" "$(bounded 100 cat "${files[@]}" | sha256sum | cut -d' ' -f1)"
done

# A small file that grows.
for size in 4096 5000 $((64 * 1024)) $((3 * MIB)); do
	head -c "$size" /tmp/noise >/tmp/grown
	head -c "$size" /dev/urandom >>/tmp/grown
	dd if=/tmp/grown of=grown bs=4096 conv=notrunc status=none
	equal "a file that grew to $(stat -c %s /tmp/grown)" "$(sum /tmp/grown)" "$(bounded 60 window cat mmap grown | sha256sum | cut -d' ' -f1)"
	equal "as the host has it" "$(sum /tmp/grown)" "$(sum "$there/grown")"
done
holder grown $((8 * MIB))
truncate -s 7M grown
equal "grown under a mapping: it has the new bytes" ok "$(ask put $((6 * MIB + 5)) NEW)"
equal "as read() has them" NEW "$(tail -c +$((6 * MIB + 6)) grown | head -c 3)"
truncate -s 4096 grown
equal "cut under a mapping: SIGBUS" SIGBUS "$(ask get $((6 * MIB)) 3)"
equal "and the first page is there: stored" ok "$(ask put 0 FIRST)"
equal "and loaded" FIRST "$(ask get 0 5)"
holder_ends

# Called by check.
# shellcheck disable=SC2317
come_and_go() {
	local i
	for i in {1..60}; do
		cp "${files[i]}" "new$i" && window touch "new$i" 0 || return
	done
	rm new*
}
check "many files come and go" come_and_go
cd /tmp || exit
check "it is unmounted" bounded 60 umount "$mnt"
equal "and the server has taken every mapping back" 0 "$(virtiofs count mapped)"
finish
